"""Networks small enough to train in a test, a first state for them, and mini-batches that are easy to learn."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from strop.runtime.contract import C
from strop.runtime.errors import NetworkError
from strop.runtime.graph import (
    L1BN,
    AveragePool2d,
    Bias,
    Concatenate,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    GlobalAveragePool,
    HardSwish,
    Layer,
    LeakyReLU,
    Linear,
    MaxPool2d,
    NetworkGraph,
    ReLU,
    Residual,
    SiLU,
    Tanh,
    Upsample,
)
from strop.runtime.session import Minibatch
from strop.runtime.state import StateLayout

State = dict[str, NDArray[Any]]

LENET5 = NetworkGraph(
    "lenet5",
    (1, 28, 28),
    (
        *(Conv2d(6, (5, 5)), L1BN(), ReLU(), MaxPool2d()),
        *(Conv2d(16, (5, 5)), L1BN(), ReLU(), MaxPool2d()),
        *(Flatten(), Linear(120), L1BN(), ReLU(), Linear(84), L1BN(), ReLU(), Linear(10)),
    ),
    border=2,
)
# one of each: a convolution, a pooling, a fully-connected layer with and without L1BN
SMALL = NetworkGraph(
    "small",
    (1, 9, 8),
    (Conv2d(4, (3, 3)), L1BN(), ReLU(), MaxPool2d(), Flatten(), Linear(7), L1BN(), ReLU(), Linear(3)),
)
# every kind of layer: stride, rectangular filter, padding, groups, no activation, overlapping and padded pooling,
# Flatten and global average pooling, a border
MIXED = NetworkGraph(
    "mixed",
    (2, 13, 11),
    (
        *(Conv2d(6, (3, 3), padding=(1, 1)), L1BN(), ReLU(), MaxPool2d((3, 3), (2, 2), (1, 1))),
        *(Conv2d(8, (3, 2), stride=(2, 1), padding=(1, 0), groups=2), L1BN()),
        *(Conv2d(10, (1, 1)), L1BN(), ReLU(), GlobalAveragePool()),
        *(Flatten(), Linear(9), L1BN(), ReLU(), Linear(5)),
    ),
    border=1,
)
FLATTENED = NetworkGraph(
    "flattened",
    (3, 8, 7),
    (
        *(Conv2d(5, (3, 3), stride=(1, 2), padding=(2, 1)), L1BN(), ReLU(), MaxPool2d((3, 2), (1, 2))),
        *(Conv2d(5, (3, 1), groups=5), L1BN(), ReLU(), Flatten(), Linear(6), L1BN(), Linear(4)),
    ),
)
# a block with the input itself as its shortcut, and one that halves the map, as in ResNet
RESIDUAL = NetworkGraph(
    "residual",
    (1, 9, 8),
    (
        *(Conv2d(5, (3, 3), padding=(1, 1)), L1BN(), ReLU()),
        Residual(
            (*(Conv2d(7, (3, 3), padding=(1, 1)), L1BN(), ReLU()), *(Conv2d(5, (3, 3), padding=(1, 1)), L1BN())),
        ),
        ReLU(),
        Residual(
            (*(Conv2d(6, (3, 3), (2, 2), (1, 1)), L1BN(), ReLU()), *(Conv2d(6, (3, 3), padding=(1, 1)), L1BN())),
            (Conv2d(6, (1, 1), (2, 2)), L1BN()),
        ),
        *(ReLU(), GlobalAveragePool(), Linear(3)),
    ),
)
# the same where it is least regular: no ReLU between additions, pooling in branches, blocks of Linear layers, bodies
# of one convolution, a Flatten that two branches read
BRANCHES = NetworkGraph(
    "branches",
    (3, 10, 9),
    (
        *(Conv2d(6, (3, 2), padding=(1, 0)), L1BN(), MaxPool2d()),
        Residual(
            (*(MaxPool2d((2, 2), (1, 1)), Conv2d(8, (2, 1), groups=2), L1BN(), ReLU()), Conv2d(6, (1, 1)), L1BN()),
            (*(MaxPool2d((3, 2), (1, 1)), Conv2d(6, (1, 1), groups=3), L1BN()),),
        ),
        *(Residual((Conv2d(6, (1, 3), padding=(0, 1)), L1BN())), Residual((Conv2d(6, (1, 1)), L1BN())), Flatten()),
        *(Residual((Linear(9), L1BN(), ReLU(), Linear(54), L1BN())), ReLU()),
        *(Residual((Linear(8), L1BN()), (Linear(8), L1BN())), ReLU(), Linear(5)),
    ),
)
# DenseNet-BC in small: joint maps of what convolutions give, one part of which has no whole quads; a transition
DENSE = NetworkGraph(
    "dense",
    (3, 8, 7),
    (
        Conv2d(6, (3, 3), padding=(1, 1)),
        Concatenate(((L1BN(), ReLU(), Conv2d(8, (1, 1)), L1BN(), ReLU(), Conv2d(4, (3, 3), padding=(1, 1))), ())),
        Concatenate(((L1BN(), ReLU(), Conv2d(8, (1, 1)), L1BN(), ReLU(), Conv2d(4, (3, 3), padding=(1, 1))), ())),
        *(L1BN(), ReLU(), Conv2d(7, (1, 1)), AveragePool2d()),
        Concatenate(((L1BN(), ReLU(), Conv2d(8, (3, 3), padding=(1, 1))), ())),
        *(L1BN(), ReLU(), GlobalAveragePool(2), Linear(3)),
    ),
)
# joint maps of activations, as in Inception and U-Net: three readers of one map, pooling beside upsampling
JOINT = NetworkGraph(
    "joint",
    (1, 8, 8),
    (
        *(Conv2d(4, (3, 3), padding=(1, 1)), L1BN(4), ReLU()),
        Concatenate(
            (
                (MaxPool2d(), Conv2d(8, (1, 1)), L1BN(4), ReLU(), Upsample()),
                (AveragePool2d((3, 3), (1, 1), (1, 1)), Conv2d(4, (1, 1)), L1BN(4), LeakyReLU(0.1, 4)),
                (Conv2d(5, (3, 3), padding=(1, 1)), Bias(4), ReLU()),
            )
        ),
        *(Conv2d(8, (3, 3), (2, 2), (1, 1), groups=1), L1BN(4), SiLU(4), AveragePool2d((2, 2), (2, 2))),
        *(Flatten(), Linear(3)),
    ),
)
# a generator and a discriminator in small
ADVERSARIAL = NetworkGraph(
    "adversarial",
    (5, 1, 1),
    (
        *(ConvTranspose2d(8, (3, 2), (1, 1), (0, 0)), L1BN(), ReLU()),
        *(ConvTranspose2d(6, (4, 3), (2, 2), (1, 0), (0, 1), groups=2), Bias(5), Tanh()),
        *(Conv2d(6, (4, 4), (2, 2), (1, 1)), Bias(), LeakyReLU(0.2), Conv2d(8, (3, 3), padding=(1, 1)), L1BN()),
        *(HardSwish(), Flatten(), Linear(1)),
    ),
)


def first_state(graph: NetworkGraph, seed: int = 0) -> State:
    """Return a state to begin training with: weights uniform in +-1/sqrt(fan-in)."""
    rng = np.random.default_rng(seed)
    state = StateLayout(graph).initial()
    for node in graph.weighted:
        bound = (1 << C.WEIGHT_FRACTION) / float(np.sqrt(np.prod(node.weight_shape[1:])))
        state[f"{node.name}.weight"] = rng.uniform(-bound, bound, node.weight_shape).astype(np.int32)
    return state


def samples(graph: NetworkGraph, count: int, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return images uint8 [count, C, H, W] and labels int32 [count]: noise, and rows that the label brightens."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 90, (count, *graph.input)).astype(np.uint8)
    labels = rng.integers(0, graph.classes, count).astype(np.int32)
    for image, label in zip(images, labels, strict=True):
        first = label * graph.input[1] // graph.classes
        image[:, first : first + 2] += 150
    return images, labels


def minibatches(graph: NetworkGraph, batch: int, steps: int, seed: int = 0, rate: float = 0.1) -> Iterator[Minibatch]:
    """Yield `steps` mini-batches of fresh samples."""
    for step in range(steps):
        images, labels = samples(graph, batch, seed=1000 * seed + step)
        yield Minibatch(images, labels, rate)


def digest(state: State) -> str:
    """Return a hash of all arrays of a state with their names."""
    sha = hashlib.sha256()
    for name in sorted(state):
        sha.update(name.encode() + state[name].tobytes())
    return sha.hexdigest()


def assert_same_state(expected: State, actual: State, who: str = "") -> None:
    """Fail naming the arrays in which two states differ."""
    assert expected.keys() == actual.keys()
    assert [name for name in expected if not np.array_equal(expected[name], actual[name])] == [], who


@st.composite
def graphs(draw: st.DrawFn) -> NetworkGraph:
    """Draw a network that can be built: up to three convolutions, residual blocks and hidden fully-connected layers."""
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    layers: list[Layer] = []
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 12)), draw(st.integers(1, 12)))
    border = draw(st.integers(0, 2))

    def extended(*more: Layer) -> bool:
        """Append layers if the network can still be built."""
        try:
            NetworkGraph("probe", shape, (*layers, *more, Flatten(), Linear(2)), border)
        except NetworkError:
            return False
        layers.extend(more)
        return True

    def normed(layer: Layer) -> tuple[Layer, ...]:
        return (layer, L1BN(), ReLU()) if draw(st.booleans()) else (layer, L1BN())

    def branches(channels: int) -> Residual:
        """Draw a block over `channels`: a body of one or two convolutions, and x itself or a projection beside it."""
        kernel = draw(st.sampled_from([(1, 1), (3, 1), (1, 3), (3, 3)]))
        same = (kernel[0] // 2, kernel[1] // 2)
        if draw(st.booleans()):
            inner = normed(Conv2d(draw(st.integers(1, 5)), (1, 1)))
            return Residual((*inner, Conv2d(channels, kernel, (1, 1), same), L1BN()))
        out, stride = draw(st.integers(1, 5)), draw(pair)
        return Residual((Conv2d(out, kernel, stride, same), L1BN()), (Conv2d(out, (1, 1), stride), L1BN()))

    for _ in range(draw(st.integers(0, 3))):
        groups = draw(st.integers(1, 3))
        kernel = draw(pair)
        padding = (draw(st.integers(0, kernel[0] - 1)), draw(st.integers(0, kernel[1] - 1)))
        convolution = Conv2d(groups * draw(st.integers(1, 4)), kernel, draw(pair), padding, groups)
        if extended(*normed(convolution)) and draw(st.booleans()):
            kernel = draw(pair)
            padding = (draw(st.integers(0, kernel[0] // 2)), draw(st.integers(0, kernel[1] // 2)))
            if padding[0] < kernel[0] and padding[1] < kernel[1]:
                extended(MaxPool2d(kernel, draw(pair), padding))
        if any(isinstance(layer, Conv2d) for layer in layers) and draw(st.booleans()):
            channels = NetworkGraph("probe", shape, (*layers, Flatten(), Linear(2)), border).nodes[-3].output[0]
            extended(branches(channels), *((ReLU(),) if draw(st.booleans()) else ()))
    layers.append(GlobalAveragePool() if draw(st.booleans()) else Flatten())
    for _ in range(draw(st.integers(0, 2))):
        extended(*normed(Linear(draw(st.integers(1, 9)))))
    layers.append(Linear(draw(st.integers(2, 7))))
    return NetworkGraph(draw(st.text(min_size=1, max_size=8)), shape, tuple(layers), border)
