"""What a bounded memory keeps and gives back: fair by statistics, and the same on every machine by construction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strop.host.continual.replay_memory import ReplayMemory
from strop.runtime.errors import InputError


def filled(labels: list[int], capacity: int, policy: str, part: int = 7, seed: int = 0) -> ReplayMemory:
    """Return a memory past which samples numbered 0, 1, ... with `labels` went, `part` at a time."""
    memory = ReplayMemory(capacity, (2,), policy, seed)  # type: ignore[arg-type]
    numbers = np.arange(len(labels))
    samples = np.stack([numbers & 255, numbers >> 8], axis=1).astype(np.uint8)
    for start in range(0, len(labels), part):
        at = slice(start, start + part)
        memory.add(samples[at], np.array(labels[at], np.int32))
    return memory


def numbers_of(memory: ReplayMemory) -> list[int]:
    """Return which samples are kept."""
    return (memory.samples[:, 0].astype(int) + 256 * memory.samples[:, 1].astype(int)).tolist()


def test_a_reservoir_keeps_early_and_late_samples_alike() -> None:
    """Protects what replay rests on: 400 memories of 20 of 200 samples; each sample is in 40 of them, give or take."""
    counts = np.zeros(200)
    for seed in range(400):
        counts[numbers_of(filled([0] * 200, 20, "reservoir", seed=seed))] += 1
    assert counts.sum() == 400 * 20
    chi_square = float(((counts - 40) ** 2 / (40 * 0.9)).sum())
    assert 140 < chi_square < 265  # 199 degrees of freedom, within about three deviations
    assert abs(counts[:100].sum() - counts[100:].sum()) < 400


@pytest.mark.parametrize("policy", ["reservoir", "balanced"])
@pytest.mark.parametrize("part", [1, 90])
def test_how_many_come_at_once_makes_no_sample_more_likely(policy: str, part: int) -> None:
    """Protects fairness in every way of calling. Draws go by calls, so other samples are kept: alike is the chance.

    Of 3 classes of 30, balanced keeps 5 each; the reservoir 15 of all. 300 memories hold each sample 50 times or so.
    """
    counts = np.zeros(90)
    for seed in range(300):
        counts[numbers_of(filled([0, 1, 2] * 30, 15, policy, part, seed))] += 1
    assert counts.sum() == 300 * 15
    chi_square = float(((counts - 50) ** 2 / (50 * 5 / 6)).sum())
    assert 50 < chi_square < 135  # 89 degrees of freedom (87 where balanced), within about three and a half deviations


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=150),
    st.integers(1, 30),
    st.integers(1, 40),
    st.sampled_from(["reservoir", "balanced"]),
)
def test_samples_keep_their_labels_and_none_is_kept_twice(
    labels: list[int], capacity: int, part: int, policy: str
) -> None:
    """Whatever comes, the memory is as full as it can be, and holds what went by."""
    memory = filled(labels, capacity, policy, part)
    kept = numbers_of(memory)
    assert len(kept) == len(set(kept)) == min(capacity, len(labels)) == len(memory)
    assert memory.labels.tolist() == [labels[number] for number in kept]


@given(st.lists(st.integers(0, 4), min_size=40, max_size=200), st.integers(5, 30))
def test_balanced_shares_differ_only_where_a_class_has_too_few(labels: list[int], capacity: int) -> None:
    """A class with fewer samples than the largest share has all that came, but for what the share fell to before."""
    memory = filled(labels, capacity, "balanced")
    seen, kept = np.bincount(labels, minlength=5), np.bincount(memory.labels, minlength=5)
    largest = kept.max()
    assert all(kept[c] >= min(seen[c], largest - 1) or len(labels) <= capacity for c in range(5) if seen[c])


def test_draws_are_distinct_and_each_as_likely() -> None:
    """Protects mini-batches from repeats, and old samples from being drawn less."""
    memory = filled([0] * 12, 12, "reservoir")
    counts = np.zeros(12)
    for _ in range(2000):
        samples, labels = memory.draw(5)
        chosen = samples[:, 0].tolist()
        assert len(set(chosen)) == 5 == len(labels)
        counts[chosen] += 1
    expected = 2000 * 5 / 12
    assert float(((counts - expected) ** 2 / expected).sum()) < 25  # 11 degrees of freedom
    assert len(memory.draw(50)[1]) == 12
    assert len(memory.draw(0)[1]) == 0
    assert len(ReplayMemory(3, (2,)).draw(4)[1]) == 0


@pytest.mark.parametrize("policy", ["reservoir", "balanced"])
def test_a_restored_memory_has_the_same_future(policy: str) -> None:
    """Protects exact resume."""
    one = filled([0, 1, 2, 2, 2, 1] * 9, 10, policy)
    other = ReplayMemory(10, (2,), policy)  # type: ignore[arg-type]
    other.restore(one.facts(), one.arrays())
    for memory in (one, other):
        memory.draw(3)
        memory.add(np.full((6, 2), 9, np.uint8), np.array([0, 1, 1, 3, 3, 3], np.int32))
    assert one.facts() == other.facts()
    for a, b in zip(one.draw(8), other.draw(8), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_kept_is_the_same_on_every_machine() -> None:
    """A golden: fixed by raw generator bits, so that no platform and no numpy may change it."""
    assert numbers_of(filled([0] * 60, 8, "reservoir")) == GOLDEN_RESERVOIR
    assert numbers_of(filled([0, 0, 0, 1] * 15, 8, "balanced")) == GOLDEN_BALANCED
    memory = filled([0] * 8, 8, "reservoir")
    assert [memory.draw(3)[0][:, 0].tolist() for _ in range(2)] == GOLDEN_DRAWS


def test_bad_arguments_are_refused() -> None:
    """At the door."""
    for arguments in ((0, (2,)), (5, (2,), "newest"), (5, (2,), "reservoir", -1)):
        with pytest.raises(InputError):
            ReplayMemory(*arguments)  # type: ignore[arg-type]


GOLDEN_RESERVOIR: list[int] = [54, 33, 25, 3, 38, 30, 22, 52]
GOLDEN_BALANCED: list[int] = [23, 31, 54, 3, 33, 5, 38, 35]
GOLDEN_DRAWS: list[list[int]] = [[7, 2, 4], [7, 3, 0]]
