"""Reads an .hwh, Vivado's description of a block design, and compares it with the contract and the board table.

PYNQ takes addresses, registers and interrupts from this file; a wrong one is not noticed there, and hangs a board.
Only what strop depends on is read.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from strop.overlay.boards import BoardSpec
from strop.overlay.registers import KERNEL_NAME, KERNEL_VLNV, Register, registers

KERNEL_INTERRUPT = "interrupt"
PS_CLOCKS = {  # type of the PS: parameter with the frequency of its first PL clock, as the tool could make it
    "processing_system7": "PCW_ACT_FPGA0_PERIPHERAL_FREQMHZ",
    "zynq_ultra_ps_e": "PSU__CRL_APB__PL0_REF_CTRL__ACT_FREQMHZ",
}
PS_INTERRUPTS = {"processing_system7": "IRQ_F2P", "zynq_ultra_ps_e": "pl_ps_irq0"}
# A PS divides its PLLs by whole numbers and cannot make every clock; a faster one than asked for is none of them.
SLOWEST, FASTEST = 0.9, 1.001


class HwhError(ValueError):
    """A file that is no .hwh, or one of a design without strop's kernel."""


@dataclass(frozen=True)
class HwhDesign:
    """What an .hwh says of a design with the kernel.

    registers: of the kernel, by offset. interrupt_reaches_ps: by way of an axi_intc; PYNQ sees no other. intc_base: its
    address. device, package: of the part, as Vivado writes them, or "" where the file does not say.
    """

    kernel: str  # instance name
    vlnv: str
    base_address: int
    registers: tuple[Register, ...]
    ps_type: str
    clock_mhz: float
    interrupt_reaches_ps: bool
    intc_base: int | None
    memory: tuple[tuple[int, int], ...]
    device: str
    package: str


def read_hwh(path: Path) -> HwhDesign:
    """Return what an .hwh says of its design. Raises HwhError, which names the file and what is missing."""
    try:
        root = ElementTree.parse(path).getroot()
    except OSError as error:
        raise HwhError(f"{path}: cannot be read: {error.strerror}") from error
    except ElementTree.ParseError as error:
        raise HwhError(f"{path}: is no .hwh: it is not XML ({error})") from None
    if root.tag != "EDKSYSTEM":
        raise HwhError(f"{path}: is no .hwh: its root is {root.tag}, not EDKSYSTEM")
    try:
        return _Design(root).read()
    except HwhError as error:
        raise HwhError(f"{path}: {error}") from None


def check_hwh(design: HwhDesign, board: BoardSpec) -> list[str]:
    """Return everything in which a design differs from the contract and the board table; empty if nothing does."""
    problems = []
    if design.vlnv != KERNEL_VLNV:
        problems.append(f"the kernel is {design.vlnv}; this version of strop drives {KERNEL_VLNV}")
    if design.ps_type != board.ps_ip:
        problems.append(f"the PS is {design.ps_type}; {board.title} has {board.ps_ip}")
    if not _is_part(design, board.part):
        problems.append(f"the part is {design.device} {design.package}; {board.title} has {board.part}")
    if design.base_address != board.kernel_base:
        problems.append(f"the kernel lies at {design.base_address:#x}; the board table says {board.kernel_base:#x}")
    if design.intc_base is not None and design.intc_base != board.intc_base:
        problems.append(f"axi_intc lies at {design.intc_base:#x}; the board table says {board.intc_base:#x}")
    if not SLOWEST <= design.clock_mhz / board.clock_mhz <= FASTEST:
        problems.append(f"the PL clock is {design.clock_mhz:g} MHz; the board table says {board.clock_mhz} MHz")
    if not design.interrupt_reaches_ps:
        problems.append(f"the kernel's interrupt does not reach the PS through an axi_intc ({board.interrupt_pin})")
    return problems + _register_problems(design.registers, registers(board.address_bits))


def _register_problems(found: tuple[Register, ...], expected: tuple[Register, ...]) -> list[str]:
    offsets = {register.name: register.offset for register in found}
    problems = []
    for register in expected:
        if register.name not in offsets:
            problems.append(f"register {register.name} ({register.offset:#x}) is missing")
        elif offsets[register.name] != register.offset:
            problems.append(
                f"register {register.name} lies at {offsets[register.name]:#x}; the contract says {register.offset:#x}"
            )
    unknown = sorted(set(offsets) - {register.name for register in expected})
    return problems + [f"register {name} ({offsets[name]:#x}) is not in the contract" for name in unknown]


def _is_part(design: HwhDesign, part: str) -> bool:
    """Whether "7z020" and "clg400" are xc7z020clg400-1; the tool leaves xc away for some families."""
    if not design.device:
        return True
    stated = f"xc{design.device.removeprefix('xc')}{design.package}"
    return part.replace("-", "").lower().startswith(stated.replace("-", "").lower())


class _Design:
    """The elements of an .hwh, with the questions that `read_hwh` asks."""

    def __init__(self, root: ElementTree.Element) -> None:
        self.root = root
        self.modules = {module.get("INSTANCE", ""): module for module in root.iter("MODULE")}

    def read(self) -> HwhDesign:
        kernel = self._only("VLNV", KERNEL_VLNV.rpartition(":")[0] + ":", f"kernel {KERNEL_NAME}")
        ps = next((name for name, module in self.modules.items() if module.get("MODTYPE") in PS_CLOCKS), None)
        if ps is None:
            raise HwhError(f"has no processing system; known: {', '.join(PS_CLOCKS)}")
        base = self._base_address(kernel)
        if base is None:
            raise HwhError(f"no MEMRANGE gives the registers of {kernel} an address")
        intc = self._interrupt_controller(kernel)
        ps_type = self.modules[ps].get("MODTYPE", "")
        information = self.root.find("SYSTEMINFO")
        return HwhDesign(
            kernel=kernel,
            vlnv=self.modules[kernel].get("VLNV", ""),
            base_address=base,
            registers=self._registers(kernel),
            ps_type=ps_type,
            clock_mhz=self._clock(ps, PS_CLOCKS[ps_type]),
            interrupt_reaches_ps=intc is not None and (ps, PS_INTERRUPTS[ps_type]) in self._targets(intc, "irq"),
            intc_base=None if intc is None else self._base_address(intc),
            memory=self._memory(kernel),
            device="" if information is None else information.get("DEVICE", ""),
            package="" if information is None else information.get("PACKAGE", ""),
        )

    def _only(self, attribute: str, prefix: str, what: str) -> str:
        found = [name for name, module in self.modules.items() if module.get(attribute, "").startswith(prefix)]
        if len(found) != 1:
            raise HwhError(f"has {len(found)} instances of the {what}; exactly one was expected")
        return found[0]

    def _base_address(self, instance: str) -> int | None:
        for memory in self.root.iter("MEMRANGE"):
            if memory.get("INSTANCE") == instance and memory.get("MEMTYPE") == "REGISTER":
                return _number(memory.get("BASEVALUE"), f"BASEVALUE of {instance}")
        return None

    def _memory(self, kernel: str) -> tuple[tuple[int, int], ...]:
        """Return the ranges that each of the kernel's masters reaches."""
        reached: dict[str, set[tuple[int, int]]] = {}
        for memory in self.modules[kernel].iter("MEMRANGE"):
            if memory.get("MEMTYPE") == "MEMORY":
                what = f"of {kernel}'s memory"
                span = (_number(memory.get("BASEVALUE"), what), _number(memory.get("HIGHVALUE"), what))
                reached.setdefault(memory.get("MASTERBUSINTERFACE", ""), set()).add(span)
        return tuple(sorted(set.intersection(*reached.values()))) if reached else ()

    def _clock(self, ps: str, parameter: str) -> float:
        for element in self.modules[ps].iter("PARAMETER"):
            if element.get("NAME") == parameter:
                try:
                    return float(element.get("VALUE", ""))
                except ValueError:
                    raise HwhError(f"{parameter} of {ps} is {element.get('VALUE')!r}, no number") from None
        raise HwhError(f"{ps} does not say its PL clock ({parameter})")

    def _registers(self, kernel: str) -> tuple[Register, ...]:
        found = []
        for element in self.modules[kernel].iter("REGISTER"):
            properties = {part.get("NAME"): part.get("VALUE") for part in element.findall("PROPERTY")}
            name = element.get("NAME", "")
            offset = _number(properties.get("ADDRESS_OFFSET"), f"ADDRESS_OFFSET of register {name}")
            found.append(Register(name, offset, properties.get("ACCESS") or ""))
        return tuple(sorted(found, key=lambda register: register.offset))

    def _interrupt_controller(self, kernel: str) -> str | None:
        """Return the axi_intc that the kernel's interrupt reaches, straight or through an xlconcat."""
        waiting = list(self._targets(kernel, KERNEL_INTERRUPT))
        for instance, port in waiting:
            kind = self.modules[instance].get("MODTYPE") if instance in self.modules else None
            if kind == "axi_intc" and port == "intr":
                return instance
            if kind == "xlconcat":
                waiting += self._targets(instance, "dout") - set(waiting)
        return None

    def _targets(self, instance: str, port: str) -> set[tuple[str, str]]:
        """Return the (instance, port) pairs at the other ends of a net."""
        return {
            (connection.get("INSTANCE", ""), connection.get("PORT", ""))
            for element in self.modules[instance].iter("PORT")
            if element.get("NAME") == port
            for connection in element.iter("CONNECTION")
        }


def _number(text: str | None, what: str) -> int:
    try:
        return int(text or "", 0)
    except ValueError:
        raise HwhError(f"{what} is {text!r}, no number") from None
