"""Experiences and benchmarks: what is inconsistent is refused where it is made, with what to do."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from strop.host.continual.experience import Benchmark, Experience, hold_out, labels_of
from strop.host.data import Dataset
from strop.runtime.errors import InputError

NAMES = ("a", "b", "c")


def data(labels: list[int], side: int = 2, classes: tuple[str, ...] = NAMES) -> Dataset:
    """A black image for each label."""
    return Dataset.from_arrays(np.zeros((len(labels), side, side), np.uint8), labels, classes=classes)


FIRST = Experience("first", data([1, 0, 1]), data([0, 1]), (0, 1))
SECOND = Experience("second", data([2, 2]), data([2]), (2,), ordered=True)
BENCHMARK = Benchmark("two", "class-incremental", (FIRST, SECOND), "two experiences")


def test_a_benchmark_knows_its_classes_and_shape() -> None:
    """Protects what a model is made for: all classes, also those that come later."""
    assert BENCHMARK.classes == NAMES and BENCHMARK.image_shape == (1, 2, 2)
    assert not FIRST.ordered and SECOND.ordered
    assert labels_of(data([2, 0, 2])) == (0, 2)


def test_both_are_frozen() -> None:
    """Protects a run from a benchmark that changes under it."""
    with pytest.raises(FrozenInstanceError):
        FIRST.name = "other"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        BENCHMARK.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("classes", [(0,), (1, 0), (0, 1, 2), (2,)])
def test_classes_are_the_labels_of_the_training_data(classes: tuple[int, ...]) -> None:
    """Protects strategies that make room for what comes: `classes` cannot lie."""
    with pytest.raises(InputError, match=r"classes of experience 'first' are .*; its training data has \(0, 1\)"):
        replace(FIRST, classes=classes)


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (data([0], side=3), r"in experience 'first' train and test have images of \(1, 2, 2\) and \(1, 3, 3\)"),
        (data([0], classes=("a", "b")), "labels must mean the same"),
        (np.zeros(3), "test of experience 'first' is of type ndarray; expected a Dataset"),
    ],
)
def test_train_and_test_belong_together(test: Dataset, message: str) -> None:
    """Protects accuracies that mean something."""
    with pytest.raises(InputError, match=message):
        replace(FIRST, test=test)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"experiences": ()}, "benchmark two has no experiences; it needs at least one"),
        ({"experiences": (FIRST, FIRST)}, "two experiences are called 'first'"),
        ({"experiences": (FIRST, data([0]))}, "an object of type Dataset; each must be an Experience"),
        ({"scenario": "task-incremental"}, "'task-incremental' is unknown; allowed are class-incremental, domain-incr"),
        (
            {"experiences": (FIRST, Experience("wide", data([0], side=3), data([0], side=3), (0,)))},
            r"'first' and 'wide' have images of \(1, 2, 2\) and \(1, 3, 3\)",
        ),
        (
            {"experiences": (FIRST, Experience("few", *[data([0], classes=("a", "b"))] * 2, (0,)))},
            "'first' and 'few' have the classes",
        ),
    ],
)
def test_experiences_of_a_benchmark_belong_together(change: dict, message: str) -> None:
    """Protects a model that is made once for the whole stream."""
    with pytest.raises(InputError, match=message):
        replace(BENCHMARK, **change)


def test_samples_are_held_out_of_the_first_experience() -> None:
    """Protects a guard from samples that were trained on: each sample is on one side, and the seed decides which."""
    images = np.arange(30, dtype=np.uint8).reshape(30, 1, 1)
    first = Dataset.from_arrays(images, [0] * 29 + [1], classes=NAMES)
    test = data([0], side=1)
    benchmark = Benchmark(
        "b", "class-incremental", (Experience("x", first, test, (0, 1)), Experience("y", test, test, (0,))), "d"
    )
    rest, held_out = hold_out(benchmark, 9, seed=4)
    trained = rest.experiences[0].train
    assert len(held_out) == 9 and len(trained) == 21
    assert sorted([*held_out.images.ravel(), *trained.images.ravel()]) == list(range(30))
    assert rest.experiences[0].classes == labels_of(trained) and rest.experiences[1] is benchmark.experiences[1]
    assert (hold_out(benchmark, 9, seed=4)[1].images == held_out.images).all()
    assert (hold_out(benchmark, 9, seed=5)[1].images != held_out.images).any()
    assert hold_out(benchmark, 29, seed=4)[0].experiences[0].classes in ((0,), (1,))  # the other class is gone
    for count in (0, 30, 1.5):
        with pytest.raises(InputError, match="hold out"):
            hold_out(benchmark, count, 0)
