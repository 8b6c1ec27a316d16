"""The data of a protocol as plain arrays, which the learners of every arithmetic take."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocols import Protocol
from strop.host import Dataset, load_dataset
from strop.runtime.errors import InputError


class Experience(NamedTuple):
    """One part of a stream: images uint8 [n, C, H, W] with int labels [n], to train on and to be tested on."""

    train_images: NDArray[np.uint8]
    train_labels: NDArray[Any]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[Any]


def load_experiences(protocol: Protocol, seed: int) -> list[Experience]:
    """Return the experiences of `protocol` in their order; `seed` chooses samples where there are more than it takes.

    Raises `InputError` for a data set that is not installed.
    """
    if protocol.benchmark == "split-fashion-mnist":
        return split(load_dataset("fashion-mnist", "train"), load_dataset("fashion-mnist", "test"))
    from strop.host.continual import load_benchmark

    benchmark = load_benchmark(protocol.benchmark, seed=seed, per_experience=protocol.per_experience)
    return [Experience(e.train.images, e.train.labels, e.test.images, e.test.labels) for e in benchmark.experiences]


def split(train: Dataset, test: Dataset, classes_each: int = 2) -> list[Experience]:
    """Return class-incremental experiences: classes 0 and 1, then 2 and 3, and so on; labels stay as they are.

    Raises `InputError` where the classes are not a multiple of `classes_each`.
    """
    count = len(train.classes)
    if count % classes_each:
        raise InputError(f"{train.name}: {count} classes cannot be split {classes_each} by {classes_each}")
    parts = []
    for first in range(0, count, classes_each):
        mine = [np.flatnonzero((data.labels >= first) & (data.labels < first + classes_each)) for data in (train, test)]
        parts.append(
            Experience(train.images[mine[0]], train.labels[mine[0]], test.images[mine[1]], test.labels[mine[1]])
        )
    return parts
