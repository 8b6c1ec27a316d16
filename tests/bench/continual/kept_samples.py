"""What replay keeps of a stream: a reservoir, or GDumb's greedily balanced memory. Chance is raw PCG64 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from strop.runtime.errors import InputError

_STREAM = 0x636C  # apart from the streams of host/order.py, which begin with 1 and 2


class Reservoir:
    """At most `capacity` samples of `shape` and `dtype`, each of the stream with equal chance (Vitter's algorithm R).

    Raises `InputError` for a capacity below 1.
    """

    def __init__(self, capacity: int, shape: tuple[int, ...], dtype: DTypeLike, seed: int) -> None:
        if capacity < 1:
            raise InputError(f"a memory of {capacity} samples keeps nothing; give at least 1")
        self.capacity = capacity
        self.seen = 0
        self._samples = np.zeros((capacity, *shape), dtype)
        self._labels = np.zeros(capacity, np.int64)
        self._bits = np.random.PCG64(np.random.SeedSequence([seed, _STREAM]))

    def __len__(self) -> int:
        return min(self.seen, self.capacity)

    @property
    def nbytes(self) -> int:
        """Bytes of a full memory: samples, and one byte a label."""
        return self._samples.nbytes + self.capacity

    def add(self, samples: NDArray[Any], labels: NDArray[Any]) -> None:
        """Offer samples [n, *shape] with labels [n] in the order in which the stream brought them."""
        order = np.arange(self.seen, self.seen + len(samples))
        drawn = (self._bits.random_raw(len(samples)) % (order + 1).astype(np.uint64)).astype(np.int64)
        places = np.where(order < self.capacity, order, drawn)
        for index in np.flatnonzero(places < self.capacity):
            self._samples[places[index]] = samples[index]
            self._labels[places[index]] = labels[index]
        self.seen += len(samples)

    def draw(self, count: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return copies of `count` different kept samples and their labels, fewer where not so many are kept yet."""
        chosen = np.argsort(self._bits.random_raw(len(self)), kind="stable")[:count]
        return self._samples[chosen], self._labels[chosen]


class BalancedMemory:
    """At most `capacity` uint8 images of `shape`, as many of each class as can be (Prabhu et al., ECCV 2020, Alg. 1).

    An image is kept where its class has fewer than its share; where the memory is full, one of the largest class makes
    room. Raises `InputError` for a capacity below 1.
    """

    def __init__(self, capacity: int, shape: tuple[int, ...], seed: int) -> None:
        if capacity < 1:
            raise InputError(f"a memory of {capacity} samples keeps nothing; give at least 1")
        self.capacity = capacity
        self._samples = np.zeros((capacity, *shape), np.uint8)
        self._labels = np.zeros(capacity, np.int64)
        self._places: dict[int, list[int]] = {}  # of each class
        self._bits = np.random.PCG64(np.random.SeedSequence([seed, _STREAM]))

    def __len__(self) -> int:
        return sum(map(len, self._places.values()))

    @property
    def nbytes(self) -> int:
        """Bytes of a full memory: images, and one byte a label."""
        return self._samples.nbytes + self.capacity

    def add(self, samples: NDArray[np.uint8], labels: NDArray[Any]) -> None:
        """Offer images [n, *shape] with labels [n] in the order in which the stream brought them."""
        for sample, label in zip(samples, labels.tolist(), strict=True):
            mine = self._places.setdefault(label, [])
            if len(mine) >= max(1, self.capacity // len(self._places)):
                continue
            place = len(self)
            if place == self.capacity:
                largest = max(self._places.values(), key=len)
                place = largest.pop(self._bits.random_raw() % len(largest))
            mine.append(place)
            self._samples[place], self._labels[place] = sample, label

    def all(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return every kept image [n, *shape] and its label [n]; views."""
        return self._samples[: len(self)], self._labels[: len(self)]
