"""The three phases of a convolution (NUMERICS 1.3 step 1, 1.7 steps 5 and 6); a fully-connected layer is the 1x1 case.

Products are summed by float64 matrix multiplication, which is exact: no sum reaches 2^53. Samples are taken some at a
time, so that the matrix of windows stays small.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.runtime.reference.arithmetic import Integers
from strop.runtime.reference.windows import Geometry, add_windows, windows

_WINDOW_ELEMENTS = 1 << 21  # of float64: 16 MiB


def _portions(samples: int, channels: int, g: Geometry) -> Iterator[slice]:
    """Cut the mini-batch so that the windows of a portion stay below `_WINDOW_ELEMENTS`."""
    step = max(1, _WINDOW_ELEMENTS // (channels * g.kernel[0] * g.kernel[1] * g.output[0] * g.output[1]))
    for first in range(0, samples, step):
        yield slice(first, min(samples, first + step))


def _columns(a8: NDArray[Any], g: Geometry, groups: int) -> NDArray[np.float64]:
    """Return the windows of a8 [C, n, H, W] as matrices [groups, C/groups * R * S, n * P * Q]."""
    ordered: NDArray[np.float64] = windows(a8, g, 0, np.float64).transpose(0, 4, 5, 1, 2, 3)
    return ordered.reshape(groups, a8.shape[0] // groups * g.kernel[0] * g.kernel[1], -1)


def _rows(x: NDArray[Any], groups: int) -> NDArray[np.float64]:
    """Return x [K, ...] as matrices [groups, K/groups, rest] of float64."""
    return x.astype(np.float64).reshape(groups, x.shape[0] // groups, -1)


def forward(a8: NDArray[Any], w8: NDArray[Any], g: Geometry, groups: int) -> Integers:
    """Return acc [K, N, P, Q] of activations a8 [C, N, H, W] and weights w8 [K, C/groups, R, S]."""
    (c, n), k = a8.shape[:2], w8.shape[0]
    acc = np.empty((k, n, *g.output), np.int64)
    for part in _portions(n, c, g):
        acc[:, part] = (_rows(w8, groups) @ _columns(a8[:, part], g, groups)).reshape(k, -1, *g.output)
    return acc


def input_gradient(dx8: NDArray[Any], w8: NDArray[Any], g: Geometry, groups: int) -> Integers:
    """Return da [C, N, H, W] of errors dx8 [K, N, P, Q] and weights w8 [K, C/groups, R, S]."""
    n, c = dx8.shape[1], w8.shape[1] * groups
    da = np.empty((c, n, *g.input), np.int64)
    for part in _portions(n, c, g):
        columns = _rows(w8, groups).transpose(0, 2, 1) @ _rows(dx8[:, part], groups)
        values = columns.reshape(c, *g.kernel, -1, *g.output).transpose(0, 3, 4, 5, 1, 2)
        da[:, part] = add_windows(values, g)
    return da


def weight_gradient(dx8: NDArray[Any], a8: NDArray[Any], g: Geometry, groups: int) -> Integers:
    """Return dW [K, C/groups, R, S] of errors dx8 [K, N, P, Q] and activations a8 [C, N, H, W]."""
    (c, n), k = a8.shape[:2], dx8.shape[0]
    total = np.zeros((groups, k // groups, c // groups * g.kernel[0] * g.kernel[1]))
    for part in _portions(n, c, g):
        total += _rows(dx8[:, part], groups) @ _columns(a8[:, part], g, groups).transpose(0, 2, 1)
    return total.astype(np.int64).reshape(k, c // groups, *g.kernel)
