"""Joint training: the upper bound, which keeps everything it ever saw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from strop.host.checked import whole
from strop.host.continual.strategies.strategy import START, Arrays, Strategy, below
from strop.host.data.dataset import Dataset

if TYPE_CHECKING:
    from strop.host.continual.learner import Learner


class Joint(Strategy):
    """After each experience, train afresh for `epochs` on all samples so far, shuffled together.

    No strategy for a device: its memory grows without end. It says what the others could reach at most with as many
    epochs.
    """

    name: ClassVar[str] = "joint"
    alone: ClassVar[bool] = True

    def __init__(self, epochs: int = 1) -> None:
        self.epochs = whole("epochs", epochs, 1)
        self._start: Arrays = {}
        self._images: list[Any] = []
        self._labels: list[Any] = []

    @property
    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"epochs": self.epochs}

    @property
    def nbytes(self) -> int:
        """Bytes of all samples so far."""
        return sum(part.nbytes for part in (*self._images, *self._labels))

    def join(self, learner: Learner) -> None:
        """Remember where training begins afresh."""
        self._start = learner.model.state()

    def streams(self) -> bool:
        """Not: everything happens after the experience."""
        return False

    def after(self, learner: Learner, dataset: Dataset) -> None:
        """Train on all there is."""
        self._images.append(dataset.images)
        self._labels.append(dataset.labels)
        everything = Dataset(
            np.concatenate(self._images), np.concatenate(self._labels), dataset.classes, "all experiences so far"
        )
        learner.train_afresh(everything, self.epochs, self._start)

    def facts(self) -> dict[str, Any]:
        """Return how many samples each experience had."""
        return {"samples": [len(part) for part in self._labels]}

    def arrays(self) -> Arrays:
        """Return all samples so far, and the state before the first."""
        found = {START + name: array for name, array in self._start.items()}
        if self._images:
            found |= {"images": np.concatenate(self._images), "labels": np.concatenate(self._labels)}
        return found

    def restore(self, facts: dict[str, Any], arrays: Arrays) -> None:
        """Become what `facts` and `arrays` described."""
        counts = [int(count) for count in facts["samples"]]
        edges = np.cumsum(counts)[:-1]
        self._images = np.split(arrays["images"], edges) if counts else []
        self._labels = np.split(arrays["labels"], edges) if counts else []
        self._start = below(START, arrays)
