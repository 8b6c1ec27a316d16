"""The network zoo, and a network's first state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.host.order import uniform
from strop.runtime.contract import C
from strop.runtime.errors import InputError
from strop.runtime.graph import (
    L1BN,
    Conv2d,
    Flatten,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool2d,
    NetworkGraph,
    ReLU,
    Residual,
)
from strop.runtime.state import StateLayout


def lenet5(input: tuple[int, int, int] = (1, 28, 28), classes: int = 10) -> NetworkGraph:
    """LeNet-5 with L1BN (Wu et al., Table II): 6C5-MP2-16C5-MP2-120-84-classes, on the image with a border of 2."""
    layers: tuple[Layer, ...] = (
        *(Conv2d(6, (5, 5)), L1BN(), ReLU(), MaxPool2d()),
        *(Conv2d(16, (5, 5)), L1BN(), ReLU(), MaxPool2d()),
        Flatten(),
        *(Linear(120), L1BN(), ReLU()),
        *(Linear(84), L1BN(), ReLU()),
        Linear(classes),
    )
    return NetworkGraph("lenet5", input, layers, border=2)


def vgg_small(input: tuple[int, int, int] = (1, 28, 28), classes: int = 10) -> NetworkGraph:
    """A small VGG: three pairs of 3x3 convolutions (32, 64, 128 channels), each pair halved by max pooling."""
    layers: list[Layer] = []
    for channels in (32, 64, 128):
        for _ in range(2):
            layers += [Conv2d(channels, (3, 3), padding=(1, 1)), L1BN(), ReLU()]
        layers.append(MaxPool2d())
    layers += [Flatten(), Linear(classes)]
    return NetworkGraph("vgg-small", input, tuple(layers))


def resnet8(input: tuple[int, int, int] = (1, 28, 28), classes: int = 10) -> NetworkGraph:
    """ResNet-8: a convolution and three residual blocks (16, 32, 64 channels), the last two of which halve the map."""
    layers: list[Layer] = [Conv2d(16, (3, 3), padding=(1, 1)), L1BN(), ReLU()]
    for channels, stride in ((16, 1), (32, 2), (64, 2)):
        body = (
            *(Conv2d(channels, (3, 3), (stride, stride), (1, 1)), L1BN(), ReLU()),
            *(Conv2d(channels, (3, 3), padding=(1, 1)), L1BN()),
        )
        halved = (Conv2d(channels, (1, 1), (stride, stride)), L1BN())
        layers += [Residual(body, halved if stride > 1 else ()), ReLU()]
    layers += [GlobalAveragePool(), Linear(classes)]
    return NetworkGraph("resnet8", input, tuple(layers))


MODELS: dict[str, Callable[..., NetworkGraph]] = {"lenet5": lenet5, "vgg-small": vgg_small, "resnet8": resnet8}


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


def initial_state(graph: NetworkGraph, seed: int) -> dict[str, NDArray[Any]]:
    """Return the state before the first step: weights uniform in +-1/sqrt(fan-in), gamma 1, beta 0, momenta 0.

    The i-th layer with weights draws them from stream 2i of `seed`, its bias (the last layer's) from stream 2i + 1.
    """
    state = StateLayout(graph).initial()
    for index, node in enumerate(graph.weighted):
        bound = 1.0 / float(np.sqrt(np.prod(node.weight_shape[1:])))
        weights = uniform(node.weight_shape, bound, seed, 2 * index)
        state[f"{node.name}.weight"] = to_fixed(weights, C.WEIGHT_FRACTION)
        if f"{node.name}.bias" in state:
            bias = uniform(node.weight_shape[:1], bound, seed, 2 * index + 1)
            state[f"{node.name}.bias"] = to_fixed(bias, C.PARAMETER_FRACTION)
    return state
