"""The bus of an emulated board: which unit answers at which address. Where nobody does, an access is a `BusFault`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from strop.runtime.errors import BusFault


class Unit(Protocol):
    """Something with registers: 32-bit words at byte offsets."""

    def read(self, offset: int) -> int:
        """Return the word at `offset`."""

    def write(self, offset: int, value: int) -> None:
        """Write a word at `offset`."""


class Words:
    """Registers that keep what is written: a stand-in for the parts of a PS that pynq sets and reads back."""

    def __init__(self, initial: dict[int, int]) -> None:
        self._words = dict(initial)

    def read(self, offset: int) -> int:
        """Return the word at `offset`."""
        return self._words.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """Keep the word."""
        self._words[offset] = value


@dataclass(frozen=True)
class Window:
    """Addresses from `base` on, `nbytes` of them, that `unit` answers."""

    base: int
    nbytes: int
    unit: Unit


class Bus:
    """Windows, those of the PS and those of the overlay that is loaded."""

    def __init__(self, windows: list[Window]) -> None:
        self._fixed = windows
        self._loaded: list[Window] = []

    def load(self, windows: list[Window]) -> None:
        """Replace the overlay's windows."""
        self._loaded = windows

    def read(self, address: int) -> int:
        """Return the 32-bit word at `address`. Raises `BusFault`."""
        unit, offset = self._at(address)
        return unit.read(offset) & 0xFFFFFFFF

    def write(self, address: int, value: int) -> None:
        """Write a 32-bit word. Raises `BusFault`."""
        unit, offset = self._at(address)
        unit.write(offset, value & 0xFFFFFFFF)

    def _at(self, address: int) -> tuple[Unit, int]:
        for window in (*self._fixed, *self._loaded):
            if window.base <= address < window.base + window.nbytes:
                return window.unit, address - window.base
        raise BusFault(f"nothing answers at bus address {address:#010x}; on a board this hangs or ends the process")
