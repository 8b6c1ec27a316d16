"""Layers to freeze by a budget: no more than needed, and what was promised is what a session takes."""

from __future__ import annotations

import pytest

from strop.host.continual import Learner, LearnerSettings, layers_to_freeze
from strop.host.networks import lenet5
from strop.runtime.arena_plan import plan_memory
from strop.runtime.errors import MemoryPlanError
from tiny_models import tiny_dataset, tiny_graph, tiny_model

NAMES = ("conv1", "conv2", "fc1", "fc2", "fc3")


@pytest.mark.parametrize("queue", [None, 1])
def test_no_more_is_frozen_than_must_be(queue: int | None) -> None:
    """Protects accuracy: with one layer less frozen the budget is exceeded, and with these it is kept."""
    graph, settings = lenet5(), LearnerSettings(queue=queue)
    peaks = [plan_memory(graph, 16, settings.hyper, frozenset(NAMES[:count]), queue).peak for count in range(5)]
    assert peaks == sorted(peaks, reverse=True) and len(set(peaks)) > 2
    for count, peak in enumerate(peaks):
        frozen = layers_to_freeze(graph, peak, settings, 16)
        assert frozen == frozenset(NAMES[: peaks.index(peak)])
        if count and peaks[count - 1] > peak:
            assert frozen == layers_to_freeze(graph, peaks[count - 1] - 1, settings, 16)


def test_what_was_chosen_trains_within_the_budget() -> None:
    """Protects the promise: the arena is the plan's, the chosen layers stay as they are, and the others learn."""
    data = tiny_dataset(40)
    model = tiny_model()
    Learner(model, settings=LearnerSettings(batch=8)).learn(data)
    whole = plan_memory(tiny_graph(), 8, queue=1).peak
    frozen = layers_to_freeze(tiny_graph(), whole - 1, LearnerSettings(queue=1), 8)
    assert frozen == {"conv1"}
    learner = Learner(model, settings=LearnerSettings(batch=8, frozen=frozen, queue=1))
    before = model.state()
    learner.learn(data)
    memory, after = learner.memory(), model.state()
    assert memory.total - memory.buffer <= whole - 1
    assert (before["conv1.weight"] == after["conv1.weight"]).all()
    assert (before["fc1.weight"] != after["fc1.weight"]).any()


def test_a_budget_for_nothing_is_refused() -> None:
    """With what the least would be, and what to do."""
    least = plan_memory(tiny_graph(), 8, frozen=frozenset({"conv1", "fc1"}), queue=1).peak
    with pytest.raises(MemoryPlanError, match=f"{least:,} bytes .* smaller mini-batch"):
        layers_to_freeze(tiny_graph(), least - 1, LearnerSettings(queue=1), 8)
