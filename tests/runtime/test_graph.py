"""Declaring networks: shapes that are inferred, chains that are refused, and the form that goes into a checkpoint."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from small_networks import BRANCHES, LENET5, MIXED, RESIDUAL, SMALL, graphs
from strop.runtime.contract import C
from strop.runtime.errors import LimitError, NetworkError
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

HEAD = (GlobalAveragePool(), Linear(3))


def build(*layers: Any, input: Any = (2, 8, 6), border: Any = 0) -> NetworkGraph:
    """Declare a network called "net"."""
    return NetworkGraph("net", input, layers, border)


def test_lenet5_is_lenet5() -> None:
    """Protects shape inference on the network that everybody knows, and its count of parameters."""
    outputs = {node.name: node.output for node in LENET5.nodes if node.layer.kind not in ("l1bn", "relu")}
    assert outputs == {
        "conv1": (6, 28, 28),
        "pool1": (6, 14, 14),
        "conv2": (16, 10, 10),
        "pool2": (16, 5, 5),
        "flatten1": (400, 1, 1),
        "fc1": (120, 1, 1),
        "fc2": (84, 1, 1),
        "fc3": (10, 1, 1),
    }
    assert [node.weight_shape for node in LENET5.weighted] == [
        (6, 1, 5, 5),
        (16, 6, 5, 5),
        (120, 400, 1, 1),
        (84, 120, 1, 1),
        (10, 84, 1, 1),
    ]
    sizes = {t.name: int(np.prod(t.shape)) for t in StateLayout(LENET5).stored}
    weights = sum(size for name, size in sizes.items() if name.endswith(".weight"))
    biases = sum(size for name, size in sizes.items() if name.endswith((".beta", ".bias")))
    gammas = sum(size for name, size in sizes.items() if name.endswith(".gamma"))
    assert weights + biases == 61_706  # as it is counted without batch normalization
    assert gammas == 6 + 16 + 120 + 84
    assert LENET5.classes == 10


def test_names_and_shapes_of_every_kind_of_layer() -> None:
    """Protects stride, rectangular filters, padding, groups, overlapping pooling and the border, worked out by hand."""
    assert [(node.name, node.output) for node in MIXED.nodes] == [
        ("conv1", (6, 15, 13)),
        ("bn1", (6, 15, 13)),
        ("relu1", (6, 15, 13)),
        ("pool1", (6, 8, 7)),
        ("conv2", (8, 4, 6)),
        ("bn2", (8, 4, 6)),
        ("conv3", (10, 4, 6)),
        ("bn3", (10, 4, 6)),
        ("relu2", (10, 4, 6)),
        ("global_average_pool1", (10, 1, 1)),
        ("flatten1", (10, 1, 1)),
        ("fc1", (9, 1, 1)),
        ("bn4", (9, 1, 1)),
        ("relu3", (9, 1, 1)),
        ("fc2", (5, 1, 1)),
    ]
    assert MIXED.nodes[0].input == (2, 15, 13)
    assert MIXED.weighted[1].weight_shape == (8, 3, 3, 2)
    for before, after in zip(MIXED.nodes, MIXED.nodes[1:], strict=False):
        assert after.input == before.output
        assert after.sources == (before.name,)


def test_branches_know_what_they_read() -> None:
    """Protects residual blocks: both branches read the same output, the addition reads the end of both."""
    assert [(node.name, node.output, node.sources) for node in RESIDUAL.nodes[2:]] == [
        ("relu1", (5, 9, 8), ("bn1",)),
        ("conv2", (7, 9, 8), ("relu1",)),
        ("bn2", (7, 9, 8), ("conv2",)),
        ("relu2", (7, 9, 8), ("bn2",)),
        ("conv3", (5, 9, 8), ("relu2",)),
        ("bn3", (5, 9, 8), ("conv3",)),
        ("add1", (5, 9, 8), ("bn3", "relu1")),
        ("relu3", (5, 9, 8), ("add1",)),
        ("conv4", (6, 5, 4), ("relu3",)),
        ("bn4", (6, 5, 4), ("conv4",)),
        ("relu4", (6, 5, 4), ("bn4",)),
        ("conv5", (6, 5, 4), ("relu4",)),
        ("bn5", (6, 5, 4), ("conv5",)),
        ("conv6", (6, 5, 4), ("relu3",)),
        ("bn6", (6, 5, 4), ("conv6",)),
        ("add2", (6, 5, 4), ("bn5", "bn6")),
        ("relu5", (6, 5, 4), ("add2",)),
        ("global_average_pool1", (6, 1, 1), ("relu5",)),
        ("fc1", (3, 1, 1), ("global_average_pool1",)),
    ]
    for graph in (RESIDUAL, BRANCHES):
        outputs = {"input": graph.nodes[0].input, **{node.name: node.output for node in graph.nodes}}
        for node in graph.nodes:
            assert {outputs[source] for source in node.sources} == {node.input}


@given(
    size=st.integers(1, 40),
    kernel=st.integers(1, C.MAX_KERNEL),
    stride=st.integers(1, C.MAX_STRIDE),
    padding=st.integers(0, C.MAX_KERNEL - 1),
)
def test_a_window_has_an_output_wherever_it_fits(size: int, kernel: int, stride: int, padding: int) -> None:
    """Protects the output size: as many as there are places for the window in the padded map, counted one by one."""
    places = [p for p in range(size + 2 * padding) if p * stride + kernel <= size + 2 * padding]
    convolution = Conv2d(1, (kernel, 1), (stride, 1), (padding, 0))
    try:
        graph = build(convolution, L1BN(), *HEAD, input=(1, size, 1))
    except NetworkError as error:
        assert padding >= kernel or not places
        assert "net, layer conv1: " in str(error)
    else:
        assert padding < kernel
        assert graph.nodes[0].output == (1, len(places), 1)


BLOCK = (Conv2d(4, (3, 3)), L1BN(), ReLU())
PROJECTION = (Conv2d(4, (1, 1)), L1BN())
TOO_MANY = C.MAX_CHANNELS + 1
REFUSED: dict[str, tuple[tuple[Any, ...], type[NetworkError], str]] = {
    "kernel of 0": ((Conv2d(4, (0, 3)), L1BN(), *HEAD), LimitError, "layer conv1: kernel (0, 3)"),
    "kernel of 16": ((Conv2d(4, (3, 16)), L1BN(), *HEAD), LimitError, "layer conv1: kernel (3, 16)"),
    "stride of 0": ((*BLOCK, MaxPool2d(stride=(0, 1)), *HEAD), LimitError, "layer pool1: kernel (2, 2), stride (0, 1)"),
    "stride of 5": ((*BLOCK, Conv2d(4, stride=(1, 5)), L1BN(), *HEAD), LimitError, "layer conv2: kernel (3, 3)"),
    "negative padding": ((Conv2d(4, padding=(-1, 0)), L1BN(), *HEAD), LimitError, "layer conv1: padding (-1, 0)"),
    "padding like the kernel": ((*BLOCK, MaxPool2d(padding=(0, 2)), *HEAD), LimitError, "layer pool1: padding (0, 2)"),
    "kernel over the map": ((*BLOCK, MaxPool2d((2, 5)), *HEAD), NetworkError, "layer pool1: kernel (2, 5) is larger"),
    "no channels": ((Conv2d(0), L1BN(), *HEAD), NetworkError, "layer conv1: 2 to 0 channels"),
    "groups of the input": ((Conv2d(6, groups=3), L1BN(), *HEAD), NetworkError, "layer conv1: 2 to 6 channels"),
    "groups of the output": ((Conv2d(3, groups=2), L1BN(), *HEAD), NetworkError, "cannot be split in 2 groups"),
    "no groups": ((Conv2d(4, groups=0), L1BN(), *HEAD), NetworkError, "cannot be split in 0 groups"),
    "too many channels": ((Conv2d(TOO_MANY, (1, 1)), L1BN(), *HEAD), LimitError, f"conv1: output ({TOO_MANY}, 8, 6)"),
    "too many features": ((*HEAD[:1], Linear(TOO_MANY)), LimitError, f"layer fc1: output ({TOO_MANY}, 1, 1) exceeds"),
    "too many flat features": (
        (Conv2d(C.MAX_CHANNELS // 20), L1BN(), Flatten(), Linear(3)),
        LimitError,
        f"layer flatten1: output ({C.MAX_CHANNELS // 20 * 24}, 1, 1) exceeds {C.MAX_CHANNELS} channels",
    ),
    "too many classes": ((*HEAD[:1], Linear(C.MAX_CLASSES + 1)), LimitError, f"net: {C.MAX_CLASSES + 1} classes"),
    "Linear on a map": ((*BLOCK, Linear(3)), NetworkError, "layer fc1: Linear takes [features], got (4, 6, 4)"),
    "Linear without features": ((GlobalAveragePool(), Linear(0)), NetworkError, "layer fc1: 0 features"),
    "no L1BN after a convolution": ((Conv2d(4), ReLU(), *HEAD), NetworkError, "layer conv1: a convolution must be"),
    "no L1BN after Linear": ((*HEAD, ReLU()), NetworkError, "layer fc1: a Linear layer must be followed by L1BN"),
    "L1BN first": ((L1BN(), *HEAD), NetworkError, "layer bn1: L1BN must follow"),
    "L1BN twice": ((*BLOCK[:2], L1BN(), *HEAD), NetworkError, "layer bn2: L1BN must follow"),
    "ReLU after pooling": ((*BLOCK, MaxPool2d(), ReLU(), *HEAD), NetworkError, "layer relu2: ReLU must follow L1BN"),
    "ReLU twice": ((*BLOCK, ReLU(), *HEAD), NetworkError, "layer relu2: ReLU must follow L1BN"),
    "no layers": ((), NetworkError, "net: the last layer must be Linear"),
    "no Linear at the end": ((*BLOCK, GlobalAveragePool()), NetworkError, "net: the last layer must be Linear"),
    "L1BN at the end": ((*HEAD, L1BN()), NetworkError, "net: the last layer must be Linear"),
    "a class for a layer": ((*BLOCK, GlobalAveragePool, Linear(3)), NetworkError, "layer number 4: <class"),
    "a foreign layer": (("relu", *HEAD), NetworkError, "layer number 1: 'relu' is no layer that strop can train"),
    "a kernel that is no pair": ((Conv2d(4, 3), L1BN(), *HEAD), NetworkError, "layer conv1: kernel is 3; it must be"),  # type: ignore[arg-type]
    "a stride of one number": ((*BLOCK, MaxPool2d(stride=(2,)), *HEAD), NetworkError, "layer pool1: stride is (2,)"),  # type: ignore[arg-type]
    "half a channel": ((Conv2d(4.5), L1BN(), *HEAD), NetworkError, "layer conv1: channels is 4.5; it must be"),  # type: ignore[arg-type]
    "a body that ends in ReLU": (
        (*BLOCK, Residual(BLOCK), *HEAD),
        NetworkError,
        "layer add1: the body must end in L1BN",
    ),
    "no body": ((*BLOCK, Residual(()), *HEAD), NetworkError, "layer add1: the body must end in L1BN"),
    "a body without weights": ((*BLOCK, Residual((L1BN(),)), *HEAD), NetworkError, "layer bn2: L1BN must follow"),
    "a shortcut that pools": (
        (*BLOCK, Residual(PROJECTION, (MaxPool2d(),)), *HEAD),
        NetworkError,
        "layer add1: the shortcut must end in L1BN",
    ),
    "branches of two shapes": (
        (*BLOCK, Residual(BLOCK[:2], PROJECTION), *HEAD),
        NetworkError,
        "layer add1: the body gives (4, 4, 2) and the shortcut (4, 6, 4)",
    ),
    "a body that changes its input": (
        (*BLOCK, Residual(BLOCK[:2]), *HEAD),
        NetworkError,
        "layer add1: the body gives (4, 4, 2) and the shortcut (4, 6, 4)",
    ),
    "a Residual first": ((Residual((Conv2d(2, (1, 1)), L1BN())), *HEAD), NetworkError, "add1: a Residual cannot come"),
    "a Residual in another": (
        (*BLOCK, Residual((Residual(PROJECTION), *PROJECTION)), *HEAD),
        NetworkError,
        "layer add1: the body holds another Residual",
    ),
    "a body in a list": ((*BLOCK, Residual([*PROJECTION]), *HEAD), NetworkError, "layer add1: body is [Conv2d("),  # type: ignore[arg-type]
    "a stranger in a body": (
        (*BLOCK, Residual(("relu", *PROJECTION)), *HEAD),  # type: ignore[arg-type]
        NetworkError,
        "net, layer add1, body, layer number 1: 'relu' is no layer",
    ),
    "a kernel over the map of a body": (
        (*BLOCK, Residual((Conv2d(4, (7, 1)), L1BN())), *HEAD),
        NetworkError,
        "net, layer conv2: kernel (7, 1) is larger",
    ),
    "a Residual at the end": ((*BLOCK, Residual(PROJECTION)), NetworkError, "net: the last layer must be Linear"),
    "features of numpy": ((*HEAD[:1], Linear(np.int64(3))), NetworkError, "layer fc1: features is "),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_chain_that_cannot_be_trained_is_refused(name: str) -> None:
    """Protects the author of a network: the message names the network and the layer."""
    layers, kind, message = REFUSED[name]
    with pytest.raises(NetworkError) as caught:
        build(*layers)
    assert type(caught.value) is kind
    assert str(caught.value).startswith("net")
    assert message in str(caught.value)


def test_sums_that_do_not_fit_int32_are_refused() -> None:
    """Protects accumulators: the forward pass sums over the channels read, the input gradient over those written."""
    assert 4096 * 36 > C.MAX_REDUCTION
    for convolution, channels in ((Conv2d(2, (6, 6)), 4096), (Conv2d(4096, (6, 6)), 2)):
        with pytest.raises(LimitError, match=f"net, layer conv1: a sum of more than {C.MAX_REDUCTION} products"):
            build(convolution, L1BN(), *HEAD, input=(channels, 8, 6))
        build(replace(convolution, groups=2), L1BN(), *HEAD, input=(channels, 8, 6))


def test_global_average_pooling_is_bounded() -> None:
    """Protects the reciprocal of the area: 64x64 passes, 65x64 does not."""
    build(*HEAD, input=(1, 64, 64))
    with pytest.raises(LimitError, match="layer global_average_pool1: a map of 65x64; allowed: 4096"):
        build(*HEAD, input=(1, 65, 64))


@pytest.mark.parametrize(
    ("input", "border", "kind", "message"),
    [
        ((0, 8, 8), 0, NetworkError, "must be positive"),
        ((1, 8, -1), 0, NetworkError, "must be positive"),
        ((1, 8, 8), -1, NetworkError, "must be positive"),
        ((1, 8), 0, NetworkError, r"must be \(channels, height, width\)"),
        ([1, 8, 8], 0, NetworkError, r"must be \(channels, height, width\)"),
        ((1, 8.0, 8), 0, NetworkError, "whole numbers"),
        ((1, 8, 8), 0.5, NetworkError, "whole numbers"),
        ((TOO_MANY, 8, 8), 0, LimitError, f"exceeds {C.MAX_CHANNELS} channels"),
        ((1, 8, 1025), 0, LimitError, "1024 a side"),
        ((1, 1020, 8), 3, LimitError, r"input \(1, 1026, 14\), border included"),
    ],
)
def test_an_input_that_no_kernel_takes_is_refused(
    input: Any, border: Any, kind: type[NetworkError], message: str
) -> None:
    """Protects the first command: the input's sizes, its border included, are those of the contract."""
    with pytest.raises(NetworkError, match=message) as caught:
        build(*BLOCK, *HEAD, input=input, border=border)
    assert type(caught.value) is kind


@given(graph=graphs())
def test_a_description_gives_the_network_back(graph: NetworkGraph) -> None:
    """Protects checkpoints: through JSON and back a network is equal, in its shapes and its digest too."""
    again = NetworkGraph.from_dict(json.loads(json.dumps(graph.to_dict())))
    assert again == graph
    assert again.nodes == graph.nodes
    assert again.digest() == graph.digest()


@settings(max_examples=25)
@given(graph=graphs(), name=st.text(max_size=5))
def test_the_digest_is_of_the_network_and_not_of_its_name(graph: NetworkGraph, name: str) -> None:
    """Protects the digest: whatever changes a byte of training changes it, the name does not."""
    assert replace(graph, name=name).digest() == graph.digest()
    c, h, w = graph.input
    assert replace(graph, border=graph.border + 1).digest() != graph.digest()
    last = graph.layers[-1]
    assert isinstance(last, Linear)
    others: list[tuple[Layer, ...]] = [(*graph.layers[:-1], Linear(last.features + 1)), (Flatten(), Linear(2))]
    others = [layers for layers in others if layers != graph.layers]
    for layers in others:
        if np.prod((c, h + 2 * graph.border, w + 2 * graph.border)) <= C.MAX_CHANNELS:
            assert replace(graph, layers=layers).digest() != graph.digest()


def test_the_digest_stays() -> None:
    """Protects checkpoints of earlier versions: the digest of a network is the same for ever."""
    assert SMALL.digest() == "d18a449aaa7c37ffc59bd19716c0413bf12f1f657fcfcc8ab0ee00413987b05a"
    assert RESIDUAL.digest() == "65d78131348e23039ec60a5ff741e5a5d259ae546b013109fe34dd8a2053b2e3"


@pytest.mark.parametrize("graph", [RESIDUAL, BRANCHES], ids=lambda graph: graph.name)
def test_a_residual_network_survives_its_description(graph: NetworkGraph) -> None:
    """Protects checkpoints of residual networks: branches come back in their places, the digest tells them apart."""
    again = NetworkGraph.from_dict(json.loads(json.dumps(graph.to_dict())))
    assert again == graph and again.nodes == graph.nodes and again.digest() == graph.digest()
    index = next(i for i, layer in enumerate(graph.layers) if isinstance(layer, Residual) and layer.shortcut)
    block = graph.layers[index]
    assert isinstance(block, Residual)
    swapped = (*graph.layers[:index], Residual(block.shortcut, block.body), *graph.layers[index + 1 :])
    assert replace(graph, layers=swapped).digest() != graph.digest()


DESCRIPTION = SMALL.to_dict()
NESTED: dict[str, Any] = {"kind": "flatten"}
for _ in range(2000):  # deeper than any stack
    NESTED = {"kind": "residual", "body": [NESTED]}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        [],
        "small",
        None,
        {"name": "x", "input": [1, 9, 8]},
        {**DESCRIPTION, "input": 3},
        {**DESCRIPTION, "input": [1, 9]},
        {**DESCRIPTION, "input": [1, 9.5, 8]},
        {**DESCRIPTION, "border": "2"},
        {**DESCRIPTION, "border": 0.5},
        {**DESCRIPTION, "layers": {"kind": "linear"}},
        {**DESCRIPTION, "layers": ["linear"]},
        {**DESCRIPTION, "layers": [{"features": 3}]},
        {**DESCRIPTION, "layers": [{"kind": "dropout"}]},
        {**DESCRIPTION, "layers": [{"kind": ["linear"], "features": 3}]},
        {**DESCRIPTION, "layers": [{"kind": "linear", "features": 3, "bias": True}]},
        {**DESCRIPTION, "layers": [{"kind": "flatten"}, {"kind": "linear", "features": "3"}]},
        {**DESCRIPTION, "layers": [*DESCRIPTION["layers"][:3], {"kind": "residual"}, *DESCRIPTION["layers"][3:]]},
        {**DESCRIPTION, "layers": [*DESCRIPTION["layers"][:3], NESTED, *DESCRIPTION["layers"][3:]]},
        {**DESCRIPTION, "layers": [{"kind": "residual", "body": [{"kind": "dropout"}]}, *DESCRIPTION["layers"]]},
        {**DESCRIPTION, "layers": [{"kind": "conv2d", "channels": 4, "kernel": [3]}, *DESCRIPTION["layers"][1:]]},
        {**DESCRIPTION, "layers": [{"kind": "conv2d", "channels": 4, "kernel": 3}, *DESCRIPTION["layers"][1:]]},
    ],
)
def test_what_is_no_description_is_refused(changed: Any) -> None:
    """Protects the reader of a damaged or foreign manifest: one kind of error, whatever is wrong."""
    with pytest.raises(NetworkError):
        NetworkGraph.from_dict(changed)
