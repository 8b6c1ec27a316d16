"""Sliding windows over a feature map, and the transposed movement: values of windows added back onto the map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray


@dataclass(frozen=True)
class Geometry:
    """Filter or pool over a map: window (p, q) covers rows p*stride_h - pad_top + r, columns q*stride_w - pad_left + s.

    What lies outside the map at the bottom and right follows from the output's size.
    """

    kernel: tuple[int, int]  # R, S
    stride: tuple[int, int]
    pad: tuple[int, int]  # top, left
    input: tuple[int, int]  # H, W
    output: tuple[int, int]  # P, Q

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width of a map that holds the input and every window."""
        reach = zip(self.pad, self.input, self.output, self.stride, self.kernel, strict=True)
        height, width = (max(pad + size, (count - 1) * stride + side) for pad, size, count, stride, side in reach)
        return height, width

    def inside(self, padded: NDArray[Any]) -> NDArray[Any]:
        """Return the view of the input [..., H, W] in a padded map."""
        (top, left), (height, width) = self.pad, self.input
        return padded[..., top : top + height, left : left + width]


def windows(feature_map: NDArray[Any], g: Geometry, outside: int, dtype: Any) -> NDArray[Any]:
    """Return the windows [C, N, P, Q, R, S] of a map [C, N, H, W], with `outside` where they leave it. Read-only."""
    padded = np.full((*feature_map.shape[:2], *g.padded), outside, dtype)
    g.inside(padded)[...] = feature_map
    every = sliding_window_view(padded, g.kernel, axis=(2, 3))
    (stride_h, stride_w), (height, width) = g.stride, g.output
    return every[:, :, ::stride_h, ::stride_w][:, :, :height, :width]


def add_windows(values: NDArray[Any], g: Geometry) -> NDArray[Any]:
    """Return the map [C, N, H, W] onto which the windows [C, N, P, Q, R, S] add up; what falls outside is dropped."""
    padded = np.zeros((*values.shape[:2], *g.padded), values.dtype)
    (stride_h, stride_w), (height, width) = g.stride, g.output
    for r in range(g.kernel[0]):
        for s in range(g.kernel[1]):
            rows = slice(r, r + (height - 1) * stride_h + 1, stride_h)
            columns = slice(s, s + (width - 1) * stride_w + 1, stride_w)
            padded[:, :, rows, columns] += values[..., r, s]
    return g.inside(padded)
