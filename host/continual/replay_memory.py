"""A bounded memory of samples that were seen, from which mini-batches are filled up.

What enters and what is drawn follows from the seed and two counters alone (raw generator bits, host/order.py), so a run
that is resumed replays the same samples.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from strop.host.checked import whole
from strop.host.order import raw_bits
from strop.runtime.errors import InputError

Policy = Literal["reservoir", "balanced"]
ENTERING, DRAWING = 3, 4  # streams of the seed (host/order.py has 1 and 2)


class ReplayMemory:
    """Up to `capacity` samples, bytes uint8 of `shape` each, with their labels.

    policy "reservoir": every sample seen so far is in it with the same probability (Vitter 1985, algorithm R).
    "balanced": classes have equal shares as far as their samples go, each class a reservoir of its own (Chrysakis and
    Moens, ICML 2020: class-balancing reservoir sampling).
    """

    def __init__(self, capacity: int, shape: tuple[int, ...], policy: Policy = "reservoir", seed: int = 0) -> None:
        if policy not in get_args(Policy):
            raise InputError(f"policy is {policy!r}; allowed: {', '.join(get_args(Policy))}")
        self.capacity, self.shape = whole("capacity", capacity, 1), tuple(shape)
        self.policy, self.seed = policy, whole("seed", seed, 0)
        self._samples = np.zeros((self.capacity, *self.shape), np.uint8)
        self._labels = np.zeros(self.capacity, np.int32)
        self._held = 0
        self._entered = self._drawn = 0  # calls so far: where the generator stands
        self._passed = 0  # samples seen
        self._seen: dict[int, int] = {}  # balanced: the same by class
        self._was_largest: set[int] = set()  # balanced: classes that are or were the largest of a full memory

    def __len__(self) -> int:
        return self._held

    @property
    def nbytes(self) -> int:
        """Bytes that the memory takes, full or not."""
        return self._samples.nbytes + self._labels.nbytes

    @property
    def samples(self) -> NDArray[np.uint8]:
        """What is held, uint8 [n, *shape]; a view."""
        return self._samples[: self._held]

    @property
    def labels(self) -> NDArray[np.int32]:
        """The labels of `samples`, int32 [n]; a view."""
        return self._labels[: self._held]

    def add(self, samples: NDArray[np.uint8], labels: NDArray[np.int32]) -> None:
        """Let samples uint8 [n, *shape] with labels int32 [n] pass by, in order; the memory keeps which it wants."""
        draws = raw_bits(self.seed, ENTERING, self._entered, count=len(labels))
        self._entered += 1
        places = (self._reservoir if self.policy == "reservoir" else self._balanced)(labels, draws)
        kept = {place: index for index, place in enumerate(places) if place >= 0}  # a later one overwrites an earlier
        at, rows = list(kept), list(kept.values())
        self._samples[at], self._labels[at] = samples[rows], labels[rows]

    def draw(self, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Return up to `count` samples and their labels, without repeats, all equally likely."""
        if not self._held or not count:
            return self._samples[:0], self._labels[:0]
        rows = _distinct(raw_bits(self.seed, DRAWING, self._drawn, count=min(count, self._held)), self._held)
        self._drawn += 1
        return self._samples[rows], self._labels[rows]

    def _reservoir(self, labels: NDArray[np.int32], draws: NDArray[np.uint64]) -> list[int]:
        """Return the place of each sample, -1 for none."""
        numbers = np.arange(self._passed, self._passed + len(labels))
        self._passed += len(labels)
        drawn = _below(draws, numbers + 1)
        places = np.where(numbers < self.capacity, numbers, np.where(drawn < self.capacity, drawn, -1))
        self._held = min(self.capacity, self._held + len(labels))
        found: list[int] = places.tolist()
        return found

    def _balanced(self, labels: NDArray[np.int32], draws: NDArray[np.uint64]) -> list[int]:
        holders = self._labels.copy()  # as they will be, while nothing is stored yet
        counts = np.bincount(holders[: self._held]) if self._held else np.zeros(0, np.int64)
        counts = np.concatenate([counts, np.zeros(max(0, int(labels.max(initial=0)) + 1 - len(counts)), np.int64)])
        places = []
        for label, bits in zip(labels.tolist(), draws, strict=True):
            self._seen[label] = self._seen.get(label, 0) + 1
            place = self._place(label, bits, holders, counts)
            if place >= 0:
                if place < self._held:
                    counts[holders[place]] -= 1
                else:
                    self._held = place + 1
                counts[label] += 1
                holders[place] = label
            places.append(place)
        return places

    def _place(self, label: int, bits: np.uint64, holders: NDArray[np.int32], counts: NDArray[np.int64]) -> int:
        if self._held < self.capacity:
            return self._held
        largest = int(counts.argmax())
        self._was_largest.update(np.flatnonzero(counts == counts[largest]).tolist())
        if label not in self._was_largest:
            victims = np.flatnonzero(holders[: self._held] == largest)
            return int(victims[_below(bits, len(victims))])
        own = int(counts[label])
        drawn = int(_below(bits, self._seen[label]))
        return int(np.flatnonzero(holders[: self._held] == label)[drawn]) if drawn < own else -1

    # -- for checkpoints ------------------------------------------------------------------------------------------
    def facts(self) -> dict[str, Any]:
        """Return, as plain data, everything but the samples."""
        return {
            "held": self._held,
            "entered": self._entered,
            "drawn": self._drawn,
            "passed": self._passed,
            "seen": {str(label): count for label, count in self._seen.items()},
            "was_largest": sorted(self._was_largest),
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return copies of what is held."""
        return {"samples": self.samples.copy(), "labels": self.labels.copy()}

    def restore(self, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Become what `facts` and `arrays` described; raises KeyError, TypeError or ValueError on anything else."""
        held = int(facts["held"])
        shapes = arrays["samples"].shape, arrays["labels"].shape
        if not 0 <= held <= self.capacity or shapes != ((held, *self.shape), (held,)):
            raise ValueError(f"{held} samples of {self.shape} in a memory of {self.capacity}, as {shapes}")
        self._held, self._entered, self._drawn = held, int(facts["entered"]), int(facts["drawn"])
        self._samples[:held], self._labels[:held] = arrays["samples"], arrays["labels"]
        self._passed = int(facts["passed"])
        self._seen = {int(label): int(count) for label, count in facts["seen"].items()}
        self._was_largest = set(map(int, facts["was_largest"]))


def _below(bits: Any, bound: Any) -> Any:
    """Return whole numbers from 0 to bound - 1 (bound up to 2^31) from 64 random bits each."""
    return ((bits >> np.uint64(33)) * np.asarray(bound).astype(np.uint64) >> np.uint64(31)).astype(np.int64)


def _distinct(bits: NDArray[np.uint64], bound: int) -> list[int]:
    """Return as many different numbers below `bound` as there are words of bits: the first of a Fisher-Yates shuffle.

    Only what the shuffle has moved is remembered, so the cost is that of the numbers drawn.
    """
    moved: dict[int, int] = {}
    found = []
    for first, drawn in enumerate(_below(bits, bound - np.arange(len(bits))).tolist()):
        place = first + drawn
        found.append(moved.get(place, place))
        moved[place] = moved.get(first, first)
    return found
