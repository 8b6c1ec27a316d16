"""The files of an emulated overlay: an .hwh with what pynq reads of one, and a .bit with a header and no bitstream.

Written from the contract and the board table. No .hwh of a real build of this kernel was there to compare with.
"""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

from strop.overlay.boards import BoardSpec
from strop.overlay.registers import KERNEL_NAME, KERNEL_VLNV, Register, registers
from strop.runtime.contract import C

KERNEL, INTC, INTC_VLNV = f"{KERNEL_NAME}_0", "axi_intc_0", "xilinx.com:ip:axi_intc:4.1"
ADDRESS_RANGE = 0x10000
AXI = "xilinx.com:interface:aximm:1.0"
PS_VERSION = {"processing_system7": "5.5", "zynq_ultra_ps_e": "3.5"}
PL_CLOCKS = 4
KERNEL_PORTS = ("m_axi_bytes", "m_axi_words", "m_axi_maps", "m_axi_filters")
# A Zynq-7000 divides its IO PLL of 1 GHz by 5 x 2 for each FCLK; a Zynq UltraScale+ its IOPLL of 1.5 GHz by 8 x 1.
ZYNQ7_PLL_MHZ, ZYNQ7_DIVISOR = 1000, 2
ZYNQMP_PLL_MHZ = 1500
CONTROL_FIELDS = (("AP_START", 0, "read-write"), ("AP_DONE", 1, "read-only"), ("AP_IDLE", 2, "read-only"))
FIELDS = {
    C.REG_CONTROL: (*CONTROL_FIELDS, ("AP_READY", 3, "read-only"), ("AUTO_RESTART", 7, "read-write")),
    C.REG_GLOBAL_INTERRUPT: (("Enable", 0, "read-write"),),
    C.REG_INTERRUPT_ENABLE: (("CHAN0_INT_EN", 0, "read-write"), ("CHAN1_INT_EN", 1, "read-write")),
    C.REG_INTERRUPT_STATUS: (("CHAN0_INT_ST", 0, "read-write"), ("CHAN1_INT_ST", 1, "read-write")),
}


def hwh_text(board: BoardSpec, vlnv: str = KERNEL_VLNV) -> str:
    """Return the .hwh of an overlay with strop's kernel on `board`."""
    ps = f"{board.ps_ip}_0"
    device, package = board.part.removeprefix("xc").split("-")[0], ""
    if board.family == "zynq7":
        device, package = "7z020", "clg400"
    else:
        package = board.part.split("-")[1]
    described = "".join(_register(register) for register in registers(board.address_bits))
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no" ?>
<EDKSYSTEM EDWVERSION="1.2" TIMESTAMP="emulated" VIVADOVERSION="emulated">
 <SYSTEMINFO ARCH="{board.family}" DEVICE="{device}" NAME="strop" PACKAGE="{package}"/>
 <EXTERNALPORTS/>
 <EXTERNALINTERFACES/>
 <MODULES>
  <MODULE FULLNAME="/{ps}" INSTANCE="{ps}" IS_PL="FALSE" MODTYPE="{board.ps_ip}"
          VLNV="xilinx.com:ip:{board.ps_ip}:{PS_VERSION[board.ps_ip]}">
   <PARAMETERS>{_parameters(board)}</PARAMETERS>
   <PORTS>{_port(board.interrupt_pin, "I", INTC, "irq")}</PORTS>
   <BUSINTERFACES><BUSINTERFACE NAME="{board.ps_master}" TYPE="MASTER" VLNV="{AXI}"/></BUSINTERFACES>
   <MEMORYMAP>{_range(board, KERNEL, board.kernel_base, "s_axi_control")}
              {_range(board, INTC, board.intc_base, "s_axi")}</MEMORYMAP>
  </MODULE>
  <MODULE FULLNAME="/{INTC}" INSTANCE="{INTC}" IS_PL="TRUE" MODTYPE="axi_intc" VLNV="{INTC_VLNV}">
   <PARAMETERS/>
   <PORTS>{_port("irq", "O", ps, board.interrupt_pin)}{_port("intr", "I", KERNEL, "interrupt")}</PORTS>
   <BUSINTERFACES><BUSINTERFACE NAME="s_axi" TYPE="SLAVE" VLNV="{AXI}"/></BUSINTERFACES>
  </MODULE>
  <MODULE FULLNAME="/{KERNEL}" INSTANCE="{KERNEL}" IS_PL="TRUE" MODTYPE="{KERNEL_NAME}" VLNV={quoteattr(vlnv)}>
   <ADDRESSBLOCKS><ADDRESSBLOCK ACCESS="read-write" INTERFACE="s_axi_control" NAME="Reg" RANGE="{ADDRESS_RANGE}"
     USAGE="register"><REGISTERS>{described}</REGISTERS></ADDRESSBLOCK></ADDRESSBLOCKS>
   <PARAMETERS/>
   <PORTS>{_port("interrupt", "O", INTC, "intr")}</PORTS>
   <BUSINTERFACES><BUSINTERFACE NAME="s_axi_control" TYPE="SLAVE" VLNV="{AXI}"/>{_masters()}</BUSINTERFACES>
   <MEMORYMAP>{_memory(board, ps)}</MEMORYMAP>
  </MODULE>
 </MODULES>
</EDKSYSTEM>
"""


def bit_bytes(board: BoardSpec) -> bytes:
    """Return a .bit whose header says that it is emulated, with no bitstream in it: it programs no board."""
    fields = ((b"a", "emulated;Version=0"), (b"b", board.part), (b"c", "1970/01/01"), (b"d", "00:00:00"))
    out = b"\x00\x09" + b"\x0f\xf0" * 4 + b"\x00" + b"\x00\x01"
    for tag, text in fields:
        value = text.encode() + b"\x00"
        out += tag + len(value).to_bytes(2, "big") + value
    payload = b"\xff" * 64
    return out + b"e" + len(payload).to_bytes(4, "big") + payload


def clock_registers(board: BoardSpec) -> dict[int, dict[int, int]]:
    """Return the PS's clock registers after a boot, by base address and offset: pynq's Clocks sets and reads them."""
    if board.family == "zynq7":  # SLCR: PLLs from a reference of 50 MHz, then FCLK 0 to 3 (UG585, B.28)
        divided = ZYNQ7_PLL_MHZ // (ZYNQ7_DIVISOR * board.clock_mhz)
        clocks = {0x170 + 16 * i: ZYNQ7_DIVISOR << 20 | divided << 8 for i in range(PL_CLOCKS)}
        return {0xF8000000: {0x100: 26 << 12, 0x104: 21 << 12, 0x108: 20 << 12, **clocks}}
    # CRL_APB: IOPLL and RPLL, then PL0 to PL3 from the IOPLL; CRF_APB: APLL, DPLL, VPLL, ACPU (UG1087)
    clocks = {0xC0 + 4 * i: 1 << 24 | 1 << 16 | _zynqmp_divisor(board) << 8 for i in range(PL_CLOCKS)}
    return {
        0xFF5E0000: {0x20: 1 << 16 | 90 << 8, 0x30: 1 << 16 | 72 << 8, **clocks},
        0xFD1A0000: {0x20: 1 << 16 | 72 << 8, 0x2C: 1 << 16 | 64 << 8, 0x38: 1 << 16 | 64 << 8, 0x60: 1 << 8},
        0xFD615000: {},  # FPD_SLCR and the AXI ports' converters: widths of the HP ports
        **{base: {} for base in (0xFD360000, 0xFD370000, 0xFD380000, 0xFD390000, 0xFD3A0000, 0xFD3B0000)},
        **{base: {} for base in (0xFF419000, 0xFF9B0000)},
    }


def _zynqmp_divisor(board: BoardSpec) -> int:
    return -(-ZYNQMP_PLL_MHZ // board.clock_mhz)


def _parameters(board: BoardSpec) -> str:
    """The PS's parameters that pynq reads: clocks, and the widths of the HP ports."""
    values: dict[str, str] = {}
    for i in range(PL_CLOCKS):
        if board.family == "zynq7":
            values[f"PCW_FPGA_FCLK{i}_ENABLE"] = str(int(i == 0))
            values[f"PCW_FCLK{i}_PERIPHERAL_CLKSRC"] = "IO PLL"
            values[f"PCW_FCLK{i}_PERIPHERAL_DIVISOR0"] = str(ZYNQ7_PLL_MHZ // (ZYNQ7_DIVISOR * board.clock_mhz))
            values[f"PCW_FCLK{i}_PERIPHERAL_DIVISOR1"] = str(ZYNQ7_DIVISOR)
            values[f"PCW_ACT_FPGA{i}_PERIPHERAL_FREQMHZ"] = f"{board.clock_mhz:.6f}"
        else:
            reference = f"PSU__CRL_APB__PL{i}_REF_CTRL"
            values[f"PSU__FPGA_PL{i}_ENABLE"] = str(int(i == 0))
            values[f"{reference}__SRCSEL"] = "IOPLL"
            values[f"{reference}__DIVISOR0"] = str(_zynqmp_divisor(board))
            values[f"{reference}__DIVISOR1"] = "1"
            values[f"{reference}__ACT_FREQMHZ"] = f"{ZYNQMP_PLL_MHZ / _zynqmp_divisor(board):.6f}"
    if board.family == "zynqmp":
        values |= {f"PSU__SAXIGP{2 + i}__DATA_WIDTH": str(8 * board.port_bytes) for i in range(len(board.memory_ports))}
    return "".join(f'<PARAMETER NAME="{name}" VALUE="{value}"/>' for name, value in values.items())


def _port(name: str, direction: str, instance: str, port: str) -> str:
    connection = f'<CONNECTIONS><CONNECTION INSTANCE="{instance}" PORT="{port}"/></CONNECTIONS>'
    return f'<PORT DIR="{direction}" NAME="{name}" SIGIS="INTERRUPT">{connection}</PORT>'


def _range(board: BoardSpec, instance: str, base: int, interface: str) -> str:
    return (
        f'<MEMRANGE ADDRESSBLOCK="Reg" BASEVALUE="{base:#010x}" HIGHVALUE="{base + ADDRESS_RANGE - 1:#010x}" '
        f'INSTANCE="{instance}" MASTERBUSINTERFACE="{board.ps_master}" MEMTYPE="REGISTER" '
        f'SLAVEBUSINTERFACE="{interface}"/>'
    )


def _masters() -> str:
    return "".join(f'<BUSINTERFACE NAME="{port}" TYPE="MASTER" VLNV="{AXI}"/>' for port in KERNEL_PORTS)


def _memory(board: BoardSpec, ps: str) -> str:
    """What the kernel's ports reach: DRAM, on a ZynqMP also what lies above 4 GiB."""
    spans = [(0, (board.dram_mbytes << 20) - 1)]
    if board.family == "zynqmp":
        spans = [(0, 0x7FFF_FFFF), (0x8_0000_0000, 0xF_FFFF_FFFF)]
    return "".join(
        f'<MEMRANGE ADDRESSBLOCK="DDR_{part}" BASEVALUE="{first:#x}" HIGHVALUE="{last:#x}" INSTANCE="{ps}" '
        f'MASTERBUSINTERFACE="{port}" MEMTYPE="MEMORY" SLAVEBUSINTERFACE="{slave}"/>'
        for port, slave in zip(KERNEL_PORTS, board.memory_ports, strict=True)
        for part, (first, last) in enumerate(spans)
    )


def _property(name: str, value: object) -> str:
    return f'<PROPERTY NAME="{name}" VALUE="{value}"/>'


def _register(register: Register) -> str:
    bits = [(name, at, 1, access) for name, at, access in FIELDS.get(register.offset, ())]
    if not bits:
        bits = [(register.name, 0, 32, register.access)]
    fields = "".join(
        f'<FIELD NAME="{name}">{_property("BIT_OFFSET", at)}{_property("BIT_WIDTH", width)}'
        f"{_property('ACCESS', access)}{_property('DESCRIPTION', name)}</FIELD>"
        for name, at, width, access in bits
    )
    return (
        f'<REGISTER NAME="{register.name}">{_property("DESCRIPTION", register.name)}'
        f"{_property('ADDRESS_OFFSET', register.offset)}{_property('SIZE', 32)}{_property('ACCESS', register.access)}"
        f"{_property('IS_ENABLED', 'true')}<FIELDS>{fields}</FIELDS></REGISTER>"
    )
