"""What `/dev/mem` gives on a board: an array of 32-bit words. Here every access to one goes to the bus."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.runtime.emulated_board.bus import Bus


class RegisterWindow(np.ndarray[Any, np.dtype[np.uint32]]):
    """uint32 words from a bus address on; slices are windows, too, as pynq's register maps need them."""

    _bus: Bus | None
    _base: int
    _first: int

    def __array_finalize__(self, parent: NDArray[Any] | None) -> None:
        for name in ("_bus", "_base", "_first"):
            setattr(self, name, getattr(parent, name, None))

    def _address(self, index: int) -> int:
        return self._base + (self.ctypes.data - self._first) + 4 * int(index)

    def __getitem__(self, index: Any) -> Any:
        if self._bus is not None and isinstance(index, (int, np.integer)):
            return np.uint32(self._bus.read(self._address(int(index))))
        return super().__getitem__(index)

    def __setitem__(self, index: Any, value: Any) -> None:
        assert self._bus is not None
        if isinstance(index, (int, np.integer)):
            self._bus.write(self._address(int(index)), int(value))
        else:
            for k, word in enumerate(range(*index.indices(len(self)))):
                self[word] = value if np.isscalar(value) else value[k]


def register_window(bus: Bus, base: int, nbytes: int) -> RegisterWindow:
    """Return the words at bus addresses from `base` on."""
    window = np.zeros(nbytes // 4, np.uint32).view(RegisterWindow)
    window._bus, window._base, window._first = bus, base, window.ctypes.data
    return window
