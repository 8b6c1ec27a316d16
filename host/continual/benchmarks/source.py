"""What every benchmark is built of: the two splits of a data set, and the choices that a caller may make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from strop.host.checked import whole
from strop.host.continual.benchmarks.chance import CLASS_ORDER, SAMPLES, order
from strop.host.data import Dataset, load_dataset
from strop.runtime.errors import InputError

ClassOrder = Literal["fixed", "shuffled"]
DEFAULT_SOURCE = "fashion-mnist"
CLASSES_PER_EXPERIENCE = 2


@dataclass(frozen=True)
class Source:
    """A data set to cut into experiences, and the choices: see `load_benchmark`."""

    spec: str
    train: Dataset
    test: Dataset
    seed: int
    per_experience: int | None
    class_order: ClassOrder

    @classmethod
    def load(cls, spec: str, seed: int, per_experience: int | None, class_order: str) -> Source:
        """Return the loaded source; raises InputError for bad choices, DataError where `spec` cannot be loaded."""
        seed = whole("seed", seed, 0)
        if per_experience is not None:
            per_experience = whole("per_experience", per_experience, 1)
        if class_order not in get_args(ClassOrder):
            raise InputError(f'class_order {class_order!r} is unknown; allowed are "fixed" and "shuffled"')
        if not isinstance(spec, str):
            raise InputError(
                f"source is {spec!r}; it is a string, the name or path of a data set as load_dataset takes"
            )
        train, test = load_dataset(spec, "train"), load_dataset(spec, "test")
        return cls(spec, train, test, seed, per_experience, cast(ClassOrder, class_order))

    def variant(self, per_experience: int | None) -> str:
        """Return what differs from a benchmark's defaults, for its name: records of variants must not be mixed up.

        `per_experience` is the benchmark's default.
        """
        differing = []
        if self.spec != DEFAULT_SOURCE:
            differing.append(Path(self.spec).name or self.spec)
        if self.per_experience not in (None, per_experience):
            differing.append(f"{self.per_experience} per experience")
        if self.class_order != "fixed":
            differing.append(f"{self.class_order} classes")
        return f" ({', '.join(differing)})" if differing else ""

    def class_pairs(self) -> list[tuple[int, int]]:
        """Return the labels of each experience: 0 and 1, 2 and 3 and so on, or by a shuffled order that `seed` decides.

        Raises InputError unless there are two pairs or more, and none of the classes is without samples.
        """
        count = len(self.train.classes)
        if count % CLASSES_PER_EXPERIENCE or count < 2 * CLASSES_PER_EXPERIENCE:
            raise InputError(f"{self.spec!r} has {count} classes; pairs of them need an even number, at least 4")
        for split in (self.train, self.test):
            counts = np.bincount(split.labels, minlength=count)
            if not counts.all():
                missing = split.classes[int(np.argmin(counts))]
                raise InputError(f"{split.name} has no samples of the class {missing!r}; pairs of classes need them")
        labels = np.arange(count) if self.class_order == "fixed" else order(count, self.seed, CLASS_ORDER)
        return [(int(labels[i]), int(labels[i + 1])) for i in range(0, count, CLASSES_PER_EXPERIENCE)]

    def of_classes(self, labels: tuple[int, ...]) -> tuple[Dataset, Dataset]:
        """Return the samples with these labels, of the training and the test split, in their order.

        Of the training samples, `per_experience` where that is given, each class with its share (`Dataset.take`).
        """
        train, test = (split.subset(np.flatnonzero(np.isin(split.labels, labels))) for split in (self.train, self.test))
        if self.per_experience is None:
            return train, test
        if not len(labels) <= self.per_experience <= len(train):
            raise InputError(
                f"per_experience is {self.per_experience}; the classes {_named(self.train, labels)} of {self.spec!r} "
                f"have {len(train)} training samples: allowed are {len(labels)} to {len(train)}"
            )
        return train.take(self.per_experience, self.seed), test

    def disjoint(self, experiences: int, default: int) -> list[NDArray[np.int64]]:
        """Return for each of several experiences which training samples are its own: as many in each, none twice.

        `per_experience` samples, or `default`, or as many as there are. Chosen by `seed`, sorted.
        """
        most = len(self.train) // experiences
        count = self.per_experience or min(default, most)
        if not 1 <= count <= most:
            asked = "" if self.per_experience is None else f"per_experience is {count}; "
            raise InputError(
                f"{asked}{self.spec!r} has {len(self.train)} training samples, for {experiences} experiences that "
                f"share none: allowed are 1 to {most}"
            )
        shuffled = order(len(self.train), self.seed, SAMPLES)
        return [np.sort(shuffled[i * count : (i + 1) * count]) for i in range(experiences)]


def _named(dataset: Dataset, labels: tuple[int, ...]) -> str:
    return " and ".join(dataset.classes[label] for label in labels)
