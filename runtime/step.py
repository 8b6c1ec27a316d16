"""What the passes of the compiler share: the step in the making, and the shape fields of commands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from strop.runtime.emitter import Emitter
from strop.runtime.graph import Conv2d, MaxPool2d, NetworkGraph, Node, Shape
from strop.runtime.hyperparameters import Hyperparameters
from strop.runtime.program import SlotLayout
from strop.runtime.state import StateLayout, blocks_of


@dataclass(frozen=True)
class Value:
    """A feature map while compiling: the names of its tensor and of its exponent words, and its shape."""

    tensor: str
    exponent: str
    shape: Shape


class Step:
    """One step while it is compiled: the network, its state's layout, the commands so far, and what each layer read."""

    def __init__(self, graph: NetworkGraph, layout: StateLayout, batch: int, hyper: Hyperparameters) -> None:
        self.graph, self.layout, self.hyper = graph, layout, hyper
        self.out = Emitter(graph.name, batch)
        self.slot = SlotLayout.of(batch, int(np.prod(graph.input)), graph.classes)
        self.blocks = {block.node.name: block for block in blocks_of(graph)}
        self.inputs: dict[str, Value] = {}
        self.dither = layout.offset("dither")

    def window(self, node: Node) -> dict[str, int]:
        """Return the shape fields of a layer's command."""
        fields = input_fields(node.input) | output_fields(node.output)
        if isinstance(node.layer, (Conv2d, MaxPool2d)):
            fields |= dict(zip(("kernel_h", "kernel_w"), node.layer.kernel, strict=True))
            fields |= dict(zip(("stride_h", "stride_w"), node.layer.stride, strict=True))
            fields |= dict(zip(("pad_top", "pad_left"), node.layer.padding, strict=True))
        if isinstance(node.layer, Conv2d):
            fields["groups"] = node.layer.groups
        return fields

    def state(self, **names: str) -> dict[str, int]:
        """Return command fields that name state arrays."""
        return {field: self.layout.offset(name) for field, name in names.items()}


def input_fields(shape: Shape) -> dict[str, int]:
    """C, H, W of a command."""
    return {"channels_in": shape[0], "height_in": shape[1], "width_in": shape[2]}


def output_fields(shape: Shape) -> dict[str, int]:
    """K, P, Q of a command."""
    return {"channels_out": shape[0], "height_out": shape[1], "width_out": shape[2]}


def weight_rows(node: Node) -> dict[str, int]:
    """Rows and columns of a layer's weights, as SGD and WEIGHT_VIEW take them."""
    k, *rest = node.weight_shape
    return {"rows": k, "columns": int(np.prod(rest))}
