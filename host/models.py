"""The network zoo by name (networks/), and a network's first state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.host.networks import (
    alexnet,
    densenet100,
    lenet5,
    mobilenet,
    mobilenet_small,
    resnet8,
    resnet20,
    resnet110,
    resnet_bottleneck,
    vgg7,
    vgg_small,
    wide_densenet40,
)
from strop.host.order import uniform
from strop.runtime.contract import C
from strop.runtime.errors import InputError
from strop.runtime.graph import L1BN, NetworkGraph, Residual
from strop.runtime.state import StateLayout

# What gamma starts from where a `Residual` adds an L1BN's output; elsewhere 1. The next L1BN takes a map's scale back,
# but not a summand's share of a sum: with a smaller one a block starts nearer to identity (Goyal et al., 2017: from 0).
SUMMAND_GAMMA = 0.5

MODELS: dict[str, Callable[..., NetworkGraph]] = {
    "lenet5": lenet5,
    "vgg-small": vgg_small,
    "vgg7": vgg7,
    "resnet8": resnet8,
    "resnet20": resnet20,
    "resnet110": resnet110,
    "resnet110-bottleneck": resnet_bottleneck,
    "densenet100": densenet100,
    "wide-densenet40": wide_densenet40,
    "alexnet": alexnet,
    "mobilenet": mobilenet,
    "mobilenet-small": mobilenet_small,
}


def build_model(name: str, input: tuple[int, int, int], classes: int) -> NetworkGraph:
    """Build a network of the zoo for images of `input` = (channels, height, width).

    Raises `InputError` for a name that is not in `MODELS`.
    """
    if name not in MODELS:
        raise InputError(f"network {name!r} is not known; allowed: {', '.join(MODELS)}")
    return MODELS[name](input=input, classes=classes)


def network_for(network: str | NetworkGraph, input: tuple[int, int, int] | None, classes: int | None) -> NetworkGraph:
    """Return the network that `Model.create` was asked for: one of the zoo for its input and classes, or a given graph.

    Raises `InputError` where something lacks, or does not belong to the graph.
    """
    if isinstance(network, str):
        if input is None or classes is None:
            raise InputError(f"Model.create({network!r}) needs input=(channels, height, width) and classes=")
        network = build_model(network, input, classes)
    if not isinstance(network, NetworkGraph):
        raise InputError(f"network is {network!r}; pass a NetworkGraph or one of {', '.join(MODELS)}")
    if input not in (None, network.input) or classes not in (None, network.classes):
        raise InputError(
            f"{network.name} takes images of {network.input} and has {network.classes} classes; input={input} and "
            f"classes={classes!r} differ from that: leave them out"
        )
    return network


def to_fixed(values: NDArray[Any], fraction_bits: int) -> NDArray[np.int32]:
    """Return real values as int32 with LSB 2^-fraction_bits, rounded to nearest even, saturated."""
    limit = 2.0**31 - 1
    return np.clip(np.rint(values.astype(np.float64) * 2.0**fraction_bits), -limit, limit).astype(np.int32)


def norms_of_summands(graph: NetworkGraph) -> list[str]:
    """Return the names of the L1BN layers whose output a `Residual` adds."""
    sources = {source for node in graph.nodes if isinstance(node.layer, Residual) for source in node.sources}
    return [node.name for node in graph.nodes if node.name in sources and isinstance(node.layer, L1BN)]


def initial_state(graph: NetworkGraph, seed: int) -> dict[str, NDArray[Any]]:
    """Return the state before the first step: weights uniform in +-1/sqrt(fan-in), gamma 1, beta 0, momenta 0.

    The i-th layer with weights draws them from stream 2i of `seed`, its bias (the last layer's) from stream 2i + 1.
    Where a `Residual` adds an L1BN's output gamma is `SUMMAND_GAMMA`.
    """
    state = StateLayout(graph).initial()
    for name in norms_of_summands(graph):
        state[f"{name}.gamma"][...] = to_fixed(np.array(SUMMAND_GAMMA), C.PARAMETER_FRACTION)
    for index, node in enumerate(graph.weighted):
        bound = 1.0 / float(np.sqrt(np.prod(node.weight_shape[1:])))
        weights = uniform(node.weight_shape, bound, seed, 2 * index)
        state[f"{node.name}.weight"] = to_fixed(weights, C.WEIGHT_FRACTION)
        if f"{node.name}.bias" in state:
            bias = uniform(node.weight_shape[:1], bound, seed, 2 * index + 1)
            state[f"{node.name}.bias"] = to_fixed(bias, C.PARAMETER_FRACTION)
    return state
