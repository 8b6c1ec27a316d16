"""Max pooling (NUMERICS 1.3, 1.7), average pooling (1.10, 1.16) and upsampling (1.16), on maps [C, N, H, W]."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.runtime.reference.arithmetic import Integers, bitlen, dsh, rdiv, sat
from strop.runtime.reference.windows import Geometry, add_windows, windows

_OUTSIDE = -1000  # below every int8: a position outside the map never is the maximum


def _first_maxima(y8: NDArray[Any], g: Geometry) -> tuple[Integers, NDArray[np.bool_]]:
    """Return the maximum of each window [C, N, P, Q], and where its first one in raster order is [C, N, P, Q, R, S]."""
    every = windows(y8, g, _OUTSIDE, np.int64)
    flat = every.reshape(*every.shape[:4], -1)
    first = np.argmax(flat, axis=-1)[..., None]
    where = np.arange(flat.shape[-1]) == first
    return np.take_along_axis(flat, first, axis=-1)[..., 0], where.reshape(every.shape)


def max_forward(y8: NDArray[Any], g: Geometry) -> Integers:
    """Return the maxima [C, N, P, Q] of the windows of y8 [C, N, H, W]."""
    return _first_maxima(y8, g)[0]


def max_backward(e8: Integers, y8: NDArray[Any], g: Geometry) -> Integers:
    """Return the error [C, N, H, W]: each of e8 [C, N, P, Q] at the first maximum of its window, sums saturated."""
    return sat(add_windows(_first_maxima(y8, g)[1] * e8[..., None, None], g))


def global_average_forward(y8: Integers, gain: int) -> Integers:
    """Return the rounded mean [C, N, 1, 1] of each map, times 2^gain."""
    return sat(rdiv(y8.sum(axis=(2, 3), keepdims=True) << gain, y8.shape[2] * y8.shape[3]))


def _reciprocal(area: int) -> tuple[int, int, int]:
    """Return 1 / area as R * 2^-(k + 7), the shift h of what is multiplied by R, and what an exponent gains (1.10)."""
    k = bitlen(area - 1)
    h = 7 if area & (area - 1) == 0 else 8
    return int(rdiv(2 ** (k + 7), area)), h, k + 7 - h


def global_average_backward(e8: Integers, r: Integers) -> tuple[Integers, int]:
    """Return the error [C, N, H, W] and what its exponent gains, from e8 [C, N, 1, 1] and dither r [C, N, H, W]."""
    reciprocal, h, gained = _reciprocal(r.shape[2] * r.shape[3])
    return sat(dsh(np.broadcast_to(e8 * reciprocal, r.shape), h, r)), gained


def average_forward(y8: NDArray[Any], g: Geometry) -> Integers:
    """Return the rounded means [C, N, P, Q] of the windows of y8 [C, N, H, W], in which padding counts as 0."""
    return rdiv(windows(y8, g, 0, np.int64).sum(axis=(4, 5)), g.kernel[0] * g.kernel[1])


def average_backward(e8: Integers, g: Geometry, r: Integers) -> tuple[Integers, int]:
    """Return the error [C, N, H, W] and what its exponent gains, from e8 [C, N, P, Q] and dither r [C, N, H, W]."""
    reciprocal, h, gained = _reciprocal(g.kernel[0] * g.kernel[1])
    arriving = add_windows(np.broadcast_to(e8[..., None, None], (*e8.shape, *g.kernel)), g)
    return sat(dsh(arriving * reciprocal, h, r)), gained


def upsample_forward(a8: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
    """Return a8 [C, N, H, W] with each value as a block of `rows` x `columns`."""
    return a8.repeat(rows, axis=2).repeat(columns, axis=3)


def upsample_backward(e8: Integers, r: Integers) -> tuple[Integers, int]:
    """Return the error [C, N, H, W] and what its exponent loses, from e8 of the blocks and dither r [C, N, H, W]."""
    channels, samples, height, width = r.shape
    rows, columns = e8.shape[2] // height, e8.shape[3] // width
    k = bitlen(rows * columns - 1)
    total = e8.reshape(channels, samples, height, rows, width, columns).sum(axis=(3, 5))
    return sat(dsh(total, k, r)), k
