"""Where a Concatenate's parts lie: each producer writes its channels into the joint map, so nothing is copied."""

from __future__ import annotations

from dataclasses import dataclass

from strop.runtime.graph import NetworkGraph
from strop.runtime.layers import Concatenate, Flatten, ReLU


@dataclass(frozen=True)
class Place:
    """A layer's output is the channels from `channel` on of what `concatenate` gives."""

    concatenate: str
    channel: int


def joint_places(graph: NetworkGraph) -> dict[str, Place]:
    """Return the places of the layers whose outputs are parts, by name; that of a Concatenate in another included."""
    found: dict[str, Place] = {}
    for node in graph.nodes:
        if isinstance(node.layer, Concatenate):
            channel = 0
            for source in node.sources:
                found[producer_of(graph, source)] = Place(node.name, channel)
                channel += graph.node(source).output[0]
    return found


def producer_of(graph: NetworkGraph, name: str) -> str:
    """Return the layer whose command makes what `name` gives: that before a ReLU, or before a Flatten of a 1x1 map."""
    node = graph.node(name)
    fused = isinstance(node.layer, ReLU) or (isinstance(node.layer, Flatten) and node.input[1:] == (1, 1))
    return producer_of(graph, node.sources[0]) if fused else name
