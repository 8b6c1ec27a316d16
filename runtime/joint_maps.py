"""Where a Concatenate's parts lie: each producer writes its channels into the joint map, so nothing is copied."""

from __future__ import annotations

from dataclasses import dataclass

from strop.runtime.graph import NetworkGraph
from strop.runtime.graph_walk import producer_of
from strop.runtime.layers import Concatenate


@dataclass(frozen=True)
class Place:
    """A layer's output is the channels from `channel` on of what `concatenate` gives."""

    concatenate: str
    channel: int


def joint_places(graph: NetworkGraph) -> dict[str, Place]:
    """Return the places of the layers whose outputs are parts, by name; that of a Concatenate in another included."""
    found: dict[str, Place] = {}
    nodes = {node.name: node for node in graph.nodes}
    for node in graph.nodes:
        if isinstance(node.layer, Concatenate):
            channel = 0
            for source in node.sources:
                found[producer_of(nodes, source)] = Place(node.name, channel)
                channel += nodes[source].output[0]
    return found
