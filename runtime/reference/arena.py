"""The device's memory. Arrays of words are views that share its bytes; maps and weights are packed and unpacked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.runtime.contract import SITE, SLOT, STATISTICS, C
from strop.runtime.errors import ProgramError
from strop.runtime.reference.arithmetic import Integers, Site
from strop.runtime.reference.l1bn import Statistics
from strop.runtime.reference.layout import (
    map_words,
    pack_map,
    pack_pixels,
    pack_weights,
    pixel_words,
    unpack_map,
    unpack_pixels,
    unpack_weights,
    view_shape,
)

_SITE_WORDS = ("set", "next", "used", "over", "half", "reference")


class Arena:
    """`nbytes` bytes of zeros. Offsets are bytes; one that is not aligned or leaves the arena raises `ProgramError`."""

    def __init__(self, nbytes: int) -> None:
        self.bytes: NDArray[np.uint8] = np.zeros(nbytes, np.uint8)

    def view(
        self, offset: int, shape: tuple[int, ...], dtype: Any, plane: int = 0, alignment: int = C.ALIGN_BYTES
    ) -> NDArray[Any]:
        """Return the array at `offset`; its first axis advances by `plane` bytes, without gaps if that is 0."""
        element = np.dtype(dtype)
        strides = [element.itemsize] * len(shape)
        for axis in range(len(shape) - 2, -1, -1):
            strides[axis] = strides[axis + 1] * shape[axis + 1]
        if plane:
            if plane % C.ALIGN_BYTES or plane < strides[0]:
                raise ProgramError(
                    f"plane stride {plane} for planes of {strides[0]} bytes; it must be a multiple of {C.ALIGN_BYTES} "
                    "and no smaller: plan the tensor again"
                )
            strides[0] = plane
        extent = sum((count - 1) * stride for count, stride in zip(shape, strides, strict=True)) + element.itemsize
        end = offset + extent
        if offset % alignment or end > self.bytes.size:
            raise ProgramError(
                f"tensor {list(shape)} of {element} at bytes {offset} to {end}; offsets are multiples of "
                f"{alignment} and the arena has {self.bytes.size} bytes: plan the tensor again"
            )
        tensor: NDArray[Any] = np.ndarray(shape, element, self.bytes.data, offset, strides)
        return tensor

    def read_map(self, offset: int, plane: int, shape: tuple[int, ...]) -> NDArray[np.int8]:
        """Return a copy of the feature map int8 `shape` = [C, N, H, W]; its quads are `plane` bytes apart."""
        words = self.view(offset, map_words(*shape), np.int8, plane)
        return np.array(unpack_map(words, *shape[:2]))

    def write_map(self, offset: int, plane: int, values: NDArray[Any]) -> None:
        """Write the feature map `values` [C, N, H, W] with the zeros that belong to it."""
        self.view(offset, map_words(*values.shape), np.int8, plane)[...] = pack_map(values)

    def read_pixels(self, offset: int, plane: int, shape: tuple[int, ...]) -> NDArray[np.int8]:
        """Return a copy of the map int8 `shape` = [C, N, H, W] that a pixel map holds."""
        words = self.view(offset, pixel_words(*shape), np.int8, plane)
        return np.array(unpack_pixels(words, shape[1]))

    def write_pixels(self, offset: int, plane: int, values: NDArray[Any]) -> None:
        """Write `values` [C, N, H, W] as a pixel map."""
        self.view(offset, pixel_words(*values.shape), np.int8, plane)[...] = pack_pixels(values)

    def read_weights(self, offset: int, shape: tuple[int, ...], groups: int, pixels: bool) -> NDArray[np.int8]:
        """Return a copy of the weights int8 `shape` = [K, C/groups, R, S] that a weight view holds."""
        view = self.view(offset, view_shape(shape, groups, pixels), np.int8)
        return np.array(unpack_weights(view, shape, groups, pixels))

    def write_weights(self, offset: int, w8: NDArray[Any], groups: int, pixels: bool) -> None:
        """Write the weight view of w8 [K, C/groups, R, S]."""
        self.view(offset, view_shape(w8.shape, groups, pixels), np.int8)[...] = pack_weights(w8, groups, pixels)

    def words(self, offset: int, *shape: int) -> NDArray[np.int32]:
        """Return an int32 array without gaps; words of channels may begin at any quad, as a joint map's parts do."""
        return self.view(offset, shape, np.int32, alignment=4 * C.QUAD if len(shape) == 1 else C.ALIGN_BYTES)

    def word(self, offset: int) -> int:
        """Return one int32, such as the exponent of a feature map."""
        return int(self.words(offset, 1)[0])

    def counter(self, offset: int) -> NDArray[np.uint32]:
        """Return one uint32 word as an array [1], such as the dither counter."""
        return self.view(offset, (1,), np.uint32)

    def slot(self, offset: int) -> Any:
        """Return the strop_slot record, writable."""
        return self.view(offset, (1,), SLOT)[0]

    def site(self, offset: int) -> Site:
        """Return what a strop_site says."""
        record = self.view(offset, (1,), SITE)[0]
        return Site(*(int(record[name]) for name in _SITE_WORDS))

    def write_site(self, offset: int, site: Site) -> None:
        """Write a strop_site; its reserved words stay."""
        record = self.view(offset, (1,), SITE)[0]
        for name in _SITE_WORDS:
            record[name] = getattr(site, name)

    def statistics(self, offset: int, channels: int) -> Statistics:
        """Return the strop_channel_statistics of `channels` channels."""
        records = self.view(offset, (channels,), STATISTICS)
        mu, sigma, multiplier, sign_sum = (wide(records[name]) for name in ("mu", "sigma", "multiplier", "sign_sum"))
        return Statistics(mu, sigma, multiplier, sign_sum)

    def write_statistics(self, offset: int, statistics: Statistics) -> None:
        """Write the strop_channel_statistics of every channel."""
        records = self.view(offset, statistics.mu.shape, STATISTICS)
        for name in ("mu", "sigma", "multiplier", "sign_sum"):
            records[name] = getattr(statistics, name)


def wide(stored: NDArray[Any]) -> Integers:
    """Return a copy in int64, in which the arithmetic is exact."""
    return stored.astype(np.int64)
