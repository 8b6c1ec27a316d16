"""What a strategy may do to a learner's loop. Each does one thing, and several can be given to one learner.

A learner (host/continual/learner.py) goes through an experience like this:

    before(learner, dataset)                    once
    extend(minibatch, rows) -> minibatch        for each mini-batch, in order, while the device trains on earlier ones
    after(learner, dataset)                     once

Whatever a strategy has learned or keeps is in `facts` and `arrays`, which a checkpoint holds. `extend` sees no result
of a step: it runs ahead of the device.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from strop.host.cursor import TrainingSettings
from strop.host.data.dataset import Dataset
from strop.runtime.errors import InputError
from strop.runtime.session import Minibatch, Session
from strop.runtime.soft_targets import one_hot

if TYPE_CHECKING:
    from strop.host.continual.learner import Learner

Arrays = dict[str, NDArray[Any]]
START = "start."  # in front of the names of a state that a strategy trains from, of arrays in a checkpoint


class Strategy:
    """The strategy that changes nothing: the base of the others. `options` are the arguments that make it again."""

    name: ClassVar[str] = "naive"
    alone: ClassVar[bool] = False  # whether it trains or answers in the learner's place, so that no other can
    replay_batch: int = 0  # how many samples `extend` adds to a mini-batch, at most

    @property
    def options(self) -> dict[str, Any]:
        """The constructor's arguments, as plain data."""
        return {}

    @property
    def nbytes(self) -> int:
        """Bytes that the strategy keeps from one experience to the next."""
        return sum(array.nbytes for array in self.arrays().values())

    def join(self, learner: Learner) -> None:
        """Check that `learner`'s network and settings suit; called once, when the learner is made."""

    def settings(self, settings: TrainingSettings) -> TrainingSettings:
        """Return what a session for this strategy must be made for."""
        return settings

    def streams(self) -> bool:
        """Whether the network is trained on the experience that comes, mini-batch by mini-batch."""
        return True

    def before(self, learner: Learner, dataset: Dataset) -> None:
        """An experience begins."""

    def take(self, learner: Learner, dataset: Dataset) -> None:
        """Samples came without an experience around them, while `streams` says no: learn them, or `InputError`."""
        raise InputError(f"{self.name} learns whole experiences only: pass them to learn, not to partial_fit")

    def prepare(self, session: Session) -> None:
        """A session is about to train: give it what it needs beside the state."""

    def extend(self, minibatch: Minibatch, rows: NDArray[np.int64]) -> Minibatch:
        """Return the mini-batch that is trained instead; its first samples are rows `rows` of the experience."""
        return minibatch

    def after(self, learner: Learner, dataset: Dataset) -> None:
        """An experience has ended; the device is at rest."""

    def scores(self, learner: Learner, images: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        """Return a score for each image and class, float64 [n, classes], or None where the network answers."""
        return None

    def facts(self) -> dict[str, Any]:
        """Return counters and the like, as plain data."""
        return {}

    def arrays(self) -> Arrays:
        """Return copies of all that is kept."""
        return {}

    def restore(self, facts: dict[str, Any], arrays: Arrays) -> None:
        """Become what `facts` and `arrays` described; raises KeyError, TypeError or ValueError on anything else."""


def joined(minibatch: Minibatch, images: NDArray[np.uint8], labels: NDArray[np.int32]) -> Minibatch:
    """Return `minibatch` with more samples behind its own; they share its L1BN statistics."""
    if not len(labels):
        return minibatch
    targets = minibatch.targets
    if targets is not None:
        targets = np.concatenate([targets, one_hot(labels, targets.shape[1])])
    return replace(
        minibatch,
        images=np.concatenate([minibatch.images, images]),
        labels=np.concatenate([minibatch.labels, labels]),
        targets=targets,
    )


def option_error(strategy: str, option: str, value: object, allowed: str) -> InputError:
    """Return the error for an option that a strategy cannot take."""
    return InputError(f"{strategy}: {option} is {value!r}; allowed: {allowed}")


def below(prefix: str, arrays: Arrays) -> Arrays:
    """Return the arrays whose names begin with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
