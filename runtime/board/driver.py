"""The kernel's registers as a PYNQ driver, bound to the kernel of every overlay by its VLNV.

pynq imports this module whenever an overlay is loaded (entry point `pynq.lib`), so `strop_kernel_0` of
`Overlay("strop.bit")` is a `StropKernel` for everybody.
"""

from __future__ import annotations

from typing import Any

from pynq import DefaultIP

from strop.overlay.registers import KERNEL_VLNV
from strop.runtime.contract import REGISTER_OFFSETS, C, Registers

ARENA_REGISTERS = (C.REG_ARENA_BYTES, C.REG_ARENA_WORDS, C.REG_ARENA_MAPS, C.REG_ARENA_FILTERS)


class StropKernel(DefaultIP):  # type: ignore[misc]  # pynq has no types
    """One kernel. `interrupt_pin` is the name that `pynq.Interrupt` takes, or None where the overlay has no interrupt.

    Offsets in `Registers` count from `address`, the bus address of the arena.
    """

    bindto = [KERNEL_VLNV]

    def __init__(self, description: dict[str, Any]) -> None:
        pins = description.get("interrupts") or {}
        self.interrupt_pin: str | None = next((pin["fullpath"] for pin in pins.values()), None)
        # DefaultIP would make an Interrupt now, which needs an event loop in the thread that loads the overlay. Whoever
        # waits for interrupts makes it (interrupt.py).
        super().__init__({**description, "interrupts": {}})
        self._wide = "arena_bytes_2" in (description.get("registers") or {})

    def start(self, registers: Registers, address: int) -> None:
        """Begin a start on the arena at `address`; its buffer must have been synced to the device."""
        for offset in ARENA_REGISTERS:
            self._put(offset, address)
            if self._wide:
                self._put(offset + 4, address >> 32)
        for name, offset in REGISTER_OFFSETS.items():
            self._put(offset, getattr(registers, name))
        self._put(C.REG_CONTROL, C.CONTROL_START)

    @property
    def address_bits(self) -> int:
        """Width of the addresses that the kernel's ports put out: 32 or 64."""
        return 64 if self._wide else 32

    def control(self) -> int:
        """Return the control register. Reading it clears DONE and READY."""
        return int(self.read(C.REG_CONTROL))

    def finished(self) -> bool:
        """Whether the start is over. IDLE counts as well: DONE is gone once anybody has read it."""
        return bool(self.control() & (C.CONTROL_DONE | C.CONTROL_IDLE))

    def version(self) -> int:
        """Return contract version << 16 | numerics version, as the last start wrote it; 0 before the first."""
        return int(self.read(C.REG_VERSION))

    def enable_interrupt(self) -> None:
        """Let the end of a start raise the interrupt."""
        self._put(C.REG_GLOBAL_INTERRUPT, 1)
        self._put(C.REG_INTERRUPT_ENABLE, 1)

    def clear_interrupt(self) -> None:
        """Take the interrupt back if it is raised. A bit that is written toggles, so only a raised one may be."""
        if int(self.read(C.REG_INTERRUPT_STATUS)) & 1:
            self._put(C.REG_INTERRUPT_STATUS, 1)

    def _put(self, offset: int, value: int) -> None:
        self.write(offset, int(value) & 0xFFFFFFFF)  # pynq takes no numpy integers, and cuts larger ones silently
