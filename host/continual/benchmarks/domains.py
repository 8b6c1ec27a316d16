"""Benchmarks in which all classes are there from the start, and what the camera sees of them changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from strop.host.continual.benchmarks.source import Source
from strop.host.continual.experience import Benchmark, Experience, labels_of
from strop.host.data import SHIFTS, Dataset, blur, dead_pixels, rotate

Change = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
ANGLES = (0, 36, 72, 108, 144)  # i * 180 / 5 degrees, counter-clockwise
SAMPLES_PER_EXPERIENCE = 10_000
SENSOR: Mapping[str, Change] = MappingProxyType(
    {
        "clean": lambda images: images,
        "noise": SHIFTS["noise"],
        "blur": blur,
        "low contrast": SHIFTS["contrast"],
        "dead pixels": dead_pixels,
    }
)


def rotated(source: Source, name: str) -> Benchmark:
    """Domain-incremental: the camera turns by 36 degrees from one experience to the next."""
    changes = {f"{angle} degrees": partial(rotate, degrees=angle) for angle in ANGLES}
    return _changing(source, name, changes, "turned by 36 degrees more in each experience")


def corrupted(source: Source, name: str) -> Benchmark:
    """Domain-incremental: a sensor fails in other ways, one after the other."""
    return _changing(source, name, SENSOR, "of a sensor that fails: " + ", ".join(SENSOR))


def _changing(source: Source, name: str, changes: Mapping[str, Change], how: str) -> Benchmark:
    """One experience for each change: training samples of its own, and the whole test split, changed alike."""
    experiences = []
    chosen = source.disjoint(len(changes), SAMPLES_PER_EXPERIENCE)
    for (title, change), rows in zip(changes.items(), chosen, strict=True):
        train, test = (_changed(part, title, change) for part in (source.train.subset(rows), source.test))
        experiences.append(Experience(title, train, test, labels_of(train)))
    return Benchmark(name, "domain-incremental", tuple(experiences), f"{source.spec}, all classes, {how}")


def _changed(dataset: Dataset, title: str, change: Change) -> Dataset:
    return Dataset(change(dataset.images), dataset.labels, dataset.classes, f"{dataset.name}, {title}")
