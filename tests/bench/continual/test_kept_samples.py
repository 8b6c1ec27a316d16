"""Protects what replay keeps: each sample of the stream with equal chance, or each class with an equal share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kept_samples import BalancedMemory, Reservoir
from strop.runtime.errors import InputError


def kept(memory: Reservoir) -> list[int]:
    """Return the kept samples, which are numbers here."""
    return sorted(memory.draw(len(memory))[0].tolist())


def test_every_sample_is_kept_with_equal_chance() -> None:
    """Chi-square over 2,000 seeds, 40 samples in steps of 7, 10 places: early and late samples alike (99.9 %: 72.1)."""
    counts = np.zeros(40)
    for seed in range(2000):
        memory = Reservoir(10, (), np.int64, seed)
        for start in range(0, 40, 7):
            numbers = np.arange(start, min(start + 7, 40))
            memory.add(numbers, numbers)
        counts[kept(memory)] += 1
    expected = 2000 * 10 / 40
    # What one seed keeps has a fixed size, which shrinks the sum by 1 - 10/40; so it is scaled to have 39 degrees.
    assert ((counts - expected) ** 2 / expected).sum() / (1 - 10 / 40) < 72.1


@given(st.integers(1, 12), st.lists(st.integers(0, 9), max_size=8), st.integers(0, 99))
def test_a_reservoir_holds_what_it_saw(capacity: int, steps: list[int], seed: int) -> None:
    """Never more than its capacity, all while there is room, no sample twice, each with its own label."""
    memory, total = Reservoir(capacity, (2,), np.uint8, seed), 0
    for size in steps:
        numbers = np.arange(total, total + size)
        memory.add(np.stack([numbers, numbers + 100], 1).astype(np.uint8), numbers)
        total += size
    samples, labels = memory.draw(100)
    assert len(memory) == len(samples) == min(capacity, total)
    assert len(set(labels.tolist())) == len(labels) and set(labels.tolist()) <= set(range(total))
    np.testing.assert_array_equal(samples, np.stack([labels, labels + 100], 1))


def test_how_samples_arrive_does_not_matter() -> None:
    """One by one, or all at once: a seed keeps the same samples, so that a mini-batch's size decides nothing."""
    at_once, one_by_one = Reservoir(5, (), np.int64, 4), Reservoir(5, (), np.int64, 4)
    at_once.add(np.arange(50), np.arange(50))
    for number in range(50):
        one_by_one.add(np.array([number]), np.array([number]))
    assert kept(at_once) == kept(one_by_one)


def test_what_is_drawn_is_different_each_time_and_a_copy() -> None:
    """A replay batch has no sample twice, the next one is another, and writing to it does not reach the memory."""
    memory = Reservoir(20, (), np.int64, 0)
    memory.add(np.arange(20), np.arange(20))
    first, second = memory.draw(8)[0], memory.draw(8)[0]
    assert len(set(first.tolist())) == 8 and set(first.tolist()) != set(second.tolist())
    first[:] = -1
    assert kept(memory) == list(range(20))
    assert len(Reservoir(20, (), np.int64, 0).draw(8)[0]) == 0


@settings(deadline=None)
@given(st.integers(1, 30), st.lists(st.integers(0, 5), min_size=1, max_size=120), st.integers(0, 9))
def test_classes_share_a_balanced_memory(capacity: int, labels: list[int], seed: int) -> None:
    """Never over capacity; each class has its share, or all that came of it; images with their labels, none twice."""
    memory = BalancedMemory(capacity, (), seed)
    numbers = np.arange(len(labels), dtype=np.uint8)
    memory.add(numbers, np.array(labels))
    images, kept_labels = memory.all()
    assert len(memory) == len(images) <= capacity and len(set(images.tolist())) == len(images)
    np.testing.assert_array_equal(kept_labels, np.array(labels)[images])
    counts = np.bincount(kept_labels, minlength=6)
    arrived = np.bincount(labels, minlength=6)
    assert (counts >= np.minimum(arrived, capacity // np.count_nonzero(arrived))).all()


def test_a_late_class_gets_its_share() -> None:
    """GDumb's point: 900 samples of class 0, then 20 of class 1, leave 5 and 5 of them in a memory of 10."""
    memory = BalancedMemory(10, (1,), 0)
    memory.add(np.zeros((900, 1), np.uint8), np.zeros(900, np.int64))
    memory.add(np.ones((20, 1), np.uint8), np.ones(20, np.int64))
    assert np.bincount(memory.all()[1]).tolist() == [5, 5]


def test_a_memory_for_nothing_is_refused() -> None:
    """No room is a mistake of the caller, not a quiet naive run."""
    with pytest.raises(InputError, match="keeps nothing"):
        Reservoir(0, (), np.uint8, 0)
    with pytest.raises(InputError, match="keeps nothing"):
        BalancedMemory(0, (), 0)
