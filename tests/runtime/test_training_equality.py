"""The central promise: whole networks train to the same bytes on the reference and on the emulator, however it runs.

The emulator runs with every instruction set of this machine, with one thread and with three.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equal_training import Trained, assert_all_equal, minibatches, train
from small_networks import BRANCHES, FLATTENED, MIXED, RESIDUAL, State, first_state, graphs
from strop.host.data import load_fashion_mnist_subset
from strop.host.networks import lenet5
from strop.host.order import epoch_order
from strop.runtime.compiler import largest_batch
from strop.runtime.device import Device
from strop.runtime.emulator import EmulatorDevice
from strop.runtime.graph import NetworkGraph
from strop.runtime.hyperparameters import Hyperparameters
from strop.runtime.reference import ReferenceDevice
from strop.runtime.session import Minibatch, StepResult


@pytest.mark.parametrize(
    ("graph", "frozen"),
    [(MIXED, "conv2"), (FLATTENED, "conv1"), (RESIDUAL, "conv3"), (BRANCHES, "conv4")],
    ids=lambda value: getattr(value, "name", None),
)
def test_200_steps_of_a_network_with_every_kind_of_layer(
    emulators: list[EmulatorDevice], graph: NetworkGraph, frozen: str
) -> None:
    """Protects all layers together: odd and partial mini-batches, rates that change, weight decay, a late freeze."""
    batches = minibatches(graph, 200, sizes=(7, 7, 7, 5), rates=(0.1, 0.05, 0.01, 0.002))
    hyper = Hyperparameters(momentum=0.9, weight_decay=0.0005)

    def run(device: Device) -> Trained:
        return train(device, graph, first_state(graph), batches, hyper, frozenset(), frozenset({frozen}))

    trained = assert_all_equal(emulators, run)
    assert len(trained.results) == 200
    assert [result.samples for result in trained.results[:5]] == [7, 7, 7, 5, 7]
    half, end = trained.states
    assert np.array_equal(half[f"{frozen}.weight"], end[f"{frozen}.weight"])
    moved = [name for name in half if name.endswith(".weight") and not np.array_equal(half[name], end[name])]
    assert len(moved) == len(graph.weighted) - 1


@pytest.mark.slow
def test_200_steps_of_lenet5_on_real_images(emulators: list[EmulatorDevice]) -> None:
    """Protects the network and the data that the project is about: LeNet-5 on Fashion-MNIST, whole and then tuned."""
    data = load_fashion_mnist_subset()
    graph = lenet5(data.image_shape, len(data.classes))
    order = epoch_order(len(data.labels), 0, 0)
    parts = [order[8 * step : 8 * step + 8] for step in range(200)]
    rates = (0.1, 0.05, 0.02)
    batches = [Minibatch(data.images[i], data.labels[i], rates[step // 70]) for step, i in enumerate(parts)]

    def run(device: Device) -> Trained:
        frozen = frozenset({"conv1", "conv2"})
        return train(device, graph, first_state(graph), batches, Hyperparameters(), frozenset(), frozen)

    trained = assert_all_equal(emulators, run)
    first, last = (sum(part, StepResult(0, 0, 0)) for part in (trained.results[:20], trained.results[-40:]))
    assert last.loss < first.loss
    assert last.accuracy > 0.5


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(graph=graphs(), data=st.data())
def test_any_network_trains_to_the_same_bytes(
    emulators: list[EmulatorDevice], graph: NetworkGraph, data: st.DataObject
) -> None:
    """Protects networks that nobody has thought of: three steps with any mini-batch, hyperparameters, frozen layers."""
    largest = min(11, largest_batch(graph))
    statistics = data.draw(st.sampled_from(["batch", "batch", "running"]))
    least = 2 if statistics == "batch" else 1
    sizes = data.draw(st.lists(st.integers(least, largest), min_size=3, max_size=3))
    hyper = Hyperparameters(
        statistics=statistics,
        momentum=data.draw(st.sampled_from([0.0, 0.5, 0.9, 0.99])),
        weight_decay=data.draw(st.sampled_from([0.0, 0.0001, 0.1])),
        per_channel_weights=data.draw(st.booleans()),
    )
    names = [node.name for node in graph.weighted]
    frozen = frozenset(data.draw(st.lists(st.sampled_from(names), max_size=len(names) - 1, unique=True)))
    batches = minibatches(graph, 3, sizes, rates=(data.draw(st.sampled_from([0.0, 0.01, 0.5, 8.0])),))
    seed = data.draw(st.integers(0, 3))

    def run(device: Device) -> Trained:
        begun = train(device, graph, first_state(graph, seed), batches, hyper, frozenset())
        tuned = train(device, graph, begun.states[-1], batches, hyper, frozen)
        return Trained(begun.results + tuned.results, begun.states + tuned.states, begun.logits + tuned.logits)

    assert_all_equal(emulators, run)


def test_a_difference_would_be_seen(emulators: list[EmulatorDevice]) -> None:
    """Protects the tests above: one unit in one weight, or one sample labelled otherwise, does not pass."""
    state = first_state(FLATTENED)
    other = {name: array.copy() for name, array in state.items()}
    other["conv1.weight"].flat[0] += 1
    batches = minibatches(FLATTENED, 1, sizes=(4,), rates=(0.0,))
    relabelled = [Minibatch(m.images, (m.labels + [0, 0, 0, 1]).astype(np.int32) % 4, 0.0) for m in batches]

    def equal(state_there: State, batches_there: list[Minibatch]) -> bool:
        def run(device: Device) -> Trained:
            here = isinstance(device, ReferenceDevice)
            begin = state if here else state_there
            given_batches = batches if here else batches_there
            return train(device, FLATTENED, begin, given_batches, Hyperparameters(), frozenset())

        try:
            assert_all_equal(emulators[:1], run)
        except AssertionError:
            return False
        return True

    assert equal(state, batches)
    assert not equal(other, batches)
    assert not equal(state, relabelled)
