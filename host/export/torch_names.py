"""Names of layers as PyTorch's networks have them.

A chain keeps strop's names (conv1, bn1, fc1), which is what an `nn.Sequential` of an `OrderedDict` or a module with
such attributes calls them. A ResNet gets torchvision's: conv1, bn1, layer1.0.conv1,
layer1.0.downsample.0, ..., fc. A new `layer` begins wherever a block gives another number of channels than the one
before.
"""

from __future__ import annotations

import re

from strop.runtime.graph import NetworkGraph
from strop.runtime.layers import NORMS, WEIGHTED, Linear, Residual
from strop.runtime.node import Node


def torch_names(graph: NetworkGraph) -> dict[str, str]:
    """Return the name of each layer with parameters, by its name in the graph."""
    own = [node for node in graph.nodes if _has_parameters(node)]
    names: dict[str, str] = {}
    stage = index = channels = 0
    for addition, body, shortcut in _residual_blocks(graph):
        stage, index = (stage, index + 1) if addition.output[0] == channels else (stage + 1, 0)
        channels = addition.output[0]
        prefix = f"layer{stage}.{index}"
        names |= _numbered(body, f"{prefix}.")
        names |= {node.name: f"{prefix}.downsample.{at}" for at, node in enumerate(shortcut)}
    rest = [node for node in own if node.name not in names]
    stem, head = rest[:-1], rest[-1]
    inside = [index for index, node in enumerate(own) if node.name in names]
    if not names or not isinstance(head.layer, Linear) or own.index(stem[-1]) > inside[0]:
        return {node.name: node.name for node in own}  # no ResNet: a chain, or layers between residual blocks
    return names | _numbered(stem, "") | {head.name: "fc"}


def _has_parameters(node: Node) -> bool:
    return isinstance(node.layer, (*WEIGHTED, *NORMS))


def _numbered(nodes: list[Node], prefix: str) -> dict[str, str]:
    counts: dict[str, int] = {}
    names: dict[str, str] = {}
    for node in nodes:
        kind = re.sub(r"\d+$", "", node.name)
        counts[kind] = counts.get(kind, 0) + 1
        names[node.name] = f"{prefix}{kind}{counts[kind]}"
    return names


def _residual_blocks(graph: NetworkGraph) -> list[tuple[Node, list[Node], list[Node]]]:
    """Return each addition with the layers with parameters of its body and of its shortcut."""
    found = []
    for addition in graph.nodes:
        if not isinstance(addition.layer, Residual):
            continue
        chains: list[list[Node]] = []
        for source, layers in zip(addition.sources, (addition.layer.body, addition.layer.shortcut), strict=True):
            chain: list[Node] = []
            for _ in layers:
                chain.insert(0, graph.node(source))
                source = graph.node(source).sources[0]
            chains.append([node for node in chain if _has_parameters(node)])
        found.append((addition, chains[0], chains[1]))
    return found
