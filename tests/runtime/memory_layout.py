"""Where each element of a tensor lies, from contract.h alone: for tests, which share no code with what they judge.

A `Region` is a tensor of a command. It is put into memory and taken out as a plain array: maps [C, N, H, W], weights
[K, C/groups, R, S]. What a layout demands besides (zeros, pixels to the right) is put too, and checked when taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.runtime.contract import C

LINE = C.ALIGN_BYTES
PLANES = ("rows", "map", "pixels")  # layouts whose outermost part advances by the field `<name>_plane`


def aligned(nbytes: int) -> int:
    """Round up to whole lines."""
    return -(-nbytes // LINE) * LINE


def merged_channels(channels_in: int, channels_out: int, groups: int) -> int:
    """Return how many input channels the merged groups of a weight view have."""
    merged = 1
    while groups > 1 and merged < groups:
        if merged * channels_in // groups % 4 == 0 and merged * channels_out // groups % 4 == 0:
            break
        merged += 1
    return merged * channels_in // groups


@dataclass(frozen=True)
class Region:
    """A tensor of a command: the field that names it, how it lies, and whether the command reads or writes it."""

    name: str
    shape: tuple[int, ...]  # of the plain array
    dtype: np.dtype[Any]
    read: bool
    written: bool
    in_slot: bool
    layout: str = "array"  # or one of PLANES, or "view", "pixel view"
    groups: int = 1

    @property
    def planes(self) -> int:
        """Number of parts that lie `<name>_plane` bytes apart; 1 where there is no such field."""
        return {"rows": self.shape[0], "map": -(-self.shape[0] // 4), "pixels": self.shape[0]}.get(self.layout, 1)

    @property
    def part_bytes(self) -> int:
        """Bytes of one such part."""
        if self.layout in ("map", "pixels"):
            _, n, height, width = self.shape
            return -(-n // 16) * height * width * 64
        if self.layout == "view":
            k, per_group, r, s = self.shape
            return k * -(-merged_channels(per_group * self.groups, k, self.groups) // 4) * r * s * 4
        if self.layout == "pixel view":
            k, channels, r, s = self.shape
            return k * channels * r * -(-s // 4) * 4
        return prod(self.shape[1:] if self.layout == "rows" else self.shape) * self.dtype.itemsize

    def plane_bytes(self, slack: int) -> int:
        """Bytes from one part to the next with `slack` idle lines."""
        return aligned(self.part_bytes) + slack * LINE

    def nbytes(self, plane: int) -> int:
        """Bytes from the first to the last of the region; `plane` is the value of its field."""
        return self.planes * plane if self.layout in PLANES else self.part_bytes

    def _places(self, plane: int) -> NDArray[np.int64]:
        """Return the byte at which each element lies, of a pixel map the first of its four."""
        index = np.indices(self.shape, sparse=True)
        if self.layout in ("map", "pixels"):
            c, n, y, x = index
            _, _, height, width = self.shape
            word = (n // 16 * height + y) * width + x
            if self.layout == "map":
                return c // 4 * plane + word * 64 + 4 * (n % 16) + c % 4
            return c * plane + word * 64 + 4 * (n % 16)
        k, c, r, s = index
        _, per_group, height, width = self.shape
        if self.layout == "pixel view":
            return ((k * per_group + c) * height + r) * (-(-width // 4) * 4) + s
        merged = merged_channels(per_group * self.groups, self.shape[0], self.groups)
        group = k // (self.shape[0] // self.groups)
        channel = (group * per_group + c) % merged  # merged groups begin with a quad of their own
        return (((k * -(-merged // 4) + channel // 4) * height + r) * width + s) * 4 + channel % 4

    def _strided(self, memory: NDArray[np.uint8], at: int, plane: int) -> NDArray[Any]:
        inner = np.empty((1, *self.shape[1:]), self.dtype).strides
        strides = (plane, *inner[1:]) if self.layout == "rows" else np.empty(self.shape, self.dtype).strides
        return np.ndarray(self.shape, self.dtype, memory.data, at, strides)

    def put(self, memory: NDArray[np.uint8], at: int, plane: int, values: Any) -> None:
        """Write `values` into memory, as the region at byte `at`; what lies between its parts stays."""
        values = np.asarray(values).astype(self.dtype).reshape(self.shape)
        if self.layout in ("array", "rows"):
            self._strided(memory, at, plane)[...] = values
            return
        image, places = np.zeros(self.nbytes(plane), np.uint8), self._places(plane)
        image[places] = values.view(np.uint8)
        if self.layout == "pixels":
            for j in range(1, min(4, self.shape[3])):
                image[places[..., : self.shape[3] - j] + j] = values[..., j:].view(np.uint8)
        for start in range(0, self.planes * plane, plane) if self.layout in PLANES else (0,):
            memory[at + start : at + start + self.part_bytes] = image[start : start + self.part_bytes]

    def take(self, memory: NDArray[np.uint8], at: int, plane: int, written: bool = True) -> NDArray[Any]:
        """Return a copy of the tensor. If it was `written`, fails where a byte beside its elements is wrong."""
        if self.layout in ("array", "rows"):
            return self._strided(memory, at, plane).copy()
        found = memory[at : at + self.nbytes(plane)]
        values, expected = found[self._places(plane)].view(self.dtype), found.copy()
        if written:
            self.put(expected, 0, plane, values)
        wrong = np.flatnonzero(expected != found)
        assert not wrong.size, (
            f"{self.name}, {self.layout} {list(self.shape)}: byte {wrong[0]} is {found[wrong[0]]}, must be "
            f"{expected[wrong[0]]}; {wrong.size} bytes beside the tensor's elements are wrong"
        )
        return values

    def may_change(self, plane: int) -> NDArray[np.int64]:
        """Return the bytes that a command which writes the region may change; rows may be written in whole lines."""
        if self.layout not in ("map", "pixels"):
            return np.arange(self.nbytes(plane))
        return (np.arange(self.planes)[:, None] * plane + np.arange(self.part_bytes)).ravel()
