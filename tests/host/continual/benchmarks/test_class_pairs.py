"""Pairs of classes: which samples are where, whole and once; and the ramp of blurred boundaries."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from strop.host.continual.benchmarks import load_benchmark
from strop.host.continual.benchmarks.chance import raw
from strop.host.continual.benchmarks.class_pairs import PAIR_CLASSES, _mix
from strop.host.continual.experience import Benchmark
from strop.host.data import Dataset, load_fashion_mnist_subset

SUBSET = "fashion-mnist-subset"
PAIRS = [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]


def pixels_and_labels(*datasets: Dataset) -> Counter[tuple[bytes, int]]:
    """Return how often each labelled image occurs."""
    found: Counter[tuple[bytes, int]] = Counter()
    for dataset in datasets:
        found.update(
            (image.tobytes(), label) for image, label in zip(dataset.images, dataset.labels.tolist(), strict=True)
        )
    return found


def all_of(benchmark: Benchmark) -> tuple[Counter[tuple[bytes, int]], Counter[tuple[bytes, int]]]:
    """Return the training and test samples of all experiences."""
    experiences = benchmark.experiences
    return pixels_and_labels(*(e.train for e in experiences)), pixels_and_labels(*(e.test for e in experiences))


@pytest.mark.parametrize("name", ["split-fashion-mnist", "blurred-fashion-mnist"])
@pytest.mark.parametrize("class_order", ["fixed", "shuffled"])
def test_each_sample_is_in_one_experience(name: str, class_order: str) -> None:
    """Protects the protocol: nothing is left out, nothing is met twice, and labels stay with their images."""
    train, test = all_of(load_benchmark(name, source=SUBSET, class_order=class_order))
    assert train == pixels_and_labels(load_fashion_mnist_subset("train"))
    assert test == pixels_and_labels(load_fashion_mnist_subset("test"))


def test_classes_come_in_pairs_in_their_order() -> None:
    """Protects comparability with published tables: 0 and 1 first, in the source's order, all names from the start."""
    benchmark = load_benchmark("split-fashion-mnist", source=SUBSET)
    whole = load_fashion_mnist_subset("train")
    assert benchmark.scenario == "class-incremental" and benchmark.classes == whole.classes
    assert [experience.classes for experience in benchmark.experiences] == PAIRS
    first = benchmark.experiences[0]
    assert first.name == "T-shirt/top and Trouser" and not first.ordered
    assert np.array_equal(first.train.images, whole.images[whole.labels < 2])
    assert [np.unique(experience.test.labels).tolist() for experience in benchmark.experiences] == [*map(list, PAIRS)]


def test_shuffled_class_orders_differ_by_seed() -> None:
    """Protects "one more order": every class once, other pairs for other seeds, the labels those of the source."""
    orders = set()
    for seed in range(4):
        benchmark = load_benchmark("split-fashion-mnist", source=SUBSET, class_order="shuffled", seed=seed)
        orders.add(tuple(experience.classes for experience in benchmark.experiences))
        assert sorted(label for experience in benchmark.experiences for label in experience.classes) == [*range(10)]
    assert len(orders) == 4 and tuple(PAIRS) not in orders


@pytest.mark.parametrize("class_order", ["fixed", "shuffled"])
def test_domain_labels_are_the_place_in_the_pair(class_order: str) -> None:
    """Protects the two-output protocol: same images as the split benchmark, the label is 0 or 1 and both occur."""
    domain = load_benchmark("split-fashion-mnist-domain", source=SUBSET, class_order=class_order)
    split = load_benchmark("split-fashion-mnist", source=SUBSET, class_order=class_order)
    assert domain.classes == PAIR_CLASSES and domain.scenario == "domain-incremental"
    for own, other in zip(domain.experiences, split.experiences, strict=True):
        for part, original in ((own.train, other.train), (own.test, other.test)):
            assert np.array_equal(part.images, original.images)
            pair = [split.classes.index(name) for name in own.name.split(" and ")]
            assert np.array_equal(np.array(pair)[part.labels], original.labels)
    if class_order == "fixed":
        first = domain.experiences[2]
        assert np.array_equal(first.train.labels, split.experiences[2].train.labels % 2) and first.classes == (0, 1)


def test_per_experience_takes_equal_shares() -> None:
    """Protects small runs: as many of each class of the pair, and the whole test set."""
    benchmark = load_benchmark("split-fashion-mnist", source=SUBSET, per_experience=40)
    for pair, experience in zip(PAIRS, benchmark.experiences, strict=True):
        assert np.bincount(experience.train.labels, minlength=10)[[*pair]].tolist() == [20, 20]
        assert len(experience.test) == 200


def test_blurred_streams_are_pure_between_the_ramps() -> None:
    """Protects the shape of the stream: both pairs mix in the quarters beside their boundary, and nowhere else."""
    benchmark = load_benchmark("blurred-fashion-mnist", source=SUBSET)
    assert benchmark.scenario == "task-free" and all(experience.ordered for experience in benchmark.experiences)
    pairs = np.concatenate([experience.train.labels for experience in benchmark.experiences]) // 2
    for number in range(5):
        assert (pairs[400 * number + 100 : 400 * number + 300] == number).all()
        assert np.unique(benchmark.experiences[number].test.labels // 2).tolist() == [number]
    assert (pairs[:100] == 0).all() and (pairs[-100:] == 4).all()
    for boundary in range(400, 2000, 400):
        mixed = pairs[boundary - 100 : boundary + 100]
        assert set(mixed.tolist()) == {boundary // 400 - 1, boundary // 400} and (mixed[:100] != mixed[99::-1]).any()


def test_streams_are_shuffled_within_a_pair() -> None:
    """Protects against a stream that is sorted as its source is: its order is not that of the split benchmark."""
    stream = load_benchmark("blurred-fashion-mnist", source=SUBSET).experiences[0].train
    whole = load_fashion_mnist_subset("train")
    assert not np.array_equal(stream.images[:100], whole.images[whole.labels < 2][:100])


def test_the_ramp_is_linear_and_exchanges_mirror_images() -> None:
    """Protects the probability at distance d: 1/2 - (2 d + 1) / (4 ramp), to 5 standard deviations of 4,000 draws."""
    ramp, runs = 10, 4000
    swapped = np.zeros(ramp)
    for run in range(runs):
        rows = np.arange(40)
        _mix(rows, 20, ramp, raw(ramp, run, 99))
        moved = rows[20 : 20 + ramp] != np.arange(20, 20 + ramp)
        assert np.array_equal(rows[20 : 20 + ramp][moved], 19 - np.flatnonzero(moved))
        assert np.array_equal(rows[19 : 19 - ramp : -1][moved], 20 + np.flatnonzero(moved))
        assert np.array_equal(np.sort(rows), np.arange(40)) and np.array_equal(rows[:10], np.arange(10))
        swapped += moved
    expected = 0.5 - (2 * np.arange(ramp) + 1) / (4 * ramp)
    assert (np.abs(swapped / runs - expected) < 5 * np.sqrt(expected * (1 - expected) / runs)).all()


def test_tiny_streams_have_sharp_boundaries() -> None:
    """Protects the smallest case: pairs of fewer than four samples leave nothing to mix."""
    benchmark = load_benchmark("blurred-fashion-mnist", source=SUBSET, per_experience=2)
    assert [experience.classes for experience in benchmark.experiences] == PAIRS
