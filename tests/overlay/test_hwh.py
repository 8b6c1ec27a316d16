"""The reader of .hwh files, on files written here by hand with the elements that Vivado writes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from strop.overlay.boards import BOARDS, BoardSpec
from strop.overlay.hwh import HwhError, check_hwh, read_hwh
from strop.overlay.registers import KERNEL_VLNV, registers

CLOCKS = {
    "processing_system7": "PCW_ACT_FPGA0_PERIPHERAL_FREQMHZ",
    "zynq_ultra_ps_e": "PSU__CRL_APB__PL0_REF_CTRL__ACT_FREQMHZ",
}
DEVICES = {  # as Vivado writes parts: without xc for Zynq-7000
    "pynq-z1": ("7z020", "clg400"),
    "pynq-z2": ("7z020", "clg400"),
    "ultra96-v2": ("xczu3eg", "sbva484"),
    "kv260": ("xck26", "sfvc784"),
    "zcu104": ("xczu7ev", "ffvc1156"),
}


def port(name: str, *ends: str) -> str:
    """Return a PORT that is connected to "instance/port" at its other ends."""
    connections = "".join('<CONNECTION INSTANCE="{}" PORT="{}"/>'.format(*end.split("/")) for end in ends)
    return f'<PORT DIR="O" NAME="{name}" SIGIS="INTERRUPT"><CONNECTIONS>{connections}</CONNECTIONS></PORT>'


def hwh_text(board: BoardSpec, bends: bool = False) -> str:
    """Return an .hwh of a right design. bends: the interrupt goes through an xlconcat first."""
    device, package = DEVICES[board.name]
    listed = "".join(
        f'<REGISTER NAME="{known.name}"><PROPERTY NAME="DESCRIPTION" VALUE="text"/>'
        f'<PROPERTY NAME="ADDRESS_OFFSET" VALUE="{known.offset}"/><PROPERTY NAME="ACCESS" VALUE="{known.access}"/>'
        f'<FIELDS><FIELD NAME="x"><PROPERTY NAME="ADDRESS_OFFSET" VALUE="999"/></FIELD></FIELDS></REGISTER>'
        for known in registers(board.address_bits)
    )
    concat = (
        f'<MODULE INSTANCE="bus" MODTYPE="xlconcat" VLNV="xilinx.com:ip:xlconcat:2.1"><PORTS>'
        f"{port('In0', 'train/interrupt')}{port('dout', 'axi_intc_0/intr')}</PORTS></MODULE>"
    )
    return f"""\ufeff<?xml version="1.0" encoding="UTF-8" standalone="no" ?>
<EDKSYSTEM EDWVERSION="1.2" TIMESTAMP="now" VIVADOVERSION="2024.1">
<SYSTEMINFO ARCH="zynq" DEVICE="{device}" NAME="strop" PACKAGE="{package}" SPEEDGRADE="-1"/>
<MODULES>
<MODULE INSTANCE="ps" MODTYPE="{board.ps_ip}" VLNV="xilinx.com:ip:{board.ps_ip}:5.5">
<PARAMETERS><PARAMETER NAME="{CLOCKS[board.ps_ip]}" VALUE="{board.clock_mhz}.000000"/></PARAMETERS>
<PORTS>{port(board.interrupt_pin, "axi_intc_0/irq")}</PORTS>
<MEMORYMAP>
<MEMRANGE BASEVALUE="0x{board.intc_base:08X}" INSTANCE="axi_intc_0" MEMTYPE="REGISTER"/>
<MEMRANGE BASEVALUE="0x{board.kernel_base:08X}" INSTANCE="train" MEMTYPE="REGISTER"/>
</MEMORYMAP></MODULE>
<MODULE INSTANCE="axi_intc_0" MODTYPE="axi_intc" VLNV="xilinx.com:ip:axi_intc:4.1">
<ADDRESSBLOCKS><ADDRESSBLOCK><REGISTERS><REGISTER NAME="ISR"/></REGISTERS></ADDRESSBLOCK></ADDRESSBLOCKS>
<PORTS>{port("irq", f"ps/{board.interrupt_pin}")}
{port("intr", "bus/dout" if bends else "train/interrupt")}</PORTS></MODULE>
{concat if bends else ""}
<MODULE INSTANCE="train" MODTYPE="strop_kernel" VLNV="{KERNEL_VLNV}">
<ADDRESSBLOCKS><ADDRESSBLOCK INTERFACE="s_axi_control"><REGISTERS>{listed}</REGISTERS></ADDRESSBLOCK></ADDRESSBLOCKS>
<PORTS>{port("interrupt", "bus/In0" if bends else "axi_intc_0/intr")}</PORTS>
<MEMORYMAP>
<MEMRANGE BASEVALUE="0x0" HIGHVALUE="0x1FFFFFFF" INSTANCE="ps" MASTERBUSINTERFACE="m_axi_bytes" MEMTYPE="MEMORY"/>
</MEMORYMAP></MODULE>
</MODULES></EDKSYSTEM>
"""


def write(folder: Path, text: str) -> Path:
    """Write an .hwh and return its path."""
    path = folder / "strop.hwh"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("bends", [False, True])
@pytest.mark.parametrize("board", BOARDS.values(), ids=list(BOARDS))
def test_a_right_design_is_read_and_passes(board: BoardSpec, bends: bool, tmp_path: Path) -> None:
    """Protects every board's overlay from a false alarm, and each thing that is read."""
    design = read_hwh(write(tmp_path, hwh_text(board, bends)))
    assert (design.kernel, design.vlnv) == ("train", KERNEL_VLNV)
    assert (design.base_address, design.intc_base) == (board.kernel_base, board.intc_base)
    assert design.registers == registers(board.address_bits)
    assert (design.ps_type, design.clock_mhz, design.interrupt_reaches_ps) == (board.ps_ip, board.clock_mhz, True)
    assert (design.device, design.package) == DEVICES[board.name]
    assert check_hwh(design, board) == []


SET_SOMEWHERE = 'NAME="slots"><PROPERTY NAME="DESCRIPTION" VALUE="text"/><PROPERTY NAME="ADDRESS_OFFSET" VALUE="'


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (KERNEL_VLNV, "strop:hls:strop_kernel:2.0", "the kernel is strop:hls:strop_kernel:2.0; .* drives strop:hls"),
        ('BASEVALUE="0x40000000"', 'BASEVALUE="0x43C00000"', "kernel lies at 0x43c00000; .* says 0x40000000"),
        ('BASEVALUE="0x41800000"', 'BASEVALUE="0x41810000"', "axi_intc lies at 0x41810000; .* says 0x41800000"),
        ('VALUE="100.000000"', 'VALUE="142.857132"', "the PL clock is 142.857 MHz; the board table says 100 MHz"),
        ('VALUE="100.000000"', 'VALUE="50"', "the PL clock is 50 MHz"),
        ('DEVICE="7z020"', 'DEVICE="7z010"', "the part is 7z010 clg400; PYNQ-Z2 has xc7z020clg400-1"),
        ('NAME="slots"', 'NAME="lots"', r"register slots \(0x58\) is missing"),
        ('NAME="slots"', 'NAME="lots"', r"register lots \(0x58\) is not in the contract"),
        (SET_SOMEWHERE + "88", SET_SOMEWHERE + "0x90", "register slots lies at 0x90; the contract says 0x58"),
        ('INSTANCE="axi_intc_0" PORT="intr"', 'INSTANCE="ps" PORT="IRQ_F2P"', "interrupt does not reach the PS"),
        ('INSTANCE="axi_intc_0" PORT="intr"', 'INSTANCE="axi_intc_0" PORT="rst"', "interrupt does not reach the PS"),
        ('INSTANCE="ps" PORT="IRQ_F2P"', 'INSTANCE="ps" PORT="Core0_nFIQ"', r"an axi_intc \(IRQ_F2P\)"),
    ],
)
def test_each_difference_is_told(old: str, new: str, problem: str, tmp_path: Path) -> None:
    """Protects a board from hanging on a wrong address, register, clock, part or interrupt."""
    board = BOARDS["pynq-z2"]
    text = hwh_text(board)
    assert old in text
    problems = check_hwh(read_hwh(write(tmp_path, text.replace(old, new))), board)
    assert re.search(problem, "\n".join(problems)), problems


def test_another_boards_design_is_told(tmp_path: Path) -> None:
    """Protects against an overlay of the wrong board: PS, part, addresses, clock and register map all differ."""
    problems = check_hwh(read_hwh(write(tmp_path, hwh_text(BOARDS["zcu104"]))), BOARDS["pynq-z2"])
    for said in ("the PS is zynq_ultra_ps_e", "xczu7ev", "0xa0000000", "200 MHz", "arena_maps (0x28) is missing"):
        assert any(said in problem for problem in problems), said
    assert check_hwh(read_hwh(write(tmp_path, hwh_text(BOARDS["pynq-z1"]))), BOARDS["pynq-z2"]) == []  # one part


def test_a_clock_that_dividers_round_down_passes(tmp_path: Path) -> None:
    """Protects ZynqMP boards: 1500 MHz over 8 is what their PS makes of 200 MHz."""
    board = BOARDS["zcu104"]
    text = hwh_text(board).replace('VALUE="200.000000"', 'VALUE="187.498123"')
    assert check_hwh(read_hwh(write(tmp_path, text)), board) == []


def test_a_design_that_does_not_state_its_part_passes(tmp_path: Path) -> None:
    """Protects descriptions that say nothing of a part: what is not stated cannot differ."""
    board = BOARDS["pynq-z2"]
    text = hwh_text(board).replace('DEVICE="7z020"', "").replace('PACKAGE="clg400"', "")
    assert check_hwh(read_hwh(write(tmp_path, text)), board) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<EDKSYSTEM", "<", "is no .hwh: it is not XML"),
        ("EDKSYSTEM", "component", "is no .hwh: its root is component"),
        (KERNEL_VLNV, "xilinx.com:hls:resize_accel:1.0", "has 0 instances of the kernel strop_kernel"),
        ('MODTYPE="axi_intc" VLNV="xilinx.com:ip:axi_intc:4.1"', f'VLNV="{KERNEL_VLNV}"', "has 2 instances"),
        ('MODTYPE="processing_system7"', 'MODTYPE="versal_cips"', "has no processing system; known: processing_sys"),
        ('INSTANCE="train" MEMTYPE="REGISTER"', 'INSTANCE="train" MEMTYPE="MEMORY"', "no MEMRANGE gives .* train"),
        ('BASEVALUE="0x40000000"', 'BASEVALUE="low"', "BASEVALUE of train is 'low', no number"),
        (SET_SOMEWHERE + "88", SET_SOMEWHERE + "", "ADDRESS_OFFSET of register slots is '', no number"),
        (CLOCKS["processing_system7"], "PCW_OTHER", "ps does not say its PL clock"),
        ('VALUE="100.000000"', 'VALUE="fast"', "is 'fast', no number"),
    ],
)  # fmt: skip
def test_what_is_no_design_with_the_kernel_is_refused(old: str, new: str, message: str, tmp_path: Path) -> None:
    """Protects who hands over the wrong file: the error names it, and says what it lacks."""
    text = hwh_text(BOARDS["pynq-z2"])
    assert old in text
    with pytest.raises(HwhError, match=f"strop.hwh: .*{message}"):
        read_hwh(write(tmp_path, text.replace(old, new)))


def test_a_missing_file_is_an_error_of_its_own_kind(tmp_path: Path) -> None:
    """Protects callers that catch HwhError and nothing else."""
    with pytest.raises(HwhError, match="nothing.hwh: cannot be read: No such file"):
        read_hwh(tmp_path / "nothing.hwh")
    with pytest.raises(HwhError, match="cannot be read: Is a directory"):
        read_hwh(tmp_path)
