"""Replay: old samples beside new ones, in the mini-batch's own statistics, by draws that follow the seed alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from strop.host.continual import Learner, LearnerSettings, Replay
from strop.runtime.errors import InputError
from strop.runtime.session import Minibatch
from tiny_models import tiny_dataset, tiny_model
from tiny_streams import SETTINGS, stream


class Watched(Replay):
    """Replay that keeps what it hands on."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.seen: list[Minibatch] = []

    def extend(self, minibatch: Minibatch, rows: Any) -> Minibatch:
        """Note the mini-batch."""
        self.seen.append(super().extend(minibatch, rows))
        return self.seen[-1]


def test_only_samples_of_the_past_are_replayed() -> None:
    """Protects from training the new twice: the first mini-batch has nothing beside it, a later one what went by."""
    data = tiny_dataset(40)
    found = Watched(9, 6)
    Learner(tiny_model(), found, settings=SETTINGS).partial_fit(data.images, data.labels)
    assert [len(m.labels) for m in found.seen] == [4, 8, 10, 10, 10, 10, 10, 10, 10, 10], "no more than there are"
    for index, minibatch in enumerate(found.seen):
        now = data.images[4 * index : 4 * index + 4]
        np.testing.assert_array_equal(minibatch.images[:4], now)
        for image, label in zip(minibatch.images[4:], minibatch.labels[4:], strict=True):
            where = np.flatnonzero((data.images[: 4 * index] == image).all(axis=(1, 2, 3)))
            assert len(where) == 1 and data.labels[where[0]] == label


def test_replay_is_training_on_the_mini_batches_that_it_makes() -> None:
    """Protects from a second path: the same mini-batches by hand give the same bytes."""
    strategy, settings = Watched(9, 4, "balanced", 2), LearnerSettings(batch=4, momentum=0.5, epochs=2, seed=3)
    found = Learner(tiny_model(), strategy, settings=settings)
    for dataset in stream(2):
        found.learn(dataset)
    by_hand = tiny_model()
    by_hand.train_on(strategy.seen, found.session_settings())
    assert by_hand.digest() == found.model.digest() and by_hand.steps == found.steps


def test_the_seed_decides_what_is_replayed() -> None:
    """Protects runs over seeds: another seed, another memory; the same seed, the same bytes."""
    digests = []
    for seed in (0, 0, 1):
        found = Learner(tiny_model(), Replay(9, 4, seed=seed), settings=SETTINGS)
        for dataset in stream(2):
            found.learn(dataset)
        digests.append(found.model.digest())
    assert digests[0] == digests[1] != digests[2]


def test_two_replays_side_by_side() -> None:
    """Protects combinations: two memories with their own policies, each fed with the new samples only."""
    first, second = Watched(9, 2), Watched(9, 3, "balanced")
    data = tiny_dataset(24)
    Learner(tiny_model(), first, second, settings=SETTINGS).learn(data)
    assert [len(m.labels) for m in second.seen] == [4, *[9] * 5]
    for strategy in (first, second):
        assert strategy.memory is not None and strategy.facts()["passed" if strategy is first else "held"] in (24, 9)
        assert len(np.unique(strategy.memory.samples.reshape(9, -1), axis=0)) == 9


def test_more_than_a_device_takes_is_told() -> None:
    """Protects from a kernel's error: a mini-batch with the replayed ones has the device's limit, too."""
    found = Learner(tiny_model(), Replay(9, 1 << 20), settings=SETTINGS)
    with pytest.raises(InputError, match="batch"):
        found.learn(stream()[0])
    assert not found.steps
