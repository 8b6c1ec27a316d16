"""What the operations of operations and its relatives have in common: fields of a command to offsets, arrays, draws.

Offsets and exponents count from the step's slot where the command's flags say so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.runtime.contract import C
from strop.runtime.reference.arena import Arena, wide
from strop.runtime.reference.arithmetic import Integers, Site, advance_dither, control, dither, dsh, sat
from strop.runtime.reference.update_operations import Command, weight_shape
from strop.runtime.reference.windows import Geometry

Shape = tuple[int, int, int, int]


class Stop(Exception):
    """The command cannot run: the status and the detail to report."""

    def __init__(self, status: int, detail: int = 0) -> None:
        super().__init__(status, detail)
        self.status, self.detail = status, detail


def source_offset(c: Command, slot: int) -> int:
    """Return where the command's source lies."""
    return int(c.source) + (slot if c.flags & C.FLAG_SOURCE_IN_SLOT else 0)


def source_exponents(arena: Arena, c: Command, slot: int, count: int) -> Integers:
    """Return the first `count` exponent words of the source, int64."""
    return wide(arena.words(c.source_exponent + (slot if c.flags & C.FLAG_SOURCE_IN_SLOT else 0), count))


def source_exponent(arena: Arena, c: Command, slot: int) -> int:
    """Return the source's one exponent."""
    return int(source_exponents(arena, c, slot, 1)[0])


def target_offset(c: Command, slot: int) -> int:
    """Return where the command's target lies."""
    return int(c.target) + (slot if c.flags & C.FLAG_TARGET_IN_SLOT else 0)


def write_target_exponent(arena: Arena, c: Command, slot: int, exponents: NDArray[Any] | list[int]) -> None:
    """Write the exponent words of the target."""
    offset = c.target_exponent + (slot if c.flags & C.FLAG_TARGET_IN_SLOT else 0)
    arena.words(offset, len(exponents))[:] = exponents


def shape_in(c: Command) -> Shape:
    """Return C, N, H, W."""
    return (c.channels_in, c.batch, c.height_in, c.width_in)


def shape_out(c: Command) -> Shape:
    """Return K, N, P, Q."""
    return (c.channels_out, c.batch, c.height_out, c.width_out)


def read_source(arena: Arena, c: Command, slot: int, shape: Shape) -> NDArray[np.int8]:
    """Return the source as the map int8 `shape`."""
    return arena.read_map(source_offset(c, slot), c.source_plane, shape)


def write_target(arena: Arena, c: Command, slot: int, values: NDArray[Any]) -> None:
    """Write the map `values` [C, N, H, W]."""
    arena.write_map(target_offset(c, slot), c.target_plane, values)


def geometry(c: Command) -> Geometry:
    """Return the command's windows."""
    return Geometry(
        kernel=(c.kernel_h, c.kernel_w),
        stride=(c.stride_h, c.stride_w),
        pad=(c.pad_top, c.pad_left),
        input=(c.height_in, c.width_in),
        output=(c.height_out, c.width_out),
    )


def weights(arena: Arena, c: Command) -> NDArray[np.int8]:
    """Return the weights int8 [K, C/groups, R, S]."""
    return arena.read_weights(c.weights, weight_shape(c), c.groups, bool(c.flags & C.FLAG_PIXELS))


def convolved(arena: Arena, c: Command, offset: int, plane: int) -> NDArray[np.int8]:
    """Return the map that a convolution reads, which is a pixel map if the command says so."""
    read = arena.read_pixels if c.flags & C.FLAG_PIXELS else arena.read_map
    return read(offset, plane, shape_in(c))


def fixed_shift(site: Site) -> int:
    """Return the shift that training left."""
    if not site.set:
        raise Stop(C.STATUS_SITE_UNSET)
    return site.used


def draw(arena: Arena, c: Command, shape: tuple[int, ...]) -> Integers:
    """Advance the command's dither counter; return the dither of a tensor of `shape`."""
    word = arena.counter(c.dither)
    word[0] = advance_dither(int(word[0]))
    return dither(int(word[0]), shape)


def requantize_error(arena: Arena, c: Command, v: Integers, exponent: int, flat: bool = False) -> tuple[Integers, int]:
    """Return v as int8 by the command's site and dither, both advanced, and the shift.

    `exponent` is what the error arrived with. `flat` counts the elements of v [C, N, H, W] for the dither as those of
    [C*H*W, N].
    """
    s, site = control(arena.site(c.site), v, C.ERROR_RATE_LOG2, exponent)
    if flat:
        channels, samples, height, width = v.shape
        r = draw(arena, c, (channels, height, width, samples)).transpose(0, 3, 1, 2)
    else:
        r = draw(arena, c, v.shape)
    arena.write_site(c.site, site)
    return sat(dsh(v, s, r)), s
