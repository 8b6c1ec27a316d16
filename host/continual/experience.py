"""A benchmark of continual learning: experiences that a model meets one after the other, checked when they are made.

The words are Avalanche's (Lomonaco et al. 2021, "Avalanche: an End-to-End Library for Continual Learning"): a benchmark
is a stream of experiences, and an experience is what can be learned from at one time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from strop.host.checked import data_set, whole
from strop.host.data import Dataset
from strop.runtime.errors import InputError

Scenario = Literal["class-incremental", "domain-incremental", "task-free"]


@dataclass(frozen=True)
class Experience:
    """What a model meets at one time: data to train on, and a test set for what this experience is about.

    classes: the labels that `train` holds, sorted. ordered: the samples of `train` are a stream, to be visited in their
    order and not shuffled. Raises InputError where train and test differ in image shape or class names, or `classes`
    says something else than the labels.
    """

    name: str
    train: Dataset
    test: Dataset
    classes: tuple[int, ...]
    ordered: bool = False

    def __post_init__(self) -> None:
        data_set(self.train, f"train of experience {self.name!r}")
        data_set(self.test, f"test of experience {self.name!r}")
        _check_alike(self.train, self.test, f"in experience {self.name!r} train and test")
        held = labels_of(self.train)
        if tuple(self.classes) != held:
            raise InputError(f"classes of experience {self.name!r} are {self.classes!r}; its training data has {held}")
        object.__setattr__(self, "classes", held)


@dataclass(frozen=True)
class Benchmark:
    """A stream of experiences, and how they differ.

    | scenario | what changes from one experience to the next |
    |---|---|
    | class-incremental | other classes come; which experience a test image is of is not told |
    | domain-incremental | the same classes look different |
    | task-free | classes come and go gradually; where one experience ends is the benchmark's cut, not the stream's |

    All data sets have the same image shape and the same class names, including those of classes that come later.
    Raises InputError where they do not, without experiences, for names that occur twice and for another scenario.
    """

    name: str
    scenario: Scenario
    experiences: tuple[Experience, ...]
    description: str

    def __post_init__(self) -> None:
        if self.scenario not in get_args(Scenario):
            raise InputError(f"scenario {self.scenario!r} is unknown; allowed are {', '.join(get_args(Scenario))}")
        object.__setattr__(self, "experiences", tuple(self.experiences))
        if not self.experiences:
            raise InputError(f"benchmark {self.name} has no experiences; it needs at least one")
        names: set[str] = set()
        for experience in self.experiences:
            _check_experience(experience)
            if experience.name in names:
                raise InputError(f"benchmark {self.name}: two experiences are called {experience.name!r}; rename one")
            names.add(experience.name)
            first = self.experiences[0]
            _check_alike(first.train, experience.train, f"the experiences {first.name!r} and {experience.name!r}")

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of all classes, by label."""
        return self.experiences[0].train.classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return self.experiences[0].train.image_shape


def hold_out(benchmark: Benchmark, count: int, seed: int) -> tuple[Benchmark, Dataset]:
    """Return the benchmark without `count` training samples of its first experience, and those: for a guard.

    `seed` chooses them. Raises InputError unless the experience has more.
    """
    first = benchmark.experiences[0]
    if whole("the number of samples to hold out", count, 1) >= len(first.train):
        raise InputError(
            f"cannot hold out {count} of the {len(first.train)} training samples of experience {first.name!r}: allowed "
            f"are 1 to {len(first.train) - 1} (in the shell: --guard-samples)"
        )
    held_out, rest = first.train.split(count, seed)
    without = replace(first, train=rest, classes=labels_of(rest))
    return replace(benchmark, experiences=(without, *benchmark.experiences[1:])), held_out


def labels_of(dataset: Dataset) -> tuple[int, ...]:
    """Return the labels that occur in a data set, sorted."""
    return tuple(np.unique(dataset.labels).tolist())


def _check_experience(experience: Any) -> None:
    if not isinstance(experience, Experience):
        raise InputError(f"experiences holds an object of type {type(experience).__name__}; each must be an Experience")


def _check_alike(one: Dataset, other: Dataset, which: str) -> None:
    if one.image_shape != other.image_shape:
        raise InputError(
            f"{which} have images of {one.image_shape} and {other.image_shape}; all images of a benchmark must have "
            "one shape: resize them"
        )
    if one.classes != other.classes:
        raise InputError(
            f"{which} have the classes {one.classes} and {other.classes}; labels must mean the same in all of a "
            "benchmark: give each data set all the names, in one order"
        )
