"""One layer of a network in its place."""

from __future__ import annotations

from dataclasses import dataclass

from strop.runtime.layers import Conv2d, ConvTranspose2d, Layer

Shape = tuple[int, int, int]  # channels, height, width


@dataclass(frozen=True)
class Node:
    """One layer in its place: its name, the shapes of what it reads and writes, and whose outputs it reads.

    A `Residual` is the nodes of its body, those of its shortcut, and its addition, a node that reads the last of both;
    a `Concatenate` likewise, and its `input` is what it gives. `grid` is the exponent of its output where that is an
    activation; None where it is what a layer with weights gives: int8 with an exponent a channel, or logits.
    """

    name: str
    layer: Layer
    input: Shape
    output: Shape
    sources: tuple[str, ...]
    grid: int | None

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """[K, C/groups, R, S]; of a transposed convolution [C_in, C_out/groups, R, S]."""
        if isinstance(self.layer, ConvTranspose2d):
            return (self.input[0], self.layer.channels // self.layer.groups, *self.layer.kernel)
        if isinstance(self.layer, Conv2d):
            return (self.layer.channels, self.input[0] // self.layer.groups, *self.layer.kernel)
        return (self.output[0], self.input[0], 1, 1)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of a layer with weights in one sample's forward pass."""
        height, width = self.input[1:] if isinstance(self.layer, ConvTranspose2d) else self.output[1:]
        rows, per_row, r, s = self.weight_shape
        return rows * per_row * r * s * height * width
