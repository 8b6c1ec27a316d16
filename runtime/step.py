"""What the passes of the compiler share: the step in the making, and the shape fields of commands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from strop.runtime.contract import C
from strop.runtime.emitter import Emitter
from strop.runtime.graph import Flatten, MaxPool2d, NetworkGraph, Node, Shape
from strop.runtime.hyperparameters import Hyperparameters
from strop.runtime.program import SlotLayout
from strop.runtime.state import StateLayout, blocks_of
from strop.runtime.weight_view import convolution_of, is_folded


@dataclass(frozen=True)
class Value:
    """A feature map while compiling: the names of its tensor and of its exponent words, and its shape."""

    tensor: str
    exponent: str
    shape: Shape


class Step:
    """One step while it is compiled: the network, its state's layout, the commands so far, and what each layer gives.

    `outputs` has a block's output under its convolution or Linear layer; L1BN and ReLU, fused into it, pass it on.
    """

    def __init__(self, graph: NetworkGraph, layout: StateLayout, batch: int, hyper: Hyperparameters) -> None:
        self.graph, self.layout, self.hyper = graph, layout, hyper
        self.out = Emitter(graph.name, batch)
        self.slot = SlotLayout.of(batch, int(np.prod(graph.input)), graph.classes)
        self.blocks = {block.node.name: block for block in blocks_of(graph)}
        self.convolutions = {name: convolution_of(graph, block.node) for name, block in self.blocks.items()}
        self.outputs: dict[str, Value] = {}
        self.dither = layout.offset("dither")

    def read_by(self, node: Node) -> Value:
        """Return what a layer reads; of an addition, its first summand."""
        return self.outputs[node.sources[0]]

    def convolution(self, node: Node, flags: int = 0) -> dict[str, int]:
        """Return the shape fields of a convolution's command, and its flags with `flags`."""
        conv = self.convolutions[node.name]
        fields = input_fields(conv.input) | output_fields(conv.output) | {"groups": conv.groups}
        fields["flags"] = flags | (C.FLAG_PIXELS if conv.pixels else 0)
        return fields | window_fields(conv.kernel, conv.stride, conv.padding)

    def pool(self, node: Node) -> dict[str, int]:
        """Return the shape fields of a max pooling's command."""
        assert isinstance(node.layer, MaxPool2d)
        window = window_fields(node.layer.kernel, node.layer.stride, node.layer.padding)
        return input_fields(node.input) | output_fields(node.output) | window

    def transposes(self, node: Node) -> bool:
        """Whether a layer is a Flatten that needs a command: not on a 1x1 map, nor below a Linear that reads it."""
        reshapes = isinstance(node.layer, Flatten) and node.input[1] * node.input[2] > 1
        return reshapes and not is_folded(self.graph, node)

    def state(self, **names: str) -> dict[str, int]:
        """Return command fields that name state arrays."""
        return {field: self.layout.offset(name) for field, name in names.items()}


def input_fields(shape: Shape) -> dict[str, int]:
    """C, H, W of a command."""
    return {"channels_in": shape[0], "height_in": shape[1], "width_in": shape[2]}


def output_fields(shape: Shape) -> dict[str, int]:
    """K, P, Q of a command."""
    return {"channels_out": shape[0], "height_out": shape[1], "width_out": shape[2]}


def window_fields(kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]) -> dict[str, int]:
    """R, S, strides and padding of a command."""
    names = ("kernel_h", "kernel_w", "stride_h", "stride_w", "pad_top", "pad_left")
    return dict(zip(names, (*kernel, *stride, *padding), strict=True))
