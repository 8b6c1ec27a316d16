"""The network zoo: shapes and counts of parameters that others know these networks by."""

from __future__ import annotations

import numpy as np
import pytest

from strop.host.models import MODELS, build_model, initial_state
from strop.host.networks import resnet8
from strop.runtime.graph import NetworkGraph
from strop.runtime.state import StateLayout


def parameters(graph: NetworkGraph, *endings: str) -> int:
    """Return how many values a network trains whose names have one of `endings` (".weight", ".beta")."""
    return sum(int(np.prod(t.shape)) for t in StateLayout(graph).stored if t.name.endswith(endings))


@pytest.mark.parametrize("channels", [1, 3])
def test_resnet8_is_resnet8(channels: int) -> None:
    """Protects the benchmark network: maps halved twice, and the count of parameters in closed form."""
    graph = resnet8((channels, 32, 32), 10)
    outputs = {node.name: node.output for node in graph.nodes if node.layer.kind == "residual"}
    assert outputs == {"add1": (16, 32, 32), "add2": (32, 16, 16), "add3": (64, 8, 8)}
    identity = 2 * 9 * 16 * 16
    halving = sum(9 * k // 2 * k + 9 * k * k + k // 2 * k for k in (32, 64))
    assert parameters(graph, ".weight", ".bias") == 9 * channels * 16 + identity + halving + 64 * 10 + 10
    assert parameters(graph, ".gamma") == parameters(graph, ".beta") == 3 * (16 + 32 + 64)
    assert len(graph.weighted) == 10


def test_gamma_starts_smaller_where_it_is_a_share_of_a_sum() -> None:
    """Protects first steps of deep residual networks: with gamma 1 everywhere some seeds of ResNet-20 break away."""
    graph = resnet8((1, 28, 28), 10)
    state = initial_state(graph, seed=0)
    summands = {"bn3", "bn5", "bn6", "bn8", "bn9"}  # the end of each body, and of the two shortcuts with weights
    for name, array in state.items():
        if name.endswith(".gamma"):
            assert set(array / 2**20) == {0.5 if name.removesuffix(".gamma") in summands else 1.0}, name
    assert np.all(initial_state(build_model("lenet5", (1, 28, 28), 10), 0)["bn1.gamma"] == 2**20)


@pytest.mark.parametrize("name", MODELS)
def test_every_network_has_a_first_state(name: str) -> None:
    """Protects `strop train NETWORK`: the first state fits, its weights fill the range of their fan-in."""
    graph = build_model(name, (3, 224, 224) if name == "alexnet" else (1, 28, 28), 10)
    state = initial_state(graph, seed=5)
    StateLayout(graph).check(state)
    for node in graph.weighted:
        bound = 2.0**24 / np.sqrt(np.prod(node.weight_shape[1:]))
        assert 0.9 * bound < np.abs(state[f"{node.name}.weight"]).max() <= bound + 1
