"""A network cut in two: the front, whose feature maps are kept, and the rear, a network of its own that trains on them.

A feature map of the front is int8; as bytes, value + 128, it takes the place of an image: INPUT undoes that, and the
rear's `input_exponent` is the map's. Training the rear so gives the bytes of training the whole network with the front
frozen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.runtime.errors import InputError, NetworkError
from strop.runtime.graph import NetworkGraph
from strop.runtime.layers import WEIGHTED, Concatenate, Flatten, Residual
from strop.runtime.node import Node
from strop.runtime.state import StateLayout

State = dict[str, NDArray[Any]]
MAP_OFFSET = 128  # a byte of a kept map is its value and this


@dataclass(frozen=True)
class Cut:
    """Where `graph` is cut: behind its layer `after`; `frozen` are the layers with weights in front of that.

    `rear` is the network behind. Its layers count from 1; `names` has the whole network's name of each.
    """

    graph: NetworkGraph
    after: str
    rear: NetworkGraph
    frozen: frozenset[str]
    names: dict[str, str]

    @property
    def map_bytes(self) -> int:
        """Bytes of one sample's feature map: C*H*W."""
        return int(np.prod(self.rear.input))

    def rear_state(self, state: State) -> State:
        """Return what of the whole network's state is the rear's, under the rear's names; arrays are not copied."""
        return {t.name: state[self._whole(t.name)] for t in StateLayout(self.rear).stored}

    def joined(self, state: State, rear: State) -> State:
        """Return the whole network's state with the rear's part replaced by `rear`."""
        return {**state, **{self._whole(name): array for name, array in rear.items()}}

    def _whole(self, name: str) -> str:
        layer, dot, rest = name.partition(".")
        return f"{self.names[layer]}{dot}{rest}" if dot else name  # the dither counter belongs to no layer


def cut_points(graph: NetworkGraph) -> tuple[str, ...]:
    """Return the layers behind which `graph` can be cut, from the front."""
    return tuple(_places(graph))


@lru_cache(maxsize=32)  # every chunk of a stream asks again
def cut(graph: NetworkGraph, after: str) -> Cut:
    """Cut `graph` behind its layer `after`. Raises `InputError` for a layer where that is not possible."""
    places = _places(graph)
    if after not in places:
        raise InputError(
            f"{graph.name} cannot be cut behind {after!r}; allowed: {', '.join(places) or 'nowhere'}: behind an "
            "activation or a pooling, and with layers to train left"
        )
    index = places[after]
    position = [node.name for node in graph.nodes].index(after) + 1
    rear = _rear(graph, index, graph.nodes[position - 1])
    names = {mine.name: whole.name for mine, whole in zip(rear.nodes, graph.nodes[position:], strict=True)}
    front = {node.name for node in graph.nodes[:position]}
    return Cut(graph, after, rear, frozenset(node.name for node in graph.weighted if node.name in front), names)


def _places(graph: NetworkGraph) -> dict[str, int]:
    """Return, by the name of the layer in front of it, how many of the declared layers are in front of each cut."""
    found: dict[str, int] = {}
    last = 0
    for index, layer in enumerate(graph.layers[:-1]):
        last += _nodes_of(layer)
        node, following = graph.nodes[last - 1], graph.layers[index + 1]
        weighted = any(isinstance(n.layer, WEIGHTED) for n in graph.nodes[:last])
        # within a block, and behind a Flatten, which the layer above may have taken in, there is no map to keep
        closed = not isinstance(layer, Flatten) and node.grid is not None and _nodes_start_block(following)
        if weighted and closed and _can_be_built(graph, index + 1, node):
            found[node.name] = index + 1
    return found


def _nodes_of(layer: Any) -> int:
    """Return how many nodes a declared layer has."""
    if isinstance(layer, Residual):
        branches: tuple[Any, ...] = (layer.body, layer.shortcut)
    elif isinstance(layer, Concatenate):
        branches = layer.branches
    else:
        return 1
    return 1 + sum(_nodes_of(inner) for branch in branches for inner in branch)


def _nodes_start_block(layer: Any) -> bool:
    """Whether a layer is not fused into the one before it, as L1BN and ReLU are."""
    return layer.kind not in ("l1bn", "bias", "relu")


def _can_be_built(graph: NetworkGraph, index: int, node: Node) -> bool:
    try:
        _rear(graph, index, node)
    except NetworkError:
        return False
    return True


def _rear(graph: NetworkGraph, index: int, node: Node) -> NetworkGraph:
    exponent = graph.grid_of(node.name)
    return NetworkGraph(f"{graph.name} behind {node.name}", node.output, graph.layers[index:], input_exponent=exponent)
