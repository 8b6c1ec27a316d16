"""What commands have in common: their maps, exponents, shapes and dither as arrays, for all opcodes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.runtime.contract import C
from strop.runtime.reference.arena import Arena, wide
from strop.runtime.reference.arithmetic import Integers, advance_dither, dither
from strop.runtime.reference.windows import Geometry

Command = SimpleNamespace
Shape = tuple[int, int, int, int]


def source_at(c: Command, slot: int) -> int:
    """Return the offset of the source in the arena."""
    return int(c.source) + (slot if c.flags & C.FLAG_SOURCE_IN_SLOT else 0)


def source_exponents(arena: Arena, c: Command, slot: int, count: int) -> Integers:
    """Return the first `count` words of the source's exponents, int64 [count]."""
    return wide(arena.words(c.source_exponent + (slot if c.flags & C.FLAG_SOURCE_IN_SLOT else 0), count))


def source_exponent(arena: Arena, c: Command, slot: int) -> int:
    """Return the source's one exponent."""
    return int(source_exponents(arena, c, slot, 1)[0])


def target_at(c: Command, slot: int) -> int:
    """Return the offset of the target in the arena."""
    return int(c.target) + (slot if c.flags & C.FLAG_TARGET_IN_SLOT else 0)


def write_target_exponent(arena: Arena, c: Command, slot: int, exponents: NDArray[Any] | list[int]) -> None:
    """Write the target's exponents, one or one for each channel."""
    offset = c.target_exponent + (slot if c.flags & C.FLAG_TARGET_IN_SLOT else 0)
    arena.words(offset, len(exponents))[:] = exponents


def shape_in(c: Command) -> Shape:
    """Return C, N, H, W."""
    return (c.channels_in, c.batch, c.height_in, c.width_in)


def shape_out(c: Command) -> Shape:
    """Return K, N, P, Q."""
    return (c.channels_out, c.batch, c.height_out, c.width_out)


def read_source(arena: Arena, c: Command, slot: int, shape: Shape) -> NDArray[np.int8]:
    """Return a copy of the source map, int8 of `shape`."""
    return arena.read_map(source_at(c, slot), c.source_plane, shape)


def write_target(arena: Arena, c: Command, slot: int, values: NDArray[Any]) -> None:
    """Write the target map [C, N, H, W]."""
    arena.write_map(target_at(c, slot), c.target_plane, values)


def geometry(c: Command) -> Geometry:
    """Return the command's windows over its input."""
    return Geometry(
        kernel=(c.kernel_h, c.kernel_w),
        stride=(c.stride_h, c.stride_w),
        pad=(c.pad_top, c.pad_left),
        input=(c.height_in, c.width_in),
        output=(c.height_out, c.width_out),
    )


def draw(arena: Arena, c: Command, shape: tuple[int, ...]) -> Integers:
    """Advance the command's dither counter; return the dither of a tensor of `shape`."""
    word = arena.counter(c.dither)
    word[0] = advance_dither(int(word[0]))
    return dither(int(word[0]), shape)
