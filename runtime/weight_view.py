"""A convolution or Linear layer as the kernel computes it, and the int8 weight view that follows from it.

A Linear layer on a flattened map is a convolution as large as the map, where the kernel takes so large a filter: then
no command transposes the map, forward or back. A first convolution of few channels reads a pixel map. Layouts are those
of contract.h, "Memory".
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from strop.runtime.contract import C
from strop.runtime.graph import NetworkGraph
from strop.runtime.layers import Conv2d, ConvTranspose2d, Flatten, Linear
from strop.runtime.node import Node, Shape


@dataclass(frozen=True)
class Convolution:
    """What the commands of a layer say. `input` is the map in memory, `columns` of padding in front included.

    A transposed convolution is the convolution whose input gradient it computes: it reads that one's `output`.
    """

    input: Shape
    output: Shape
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)  # top, left
    groups: int = 1
    columns: int = 0
    pixels: bool = False  # `input` is a pixel map
    flat: bool = False  # a Linear layer on a map
    transposed: bool = False

    @property
    def view_shape(self) -> tuple[int, int, int, int, int]:
        """Shape of the int8 weight view: [K, D, R, S, 4], with pixels [K, C, R, ceil(S/4), 4]."""
        (height, width), channels, k = self.kernel, self.input[0], self.output[0]
        if self.pixels:
            return k, channels, height, -(-width // C.QUAD), C.QUAD
        if self.groups > 1:  # as many merged as fill whole quads, in and out
            per_input, per_output = channels // self.groups, k // self.groups
            merged = C.QUAD // min(gcd(C.QUAD, per_input), gcd(C.QUAD, per_output))
            channels = min(merged, self.groups) * per_input
        return k, -(-channels // C.QUAD), height, width, C.QUAD

    @property
    def view_fields(self) -> dict[str, int]:
        """The fields by which SGD and WEIGHT_VIEW lay the weights out; flags to be joined with others."""
        (height, width), channels, k = self.kernel, self.input[0], self.output[0]
        fields = {"rows": k, "columns": channels // self.groups * height * width, "groups": self.groups}
        fields |= {"channels_in": channels, "channels_out": k, "kernel_h": height, "kernel_w": width}
        return fields | {"flags": C.FLAG_PIXELS if self.pixels else 0}


def convolution_of(graph: NetworkGraph, node: Node) -> Convolution:
    """Return what the kernel computes for a convolution or Linear layer of `graph`."""
    layer = node.layer
    if isinstance(layer, ConvTranspose2d):
        window = (layer.kernel, layer.stride, layer.padding, layer.groups)
        return Convolution(node.output, node.input, *window, transposed=True)
    if not isinstance(layer, Conv2d):
        flattened = _flattened_below(graph, node)
        source = flattened[-1].input if flattened else node.input
        return Convolution(source, node.output, source[1:], flat=source != node.input)
    (channels, height, width), (top, left) = node.input, layer.padding
    few = channels <= C.MAX_PIXEL_CHANNELS and layer.groups == 1 and width + left <= C.MAX_SIDE
    if few and node == graph.nodes[0]:
        source, padding = (channels, height, left + width), (top, 0)
        return Convolution(source, node.output, layer.kernel, layer.stride, padding, columns=left, pixels=True)
    return Convolution(node.input, node.output, layer.kernel, layer.stride, layer.padding, layer.groups)


def is_folded(graph: NetworkGraph, node: Node) -> bool:
    """Whether a Flatten layer needs no command, because the Linear layer above it reads the map."""
    return any(node in _flattened_below(graph, linear) for linear in graph.weighted if isinstance(linear.layer, Linear))


def _flattened_below(graph: NetworkGraph, linear: Node) -> list[Node]:
    """Return the Flatten layers past which a Linear layer reads, from above; none if the map exceeds a filter."""
    nodes = {node.name: node for node in graph.nodes}
    found: list[Node] = []
    below = nodes.get(linear.sources[0])
    while below is not None and isinstance(below.layer, Flatten) and len(graph.readers(below.name)) == 1:
        found.append(below)
        below = nodes.get(below.sources[0])
    _, height, width = found[-1].input if found else linear.input
    fits = max(height, width) <= C.MAX_KERNEL and linear.output[0] * height * width <= C.MAX_REDUCTION
    return found if fits else []
