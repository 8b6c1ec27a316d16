"""The data of a protocol as plain arrays, which the learners of every arithmetic take."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocols import Protocol
from strop.host.continual import load_benchmark


class Experience(NamedTuple):
    """One part of a stream: images uint8 [n, C, H, W] with int labels [n], to train on and to be tested on."""

    train_images: NDArray[np.uint8]
    train_labels: NDArray[Any]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[Any]


def load_experiences(protocol: Protocol, seed: int, source: str = "fashion-mnist") -> list[Experience]:
    """Return the experiences of `protocol` in their order; `seed` chooses samples where there are more than it takes.

    `source` is a data set as `load_dataset` takes it; raises what `load_benchmark` raises.
    """
    parts = load_benchmark(protocol.benchmark, source=source, seed=seed, per_experience=protocol.per_experience)
    return [Experience(e.train.images, e.train.labels, e.test.images, e.test.labels) for e in parts.experiences]
