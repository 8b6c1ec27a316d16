"""What a learner takes: parts that sum up, buffers to the byte, and never less than the device is asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from session_use import Recorder
from strop.host.continual import (
    ElasticWeightConsolidation,
    GDumb,
    Joint,
    LatentReplay,
    Learner,
    LearnerMemory,
    NearestMean,
    Replay,
    Strategy,
    StreamingLda,
)
from strop.runtime.emulator import EmulatorDevice
from strop.runtime.state import StateLayout
from tiny_models import tiny_graph, tiny_model
from tiny_streams import MAKERS, SETTINGS, learner, stream

WEIGHTS = 4 * 9 + 8 * 36 + 3 * 8  # conv1, fc1, fc2
CHANNELS = 2 * 4 + 2 * 8 + 3  # gamma and beta, and the last layer's bias
FEATURES = 4 * 3 * 3  # behind pool1


@pytest.mark.parametrize("name", MAKERS)
def test_memory_is_the_sum_of_its_parts(name: str) -> None:
    """Protects the figures that people choose a board by: before training, and after each experience."""
    found = learner(name)
    for dataset in [None, *stream(2)]:
        if dataset is not None:
            found.learn(dataset)
        memory = found.memory()
        parts = memory.to_dict()
        assert parts.pop("total") == sum(parts.values()) == memory.total
        assert all(nbytes >= 0 for nbytes in parts.values())
        assert memory.masters == memory.momenta == 4 * (WEIGHTS + CHANNELS)
        assert memory.buffer == sum(strategy.nbytes for strategy in found.strategies)


@pytest.mark.parametrize("name", MAKERS)
def test_no_more_is_taken_of_the_device(name: str) -> None:
    """Protects from an arena that does not fit after all: training, asking, and front and rear in turns."""
    device = Recorder(EmulatorDevice(threads=1))
    found = learner(name, tiny_model(device))
    for dataset in stream(2):
        device.allocated.clear()
        planned = []
        found.learn(dataset, on_step=lambda *_, planned=planned: planned.append(found.memory()))  # type: ignore[misc]
        found.evaluate(dataset)
        planned.append(found.memory())
        most = max(memory.total - memory.buffer for memory in planned)
        assert max(device.allocated, default=0) <= most, planned


def test_the_state_is_counted_once() -> None:
    """Protects from figures that are too large: weights, masters, momenta and the rest are the whole state."""
    memory = learner("naive").memory()
    state = memory.weights + memory.masters + memory.momenta + memory.other_state
    assert state == StateLayout(tiny_graph()).nbytes
    assert WEIGHTS <= memory.weights < 2 * WEIGHTS + 64  # int8, in rows of whole words


@pytest.mark.parametrize(
    ("strategy", "nbytes"),
    [
        (Strategy(), 0),
        (Replay(9), 9 * (64 + 4)),
        (Replay(9, policy="balanced"), 9 * (64 + 4)),
        (LatentReplay(9), 9 * (FEATURES + 4)),
        (NearestMean(), 8 * 3 * (1 + FEATURES)),
        (StreamingLda(), 8 * (3 * (1 + FEATURES) + FEATURES**2)),
        (ElasticWeightConsolidation(), 0),
        (Joint(), 0),
    ],
    ids=lambda value: value.name if isinstance(value, Strategy) else str(value),
)
def test_buffers_to_the_byte(strategy: Strategy, nbytes: int) -> None:
    """Protects the comparison of strategies: what each takes before the first sample, full or not."""
    assert Learner(tiny_model(), strategy, settings=SETTINGS).memory().buffer == nbytes


def test_buffers_that_grow() -> None:
    """Protects the same of what is kept after an experience: anchors and importances, all samples, a first state."""
    first = stream()[0]
    ewc, joint, gdumb = (
        Learner(tiny_model(), s, settings=SETTINGS) for s in (ElasticWeightConsolidation(1.0, 2), Joint(), GDumb(9, 1))
    )
    start = sum(array.nbytes for array in gdumb.model.state().values())
    assert gdumb.memory().buffer == 9 * (64 + 4) + start
    for found, nbytes in (
        (ewc, (WEIGHTS + CHANNELS) * (4 + 8)),
        (joint, len(first) * (64 + 4)),
        (gdumb, 9 * (64 + 4) + start),
    ):
        found.learn(first)
        assert found.memory().buffer == nbytes


def test_a_shorter_queue_takes_less_and_says_the_same() -> None:
    """Protects `queue`: less memory in slots, and the same bytes learned."""
    long, short = (Learner(tiny_model(), Replay(9, 4), settings=replace(SETTINGS, queue=q)) for q in (None, 1))
    for dataset in stream(2):
        assert long.learn(dataset).training == short.learn(dataset).training
    assert short.memory().slots < long.memory().slots
    assert short.model.digest() == long.model.digest()
    np.testing.assert_array_equal(short.strategies[0].arrays()["labels"], long.strategies[0].arrays()["labels"])


def test_memory_in_words() -> None:
    """Protects what is printed: the total first, and no part that takes nothing."""
    memory = LearnerMemory(1, 2, 3, 4, 5, 6, 1_000_000, 0)
    assert str(memory) == (
        "1,000,021 bytes (weights 1, masters 2, momenta 3, other state 4, programs 5, slots 6, workspace 1,000,000)"
    )
