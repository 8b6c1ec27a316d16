"""What every reader makes of a foreign network: float operations on maps [C, H, W] of one sample, in order.

Batch normalization in inference is a scale and a shift of each channel, and so are a bias and an input's normalization:
all are `Affine`. What leaves values as they are (Identity, Dropout, a Softmax at the end) is not there any more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strop.runtime.graph import Layer, Shape

Floats = NDArray[np.float64]
Pair = tuple[int, int]
Edges = tuple[int, int, int, int]  # top, left, bottom, right
INPUT = ""  # the name of the value that the network's input is


@dataclass(frozen=True, eq=False)
class Convolve:
    """Convolution with weight [K, C/groups, R, S], padded with zeros."""

    weight: Floats
    stride: Pair
    padding: Edges
    groups: int


@dataclass(frozen=True, eq=False)
class ConvolveTransposed:
    """Transposed convolution with weight [C, K/groups, R, S]; `padding` is cut off the output, as in PyTorch."""

    weight: Floats
    stride: Pair
    padding: Pair
    output_padding: Pair
    groups: int


@dataclass(frozen=True, eq=False)
class Dense:
    """Fully-connected layer on [features, 1, 1], weight [K, features]."""

    weight: Floats


@dataclass(frozen=True, eq=False)
class Affine:
    """scale[c] * x + shift[c], each [C]."""

    scale: Floats
    shift: Floats


@dataclass(frozen=True)
class Activate:
    """A function of each value: one of strop's activation layers."""

    layer: Layer


@dataclass(frozen=True)
class MaxPool:
    """Max pooling; positions outside the map do not take part."""

    kernel: Pair
    stride: Pair
    padding: Edges


@dataclass(frozen=True)
class AveragePool:
    """Average pooling; positions outside the map count as 0."""

    kernel: Pair
    stride: Pair
    padding: Edges


@dataclass(frozen=True)
class Pad:
    """Zeros around the map."""

    padding: Edges


@dataclass(frozen=True)
class Upsample:
    """Nearest neighbour, by whole factors."""

    scale: Pair


@dataclass(frozen=True)
class GlobalAverage:
    """Mean of each channel's map."""


@dataclass(frozen=True)
class Flat:
    """[C, H, W] to [C*H*W, 1, 1]."""


@dataclass(frozen=True)
class Sum:
    """Sum of two maps of one shape."""


@dataclass(frozen=True)
class Join:
    """Concatenation along the channels."""


What = (
    Convolve
    | ConvolveTransposed
    | Dense
    | Affine
    | Activate
    | MaxPool
    | AveragePool
    | Pad
    | Upsample
    | GlobalAverage
    | Flat
    | Sum
    | Join
)


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation. `name` is also that of the value it gives; `node` and `op` are what the user knows it by."""

    name: str
    node: str
    op: str
    what: What
    inputs: tuple[str, ...]
    output: Shape


@dataclass(frozen=True, eq=False)
class OperationGraph:
    """Operations in an order in which they can be computed, from `INPUT` of shape `input` to the value `output`."""

    name: str
    input: Shape
    operations: tuple[Operation, ...]
    output: str

    def readers(self) -> dict[str, list[Operation]]:
        """Return by value the operations that read it, in order; one that reads it twice is there twice."""
        found: dict[str, list[Operation]] = {}
        for operation in self.operations:
            for name in operation.inputs:
                found.setdefault(name, []).append(operation)
        return found
