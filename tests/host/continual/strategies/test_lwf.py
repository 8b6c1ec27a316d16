"""Learning without Forgetting: targets that mix label and teacher, whole numbers that sum to 1 exactly."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strop.host.continual import Learner, LearningWithoutForgetting, Replay
from strop.host.order import raw_bits
from strop.runtime.session import Minibatch
from strop.runtime.soft_targets import check_targets, one_hot
from tiny_models import tiny_dataset, tiny_model
from tiny_streams import SETTINGS, learner, stream

ONE = 1 << 15


def taught(known: set[int], share: float = 0.5, temperature: int = 2) -> LearningWithoutForgetting:
    """Return a strategy that has a teacher of the classes `known`."""
    found = LearningWithoutForgetting(share, temperature)
    found.restore({"known": sorted(known)}, {})
    return found


@given(
    st.integers(1, 30),
    st.integers(2, 40),
    st.floats(0, 1, exclude_min=True, exclude_max=True),
    st.sampled_from([1, 2, 4, 8, 16]),
    st.integers(0, 1000),
)
def test_targets_are_what_the_kernel_takes(
    samples: int, classes: int, share: float, temperature: int, seed: int
) -> None:
    """Protects a run from an error in the middle: whatever a teacher says, targets sum to 1, none below 0."""
    bits = raw_bits(seed, 1, count=samples * (classes + 1) + classes)
    logits = (bits[: samples * classes].astype(np.int64) % 4096 - 2048).reshape(samples, classes) * 2.0**-6
    labels = (bits[-samples:] % classes).astype(np.int32)
    known = {label for label in range(classes) if bits[samples * classes + label] & 1} or {0}
    targets = taught(known, share, temperature)._mixed(logits, labels, classes)
    check_targets(targets.astype(np.int32), samples, classes)
    unknown = [label for label in range(classes) if label not in known]
    for row, label in zip(targets, labels, strict=True):
        assert all(row[other] == 0 for other in unknown if other != label), "of what it never met it says nothing"


@pytest.mark.parametrize("temperature", [1, 2, 4, 8, 16])
def test_targets_are_a_mix_of_label_and_softmax(temperature: int) -> None:
    """Protects the formula: (1 - share) onehot + share softmax(logits / temperature) over the known classes."""
    logits = (np.arange(40) * 37 % 256 - 128).reshape(10, 4) * 2.0**-4
    labels = (np.arange(10) % 4).astype(np.int32)
    targets = taught({0, 1, 3}, 0.25, temperature)._mixed(logits, labels, 4) / ONE
    powers = np.exp(logits[:, [0, 1, 3]] / temperature)
    expected = 0.75 * (labels[:, None] == np.arange(4))
    expected[:, [0, 1, 3]] += 0.25 * powers / powers.sum(axis=1, keepdims=True)
    assert np.abs(targets - expected).max() < 0.25 * 0.02, "the table of exponentials has steps of 1/16"


def test_the_first_experience_has_no_teacher() -> None:
    """Protects the start: it is learned to the bytes of plain training."""
    plain, found = learner("naive"), learner("lwf")
    for run in (plain, found):
        run.learn(stream()[0])
    assert plain.model.digest() == found.model.digest()
    for run in (plain, found):
        run.learn(stream()[1])
    assert plain.model.digest() != found.model.digest()


def test_the_teacher_is_the_model_before_the_experience() -> None:
    """Protects what is learned: targets of the whole experience from the network as it was, for each sample its own."""
    seen: list[Minibatch] = []
    rows_seen: list[int] = []

    class Watching(LearningWithoutForgetting):
        def extend(self, minibatch: Minibatch, rows: np.ndarray) -> Minibatch:
            seen.append(super().extend(minibatch, rows))
            rows_seen.extend(rows.tolist())
            return seen[-1]

    strategy = Watching()
    found = Learner(tiny_model(), strategy, settings=SETTINGS)
    first, second, third = stream()
    found.learn(first)
    assert all(minibatch.targets is None for minibatch in seen)
    for dataset, known in ((second, {0, 1}), (third, {0, 1, 2})):
        logits = found.model.predict(dataset.images).logits
        expected = taught(known)._mixed(logits, dataset.labels, 3)
        seen.clear(), rows_seen.clear()
        found.learn(dataset)
        targets = np.concatenate([minibatch.targets for minibatch in seen])
        np.testing.assert_array_equal(targets, expected[rows_seen])
        assert strategy.facts() == {"known": sorted(known | set(np.unique(dataset.labels).tolist()))}
        assert strategy.nbytes == 0, "targets are kept only while the experience lasts"


def test_replayed_samples_are_learned_by_their_labels() -> None:
    """Protects the combination: old samples beside the new have hard targets, in either order of the strategies."""
    data = tiny_dataset(8)
    for replay_first in (True, False):
        teacher, replay = taught({0, 1}), Replay(9, 3)
        found = Learner(tiny_model(), *((replay, teacher) if replay_first else (teacher, replay)), settings=SETTINGS)
        assert replay.memory is not None
        replay.memory.add(data.images[:3], data.labels[:3])
        teacher._targets = np.tile(np.array([[8192, 8192, 16384]], np.uint16), (8, 1))
        rows = np.arange(4, 8)
        minibatch = Minibatch(data.images[4:], data.labels[4:], 0.1)
        for strategy in found.strategies:
            minibatch = strategy.extend(minibatch, rows)
        assert minibatch.targets is not None and len(minibatch.labels) == 7
        np.testing.assert_array_equal(minibatch.targets[:4], teacher._targets[rows])
        np.testing.assert_array_equal(minibatch.targets[4:], one_hot(minibatch.labels[4:], 3))


def test_a_share_of_all_but_nothing_leaves_the_label_its_place() -> None:
    """Protects the same at the end of the range, where rounded probabilities of the known sum to more than 1."""
    targets = taught(set(range(5)), 1 - 2**-20)._mixed(np.zeros((1, 6)), np.array([5], np.int32), 6)
    check_targets(targets.astype(np.int32), 1, 6)


@given(st.fractions(Fraction(1, 1000), Fraction(999, 1000)))
def test_the_label_has_at_least_its_share(share: Fraction) -> None:
    """Protects learning: a teacher that is sure of another class leaves the label what the share leaves, to a hair."""
    logits = np.array([[100.0, 0.0, 0.0]])
    targets = taught({0, 1}, float(share))._mixed(logits, np.array([2], np.int32), 3)
    assert abs(int(targets[0, 2]) - (1 - share) * ONE) <= 2
