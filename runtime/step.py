"""What the passes of the compiler share: the step in the making, and the shape fields of commands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from strop.runtime.contract import C
from strop.runtime.emitter import Emitter
from strop.runtime.graph import NetworkGraph
from strop.runtime.hyperparameters import Hyperparameters
from strop.runtime.joint_maps import Place, joint_places
from strop.runtime.layers import AveragePool2d, Flatten, MaxPool2d
from strop.runtime.node import Node, Shape
from strop.runtime.program import SlotLayout
from strop.runtime.state import StateLayout, blocks_of, norm_owners
from strop.runtime.weight_view import convolution_of, is_folded


@dataclass(frozen=True)
class Value:
    """A feature map while compiling: the names of its tensor and of its exponent words, and its shape.

    per_channel: it has an exponent a channel, as what a convolution gives has.
    """

    tensor: str
    exponent: str
    shape: Shape
    per_channel: bool = False

    @property
    def row_flag(self) -> int:
        """The flag that tells a command of an exponent a channel."""
        return C.FLAG_EXPONENT_PER_ROW if self.per_channel else 0


class Step:
    """One step while it is compiled: the network, its state's layout, the commands so far, and what each layer gives.

    `outputs` has a block's output under its convolution or Linear layer; ReLU, fused into what is before it, passes
    that on.
    """

    def __init__(self, graph: NetworkGraph, layout: StateLayout, batch: int, hyper: Hyperparameters) -> None:
        self.graph, self.layout, self.hyper = graph, layout, hyper
        self.out = Emitter(graph.name, batch)
        self.slot = SlotLayout.of(batch, int(np.prod(graph.input)), graph.classes)
        self.blocks = {block.node.name: block for block in blocks_of(graph)}
        self.owners = norm_owners(graph)
        self.convolutions = {name: convolution_of(graph, block.node) for name, block in self.blocks.items()}
        self.outputs: dict[str, Value] = {}
        self.sums: dict[str, int] = {}  # gradients of a layer's output that were added up
        self.dither = layout.offset("dither")
        self._places: dict[str, Place] = joint_places(graph)

    def read_by(self, node: Node) -> Value:
        """Return what a layer reads; of an addition, its first summand."""
        return self.outputs[node.sources[0]]

    def output(self, node: Node) -> Value:
        """Declare what a layer gives, in its place of a joint map if it is part of one."""
        per_channel = node.grid is None
        if node.name in self._places:
            return self._part(node, self._places[node.name], per_channel)
        tensor = self.out.feature_map(f"{node.name}.output", node.output)
        words = self.out.words(f"{node.name}.exponent", node.output[0] if per_channel else 1)
        return Value(tensor, words, node.output, per_channel)

    def _part(self, node: Node, place: Place, per_channel: bool) -> Value:
        whole = self.outputs.get(place.concatenate)
        if whole is None:  # its first part declares it
            whole = self.outputs[place.concatenate] = self.output(self.graph.node(place.concatenate))
        return self.channels(whole, f"{node.name}.output", place.channel, node.output[0], f"{node.name}.exponent")

    def channels(self, whole: Value, tensor: str, first: int, count: int, exponent: str) -> Value:
        """Return channels [first, first + count) of a map, under names of their own; `first` is a multiple of 4."""
        shape = (count, *whole.shape[1:])
        plane = self.out.plane(whole.shape)
        self.out.part(tensor, whole.tensor, first // C.QUAD * plane)
        self.out.part(exponent, whole.exponent, 4 * first if whole.per_channel else 0)
        return Value(tensor, exponent, shape, whole.per_channel)

    def convolution(self, node: Node, flags: int = 0) -> dict[str, int]:
        """Return the shape fields of a convolution's command, and its flags with `flags`."""
        conv = self.convolutions[node.name]
        fields = input_fields(conv.input) | output_fields(conv.output) | {"groups": conv.groups}
        fields["flags"] = flags | (C.FLAG_PIXELS if conv.pixels else 0) | (C.FLAG_TRANSPOSED if conv.transposed else 0)
        return fields | window_fields(conv.kernel, conv.stride, conv.padding)

    def pool(self, node: Node) -> dict[str, int]:
        """Return the shape fields of a pooling's command."""
        assert isinstance(node.layer, (MaxPool2d, AveragePool2d))
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
