"""Latent replay: the front is frozen, and feature maps of the past are replayed into the middle of the network.

Pellegrini et al., IROS 2020; quantized: Ravaglia et al., IEEE JETCAS 2021. A map is what the int8 front gives, kept as
bytes: nothing is lost to compression, and training on kept maps gives the very bytes of training on images with the
front frozen (runtime/cut.py), at the cost of the rear alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from strop.host.checked import whole
from strop.host.continual.replay_memory import Policy, ReplayMemory
from strop.host.continual.strategies.strategy import Arrays, Strategy, joined, option_error
from strop.host.cursor import TrainingSettings
from strop.host.data.dataset import Dataset
from strop.host.model import Model
from strop.runtime.cut import MAP_OFFSET, cut, cut_points
from strop.runtime.errors import InputError
from strop.runtime.graph import Linear, NetworkGraph
from strop.runtime.session import Minibatch

if TYPE_CHECKING:
    from strop.host.continual.learner import Learner

CHUNK_SAMPLES = 4096  # so many feature maps are made at once


def encoded(model: Model, images: NDArray[np.uint8], after: str) -> NDArray[np.uint8]:
    """Return the feature maps of `images` behind `after` as bytes, value + 128: uint8 [n, C', H', W']."""
    maps = model.features(images, after)
    found: NDArray[np.uint8] = maps.view(np.uint8) ^ np.uint8(MAP_OFFSET)
    return found


def feature_layer(graph: NetworkGraph) -> str:
    """Return the layer whose maps the first fully-connected layer reads: the usual place to cut.

    Raises `InputError` where there is none, as in a network of fully-connected layers alone.
    """
    linear = next(index for index, node in enumerate(graph.nodes) if isinstance(node.layer, Linear))
    before = [node.name for node in graph.nodes[:linear]]
    places = cut_points(graph)
    below = [name for name in places if name in before]
    if not below:
        raise InputError(
            f"{graph.name} cannot be cut below its first fully-connected layer; pass after=, allowed: "
            f"{', '.join(places) or 'nowhere'}"
        )
    return below[-1]


class LatentReplay(Strategy):
    """Train the whole network in the first `whole_experiences`; then freeze what is up to `after`, and replay its maps.

    capacity: samples kept. after: one of `cut_points`; without it, the layer below the first fully-connected one.
    whole_experiences: 0 where the network comes trained. While the whole network is trained nothing is replayed; when
    the front is frozen, the samples of the experience that has just ended pass by the memory.
    """

    name: ClassVar[str] = "latent-replay"

    def __init__(
        self,
        capacity: int = 500,
        replay_batch: int = 32,
        after: str | None = None,
        whole_experiences: int = 1,
        policy: Policy = "reservoir",
        seed: int = 0,
    ) -> None:
        self.capacity = whole("capacity", capacity, 1)
        self.replay_batch = whole("replay_batch", replay_batch, 1)
        self.layer, self.policy = after or "", policy
        self.whole_experiences = whole("whole_experiences", whole_experiences, 0)
        self.seed = whole("seed", seed, 0)
        self.memory: ReplayMemory | None = None
        self._ended = 0

    @property
    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "capacity": self.capacity,
            "replay_batch": self.replay_batch,
            "after": self.layer or None,
            "whole_experiences": self.whole_experiences,
            "policy": self.policy,
            "seed": self.seed,
        }

    @property
    def nbytes(self) -> int:
        """Bytes of the memory, full or not."""
        return 0 if self.memory is None else self.memory.nbytes

    @property
    def frozen(self) -> bool:
        """Whether the front is frozen by now."""
        return self._ended >= self.whole_experiences

    def join(self, learner: Learner) -> None:
        """Find where the network is cut, and take memory for maps of that size."""
        if any(other.replay_batch and other is not self for other in learner.strategies):
            raise option_error(self.name, "strategies", "another replay beside it", "one kind of samples, kept once")
        graph = learner.model.graph
        self.layer = self.layer or feature_layer(graph)
        self.memory = ReplayMemory(self.capacity, cut(graph, self.layer).rear.input, self.policy, self.seed)

    def settings(self, settings: TrainingSettings) -> TrainingSettings:
        """Return settings for the rear once the front is frozen."""
        return replace(settings, after=self.layer) if self.frozen else settings

    def extend(self, minibatch: Minibatch, rows: NDArray[np.int64]) -> Minibatch:
        """Join maps of the past, then let the new ones pass by the memory."""
        if not self.frozen:
            return minibatch
        assert self.memory is not None
        maps, labels = self.memory.draw(self.replay_batch)
        extended = joined(minibatch, maps, labels)
        self.memory.add(minibatch.images[: len(rows)], minibatch.labels[: len(rows)])
        return extended

    def after(self, learner: Learner, dataset: Dataset) -> None:
        """Freeze the front when its time has come, and let the maps of the experience pass by the memory."""
        self._ended += 1
        if self._ended != self.whole_experiences:
            return
        assert self.memory is not None
        for start in range(0, len(dataset), CHUNK_SAMPLES):
            part = slice(start, start + CHUNK_SAMPLES)
            self.memory.add(encoded(learner.model, dataset.images[part], self.layer), dataset.labels[part])

    def facts(self) -> dict[str, Any]:
        """Return the memory's counters, and how many experiences have ended."""
        assert self.memory is not None
        return {"ended": self._ended, "memory": self.memory.facts()}

    def arrays(self) -> Arrays:
        """Return what the memory holds."""
        assert self.memory is not None
        return self.memory.arrays()

    def restore(self, facts: dict[str, Any], arrays: Arrays) -> None:
        """Become what `facts` and `arrays` described."""
        assert self.memory is not None
        self._ended = int(facts["ended"])
        self.memory.restore(facts["memory"], arrays)
