"""Benchmarks in which pairs of classes follow each other: sharply, as domains of one question, or with blurred ends."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from strop.host.continual.benchmarks.chance import MIXING, SAMPLES, order, raw
from strop.host.continual.benchmarks.source import Source
from strop.host.continual.experience import Benchmark, Experience, labels_of
from strop.host.data import Dataset

PAIR_CLASSES = ("first of its pair", "second of its pair")
RAMP_DIVISOR = 4  # two pairs mix in the last quarter of the one and the first quarter of the other


def split(source: Source, name: str) -> Benchmark:
    """Class-incremental: two classes an experience, one output for each class of all experiences."""
    experiences = []
    for pair in source.class_pairs():
        train, test = source.of_classes(pair)
        experiences.append(Experience(_title(source, pair), train, test, labels_of(train)))
    description = f"{source.spec} in {len(experiences)} experiences of two classes each, one output per class"
    return Benchmark(name, "class-incremental", tuple(experiences), description)


def split_domain(source: Source, name: str) -> Benchmark:
    """Domain-incremental: the same pairs, and the one question which of its pair an image is: two outputs."""
    experiences = []
    for pair in source.class_pairs():
        train, test = (_within_pair(part, pair) for part in source.of_classes(pair))
        experiences.append(Experience(_title(source, pair), train, test, labels_of(train)))
    description = f"{source.spec} in {len(experiences)} pairs of classes; the label is the place in the pair"
    return Benchmark(name, "domain-incremental", tuple(experiences), description)


def blurred(source: Source, name: str) -> Benchmark:
    """Task-free: each training sample once, in a stream in which one pair of classes gives way to the next gradually.

    Pairs of equal size: a quarter before a boundary the share of the next pair begins to grow from 0, linearly; at the
    boundary it is a half, and a quarter after it 1 (the fuzzy boundaries of van de Ven et al. 2022, "Three types of
    incremental learning"). For that, each pair's samples are shuffled, and the samples at equal distance before and
    after a boundary are exchanged with the probability of that distance; so the stream is a permutation. The cut into
    experiences is at the boundaries, and an experience's test set is the pair of which it mainly is. Where pairs differ
    in size, the smallest one's quarter counts.
    """
    pairs = source.class_pairs()
    parts = [source.of_classes(pair) for pair in pairs]
    sizes = [len(train) for train, _ in parts]
    ends = np.cumsum(sizes)
    shuffled = [order(size, source.seed, SAMPLES, number) for number, size in enumerate(sizes)]
    rows = np.concatenate([start + own for start, own in zip(ends - sizes, shuffled, strict=True)])
    ramp = min(sizes) // RAMP_DIVISOR
    for number, boundary in enumerate(ends[:-1].tolist()):
        _mix(rows, boundary, ramp, raw(ramp, source.seed, MIXING, number))
    images = np.concatenate([train.images for train, _ in parts])
    labels = np.concatenate([train.labels for train, _ in parts])
    experiences = []
    for pair, (train, test), end, size in zip(pairs, parts, ends.tolist(), sizes, strict=True):
        chosen = rows[end - size : end]
        stream = Dataset(images[chosen], labels[chosen], train.classes, f"{train.name}, blurred")
        experiences.append(Experience(_title(source, pair), stream, test, labels_of(stream), ordered=True))
    description = f"{source.spec} as a stream in which pairs of classes give way to each other gradually"
    return Benchmark(name, "task-free", tuple(experiences), description)


def _mix(rows: NDArray[np.int64], boundary: int, ramp: int, bits: NDArray[np.uint64]) -> None:
    """Exchange rows[boundary - 1 - d] and rows[boundary + d], d < ramp, with probability 1/2 - (2 d + 1) / (4 ramp).

    That is the linear ramp at the middle of each position. The comparison is one of integers: 32 bits of chance times
    4 ramp, against 2^32 times the numerator.
    """
    distance = np.arange(ramp, dtype=np.uint64)
    numerator = np.uint64(2 * ramp) - (np.uint64(2) * distance + np.uint64(1))
    exchanged = (bits >> np.uint64(32)) * np.uint64(4 * ramp) < (numerator << np.uint64(32))
    after = boundary + np.flatnonzero(exchanged)
    before = 2 * boundary - 1 - after
    rows[before], rows[after] = rows[after], rows[before]


def _within_pair(dataset: Dataset, pair: tuple[int, int]) -> Dataset:
    return Dataset(dataset.images, (dataset.labels == pair[1]).astype(np.int32), PAIR_CLASSES, dataset.name)


def _title(source: Source, pair: tuple[int, int]) -> str:
    return " and ".join(source.train.classes[label] for label in pair)
