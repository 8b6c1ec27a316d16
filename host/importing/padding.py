"""Padding of other libraries, which may differ from edge to edge, as strop's, which is equal on opposite sides."""

from __future__ import annotations

import numpy as np

from strop.host.importing.errors import Unsupported
from strop.host.importing.operations import Edges, Floats, Pair


def even_filter(weight: Floats, size: Pair, output: Pair, stride: Pair, edges: Edges) -> tuple[Floats, Pair]:
    """Return weights [..., R, S] and a padding (height, width) by which a convolution computes the same.

    size, output: height and width of the map read and given. Where the edges differ in what is read, the filter gets
    rows or columns of zeros.
    """
    padding = [0, 0]
    for i in (0, 1):
        axis = weight.ndim - 2 + i
        first, last = edges[i], edges[i + 2]
        if _outputs(size[i], weight.shape[axis], stride[i], first) != output[i]:
            zeros = [(0, 0)] * weight.ndim
            zeros[axis] = (max(0, last - first), max(0, first - last))
            weight, first = np.pad(weight, zeros), max(first, last)
        padding[i] = first
    return weight, (padding[0], padding[1])


def even_pooling(size: Pair, output: Pair, kernel: Pair, stride: Pair, edges: Edges) -> Pair:
    """Return the padding (height, width) by which pooling has the same windows. Raises `Unsupported`."""
    first = (edges[0], edges[1])
    if any(_outputs(size[i], kernel[i], stride[i], first[i]) != output[i] for i in (0, 1)):
        raise Unsupported(
            f"its windows reach further beyond the map of {size} on one side than on the other (padding {edges})",
            "pool without ceil mode and with equal padding, or use images of another size",
        )
    return first


def _outputs(size: int, kernel: int, stride: int, padding: int) -> int:
    return (size + 2 * padding - kernel) // stride + 1
