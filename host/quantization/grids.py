"""The grid of each activation: exponents that calibration found, put into the declared layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from strop.runtime.contract import C
from strop.runtime.graph import (
    IMAGES,
    L1BN,
    TABLES,
    Concatenate,
    GlobalAveragePool,
    Layer,
    NetworkGraph,
    Node,
    Residual,
)

CARRIERS = (L1BN, Residual, *TABLES)


def with_grids(graph: NetworkGraph, exponents: Mapping[str, int]) -> NetworkGraph:
    """Return the network with `exponents` by node name, at most 8; branches that are joined share the smallest.

    Global average pooling gets the gain that its own exponent allows over that of what it reads.
    """
    chosen = {n.name: min(exponents[n.name], C.MAX_EXPONENT) for n in graph.nodes if isinstance(n.layer, CARRIERS)}
    _share(graph, chosen)
    nodes = {node.name: node for node in graph.nodes}
    for node in graph.nodes:
        if isinstance(node.layer, GlobalAveragePool):
            grids = [chosen[name] for name in carriers(nodes, node.sources[0])]
            below = min(grids, default=graph.input_exponent)  # none: it reads the images
            room = min(exponents[node.name], C.MAX_EXPONENT) - below
            chosen[node.name] = max(0, min(C.MAX_POOL_GAIN, room))
    names = iter([node.name for node in graph.nodes])
    return replace(graph, layers=_rebuilt(graph.layers, names, chosen))


def carriers(nodes: Mapping[str, Node], name: str) -> set[str]:
    """Return the nodes whose exponent is the grid of what `name` gives."""
    if name == IMAGES:
        return set()
    node = nodes[name]
    if isinstance(node.layer, CARRIERS):
        return {name}
    return set().union(*(carriers(nodes, source) for source in node.sources))


def _share(graph: NetworkGraph, chosen: dict[str, int]) -> None:
    """Give the smallest exponent of all to whatever is joined, until nothing changes."""
    nodes = {node.name: node for node in graph.nodes}
    groups = [
        carriers(nodes, node.name)
        for node in graph.nodes
        if isinstance(node.layer, Concatenate) and node.grid is not None
    ]
    changed = True
    while changed:
        changed = False
        for group in groups:
            least = min(chosen[name] for name in group)
            changed |= any(chosen[name] != least for name in group)
            chosen.update(dict.fromkeys(group, least))


def _rebuilt(layers: tuple[Layer, ...], names: Any, chosen: Mapping[str, int]) -> tuple[Layer, ...]:
    """Return the layers with their exponents; `names` gives those of their nodes, in order."""
    found: list[Layer] = []
    for layer in layers:
        if isinstance(layer, Residual):
            body, shortcut = (_rebuilt(chain, names, chosen) for chain in (layer.body, layer.shortcut))
            found.append(Residual(body, shortcut, chosen[next(names)]))
            continue
        if isinstance(layer, Concatenate):
            layer = Concatenate(tuple(_rebuilt(chain, names, chosen) for chain in layer.branches))
        name = next(names)
        if isinstance(layer, CARRIERS):
            layer = replace(layer, exponent=chosen[name])
        elif isinstance(layer, GlobalAveragePool):
            layer = GlobalAveragePool(chosen[name])
        found.append(layer)
    return tuple(found)
