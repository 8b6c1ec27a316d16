"""GDumb: a balanced memory, and a network that was trained on nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from strop.host.continual import GDumb, Learner, LearnerSettings
from strop.host.continual.replay_memory import ReplayMemory
from strop.host.data import Dataset
from strop.runtime.errors import InputError
from tiny_models import tiny_dataset, tiny_model
from tiny_streams import stream

SETTINGS = LearnerSettings(batch=4, momentum=0.5, seed=3)


def test_the_network_comes_from_the_memory_alone() -> None:
    """Protects the claim: whatever the experiences were, training afresh on what is kept gives the same bytes."""
    strategy = GDumb(10, 3, seed=2)
    found = Learner(tiny_model(), strategy, settings=SETTINGS)
    memory = ReplayMemory(10, (1, 8, 8), "balanced", seed=2)
    for index, dataset in enumerate(stream()):
        found.learn(dataset)
        memory.add(dataset.images, dataset.labels)
        np.testing.assert_array_equal(strategy.arrays()["samples"], memory.samples)
        by_hand = Learner(tiny_model(), settings=SETTINGS)
        by_hand.experiences = index
        kept = Dataset.from_arrays(memory.samples, memory.labels, classes=dataset.classes)
        by_hand.train_afresh(kept, 3, by_hand.model.state())
        assert by_hand.model.digest() == found.model.digest()
        assert by_hand.steps == 3 * 3
    assert sorted(np.bincount(memory.labels).tolist()) == [3, 3, 4], "shares are equal, as far as they can be"


def test_the_memory_learns_what_a_stream_forgets() -> None:
    """Protects its use: with one class after the other, all are known at the end."""
    data, test = tiny_dataset(90), tiny_dataset(30, seed=1)
    settings = LearnerSettings(batch=6, learning_rate=0.1, seed=3)
    dumb, naive = Learner(tiny_model(), GDumb(24, 12), settings=settings), Learner(tiny_model(), settings=settings)
    for label in range(3):
        for run in (dumb, naive):
            run.learn(data.subset(np.flatnonzero(data.labels == label)))
    assert dumb.evaluate(test) > 0.8 > 0.5 > naive.evaluate(test)


def test_one_kept_sample_cannot_be_trained_on() -> None:
    """Protects from a memory that is not full yet: an experience of one sample is told, and nothing changes."""
    found = Learner(tiny_model(), GDumb(10, 1), settings=SETTINGS)
    digest = found.model.digest()
    with pytest.raises(InputError, match="mini-batch of 1 sample"):
        found.learn(tiny_dataset(1))
    assert found.model.digest() == digest and not found.steps
    assert found.strategies[0].facts()["held"] == 0
