"""Names of layers as PyTorch's networks have them.

A chain keeps strop's names (conv1, bn1, fc1), which is what an `nn.Sequential` of an `OrderedDict` or a module with
such attributes calls them. A network with residual blocks gets torchvision's: conv1, bn1, layer1.0.conv1,
layer1.0.downsample.0, ..., fc. A new `layer` begins wherever a block gives another number of channels than the one
before.
"""

from __future__ import annotations

from strop.runtime.graph import L1BN, Conv2d, Linear, NetworkGraph, Node, Residual


def torch_names(graph: NetworkGraph) -> dict[str, str]:
    """Return the name of each layer with parameters, by its name in the graph."""
    own = [node for node in graph.nodes if isinstance(node.layer, (Conv2d, Linear, L1BN))]
    if not any(isinstance(node.layer, Residual) for node in graph.nodes):
        return {node.name: node.name for node in own}
    names: dict[str, str] = {}
    stage = index = channels = 0
    for place in _residual_blocks(graph):
        addition, body, shortcut = place
        stage, index = (stage, index + 1) if addition.output[0] == channels else (stage + 1, 0)
        channels = addition.output[0]
        prefix = f"layer{stage}.{index}"
        names |= _numbered(body, f"{prefix}.")
        names |= {node.name: f"{prefix}.downsample.{at}" for at, node in enumerate(shortcut)}
    rest = [node for node in own if node.name not in names]
    heads = [node for node in rest if isinstance(node.layer, Linear)]
    names |= _numbered(rest, "")
    if len(heads) == 1:
        names[heads[0].name] = "fc"
    return names


def _numbered(nodes: list[Node], prefix: str) -> dict[str, str]:
    counts: dict[str, int] = {}
    names: dict[str, str] = {}
    for node in nodes:
        kind = {Conv2d: "conv", Linear: "fc", L1BN: "bn"}[type(node.layer)]
        counts[kind] = counts.get(kind, 0) + 1
        names[node.name] = f"{prefix}{kind}{counts[kind]}"
    return names


def _residual_blocks(graph: NetworkGraph) -> list[tuple[Node, list[Node], list[Node]]]:
    """Return each addition with the layers with parameters of its body and of its shortcut."""
    nodes = {node.name: node for node in graph.nodes}
    found = []
    for addition in graph.nodes:
        if not isinstance(addition.layer, Residual):
            continue
        chains: list[list[Node]] = []
        for source, layers in zip(addition.sources, (addition.layer.body, addition.layer.shortcut), strict=True):
            chain: list[Node] = []
            for _ in layers:
                chain.insert(0, nodes[source])
                source = nodes[source].sources[0]
            chains.append([node for node in chain if isinstance(node.layer, (Conv2d, Linear, L1BN))])
        found.append((addition, chains[0], chains[1]))
    return found
