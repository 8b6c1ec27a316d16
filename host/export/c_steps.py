"""The order in which an exported C header computes, and where in its working memory each map lies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from strop.host.export.integer_network import IntegerNetwork, low_of
from strop.runtime.graph import IMAGES
from strop.runtime.layers import (
    NORMS,
    TABLES,
    AveragePool2d,
    Concatenate,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    GlobalAveragePool,
    MaxPool2d,
    ReLU,
    Residual,
    Upsample,
)
from strop.runtime.node import Node
from strop.runtime.planner import Placement, Tenant, place


@dataclass(frozen=True)
class CSteps:
    """The calls that make the logits of a network in C; `name` is in front of all that they call."""

    network: IntegerNetwork
    name: str

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes that compute something, in order: a ReLU is part of what it follows, Flatten moves nothing."""
        return tuple(node for node in self.network.graph.nodes if not isinstance(node.layer, (ReLU, Flatten)))

    def value_of(self, name: str) -> str:
        """Return the map that holds what a node gives, by the node that first writes it.

        Normalizations and tables write over what they read, where nobody else reads it.
        """
        if name == IMAGES:
            return name
        node = self.network.graph.node(name)
        over = isinstance(node.layer, (*NORMS, *TABLES)) and self._alone(node.sources[0])
        return self.value_of(node.sources[0]) if over or isinstance(node.layer, (ReLU, Flatten)) else name

    def _alone(self, name: str) -> bool:
        """Whether what a node gives has one reader."""
        graph = self.network.graph
        if len(graph.readers(name)) != 1:
            return False
        passes = name != IMAGES and isinstance(graph.node(name).layer, (ReLU, Flatten))
        return self._alone(graph.node(name).sources[0]) if passes else True

    @cached_property
    def placed(self) -> tuple[dict[str, Placement], int]:
        """Where each map lies in the working memory, and that memory's bytes; the logits are the caller's."""
        graph = self.network.graph
        channels, height, width = graph.input
        sizes = {IMAGES: channels * (height + 2 * graph.border) * (width + 2 * graph.border)}
        first, last = {IMAGES: 0}, {IMAGES: 0}
        for index, node in enumerate(self.nodes, start=1):
            for source in node.sources:
                last[self.value_of(source)] = index
            value = self.value_of(node.name)
            if node is not graph.nodes[-1]:
                sizes.setdefault(value, _count(node))
                first.setdefault(value, index)
                last[value] = index
        return place([Tenant(name, sizes[name], first[name], last[name]) for name in sizes])

    def at(self, name: str) -> str:
        """Return C for the place of what a node gives."""
        return f"maps + {self.placed[0][self.value_of(name)].offset}"

    def calls(self, node: Node) -> list[str]:
        """Return the statements of one node."""
        name, own = self.name, f"{self.name}_{node.name}"
        source = self.at(node.sources[0])
        if node is self.network.graph.nodes[-1]:
            return self._shaped(node, "last", f"{source}, {own}_weights, {own}_biases, &at, logits")
        target = self.at(node.name)
        layer = node.layer
        if node.name in self.network.layers:
            function = "transposed" if isinstance(layer, ConvTranspose2d) else "convolution"
            shift = f"{own.upper()}_SHIFT"
            return self._shaped(node, function, f"{source}, {own}_weights, &at, {shift}, {target}")
        for kind, function in ((MaxPool2d, "max_pool"), (AveragePool2d, "average_pool"), (Upsample, "upsample")):
            if isinstance(layer, kind):
                return self._shaped(node, function, f"{source}, &at, {target}")
        channels, positions = node.input[0], node.input[1] * node.input[2]
        if isinstance(layer, Concatenate):
            return list(self._copies(node))
        if node.name in self.network.norms:
            low = self.network.norms[node.name].low
            words = f"normalize({source}, {own}_multipliers, {own}_constants, {channels}, {positions}, {low}, {target})"
        elif node.name in self.network.tables:
            words = f"activate({source}, {own}_table, {channels * positions}, {target})"
        elif isinstance(layer, GlobalAveragePool):
            words = f"global_pool({source}, {channels}, {positions}, {layer.gain}, {target})"
        else:
            words = f"add({self._summands(node)}, {_count(node)}, {low_of(self.network.graph, node)}, {target})"
        return [f"  {name}_{words}; /* {node.name} */"]

    def _summands(self, node: Node) -> str:
        assert isinstance(node.layer, Residual)
        grids = (self.network.graph.grid_of(source) - node.layer.exponent for source in node.sources)
        return ", ".join(f"{self.at(source)}, {shift}" for source, shift in zip(node.sources, grids, strict=True))

    def _copies(self, node: Node) -> list[str]:
        offset = self.placed[0][node.name].offset
        lines = []
        for source in node.sources:
            count = _count(self.network.graph.node(source)) if source != IMAGES else self._image_count()
            lines.append(f"  {self.name}_copy({self.at(source)}, {count}, maps + {offset}); /* {node.name} */")
            offset += count
        return lines

    def _image_count(self) -> int:
        return self.placed[0][IMAGES].nbytes

    def _shaped(self, node: Node, function: str, arguments: str) -> list[str]:
        fields = ", ".join(map(str, _shape(node, self.network)))
        return [
            f"  {{ /* {node.name} */",
            f"    static const {self.name}_shape at = {{{fields}}};",
            f"    {self.name}_{function}({arguments});",
            "  }",
        ]


def _count(node: Node) -> int:
    channels, height, width = node.output
    return channels * height * width


def _shape(node: Node, network: IntegerNetwork) -> tuple[int, ...]:
    """Return the fields of NAME_shape; a transposed convolution has those of the one that it turns round."""
    layer = node.layer
    if isinstance(layer, ConvTranspose2d):
        return (*node.output, *node.input, *layer.kernel, *layer.stride, *layer.padding, layer.groups)
    if isinstance(layer, Conv2d):
        return (*node.input, *node.output, *layer.kernel, *layer.stride, *layer.padding, layer.groups)
    if isinstance(layer, (MaxPool2d, AveragePool2d)):
        return (*node.input, *node.output, *layer.kernel, *layer.stride, *layer.padding, 1)
    if isinstance(layer, Upsample):
        return (*node.input, *node.output, 1, 1, *layer.scale, 0, 0, 1)
    return (*node.input, len(network.layers[node.name].weights), 1, 1, 1, 1, 1, 1, 0, 0, 1)
