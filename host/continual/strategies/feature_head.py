"""A frozen network with a classifier of its own on the feature maps: what streaming LDA and nearest means share.

Sums over int8 features are whole numbers, exact in any order, so what is learned is the same bytes on every machine.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from strop.host.checked import whole
from strop.host.continual.strategies.latent_replay import CHUNK_SAMPLES, feature_layer
from strop.host.continual.strategies.strategy import Arrays, Strategy
from strop.host.data.dataset import Dataset
from strop.host.model import Model
from strop.runtime.cut import cut

if TYPE_CHECKING:
    from strop.host.continual.learner import Learner


class FeatureHead(Strategy, ABC):
    """Train the network in the first `whole_experiences`; then freeze it up to `after`, and sum up its features.

    after: one of `cut_points`; without it, the layer below the first fully-connected one. Counts, sums and what a head
    adds to them are the whole memory; no sample is kept.
    """

    alone: ClassVar[bool] = True

    def __init__(self, after: str | None = None, whole_experiences: int = 1) -> None:
        self.layer, self.whole_experiences = after or "", whole("whole_experiences", whole_experiences, 0)
        self._ended = 0
        self._counts = np.zeros(0, np.int64)  # [classes]
        self._sums = np.zeros((0, 0), np.int64)  # [classes, features]

    @property
    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"after": self.layer or None, "whole_experiences": self.whole_experiences}

    def join(self, learner: Learner) -> None:
        """Find the features, and take memory for their sums."""
        graph = learner.model.graph
        self.layer = self.layer or feature_layer(graph)
        features = cut(graph, self.layer).map_bytes
        self._counts = np.zeros(graph.classes, np.int64)
        self._sums = np.zeros((graph.classes, features), np.int64)

    def streams(self) -> bool:
        """Whether the network itself is still trained."""
        return self._ended < self.whole_experiences

    def after(self, learner: Learner, dataset: Dataset) -> None:
        """Add the features of the experience to the sums."""
        self._ended += 1
        if self._ended < self.whole_experiences:
            return  # the front will still move: these features would soon mean something else
        self.take(learner, dataset)

    def take(self, learner: Learner, dataset: Dataset) -> None:
        """Add the features of samples to the sums."""
        for start in range(0, len(dataset), CHUNK_SAMPLES):
            part = slice(start, start + CHUNK_SAMPLES)
            self._add(features_of(learner.model, dataset.images[part], self.layer), dataset.labels[part])

    def _add(self, features: NDArray[np.float64], labels: NDArray[np.int32]) -> None:
        """Add features [n, d], whole numbers in float64: products and sums stay below 2^53, so they are exact."""
        of_class = (labels[:, None] == np.arange(len(self._counts))).astype(np.float64)
        self._counts += of_class.sum(axis=0).astype(np.int64)
        self._sums += (of_class.T @ features).astype(np.int64)

    def scores(self, learner: Learner, images: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        """Return the head's scores once it has learned anything; a class without samples has the lowest."""
        if not self._counts.any():
            return None
        parts = [
            self._score(features_of(learner.model, images[start : start + CHUNK_SAMPLES], self.layer))
            for start in range(0, len(images), CHUNK_SAMPLES)
        ]
        scores = np.concatenate([np.zeros((0, len(self._counts))), *parts])
        seen = np.where(self._counts > 0, scores, scores.min(initial=0.0) - 1e3)
        named: NDArray[np.float64] = seen[:, : len(learner.model.classes)]
        return named

    @abstractmethod
    def _score(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a score for each row of features [n, d], int8 values, and class: [n, classes]."""

    def _means(self) -> NDArray[np.float64]:
        means: NDArray[np.float64] = self._sums / np.maximum(self._counts, 1)[:, None]
        return means

    def facts(self) -> dict[str, Any]:
        """Return how many experiences have ended."""
        return {"ended": self._ended}

    def arrays(self) -> Arrays:
        """Return counts and sums."""
        return {"counts": self._counts.copy(), "sums": self._sums.copy()}

    def restore(self, facts: dict[str, Any], arrays: Arrays) -> None:
        """Become what `facts` and `arrays` described."""
        self._ended = int(facts["ended"])
        for name, mine in self.arrays().items():
            if arrays[name].shape != mine.shape:
                raise ValueError(f"{name} of {arrays[name].shape}, expected {mine.shape}")
        self._counts, self._sums = arrays["counts"].copy(), arrays["sums"].copy()


def features_of(model: Model, images: NDArray[np.uint8], layer: str) -> NDArray[np.float64]:
    """Return the features [n, d] of images behind `layer`, int8 values as float64."""
    maps = model.features(images, layer)
    return maps.reshape(len(maps), -1).astype(np.float64)
