"""Experience replay: a few samples of the past in every mini-batch (Robins 1995; Rolnick et al., NeurIPS 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from strop.host.checked import whole
from strop.host.continual.replay_memory import Policy, ReplayMemory
from strop.host.continual.strategies.strategy import Arrays, Strategy, joined
from strop.runtime.session import Minibatch

if TYPE_CHECKING:
    from strop.host.continual.learner import Learner


class Replay(Strategy):
    """Keep `capacity` uint8 images, and join `replay_batch` of them to each mini-batch of new ones.

    New and replayed samples share a mini-batch, and so its L1BN statistics, which then speak of old and new data alike.
    policy: "reservoir" or "balanced" (`ReplayMemory`). In the first steps fewer are replayed: those that there are.
    """

    name: ClassVar[str] = "replay"

    def __init__(
        self, capacity: int = 500, replay_batch: int = 32, policy: Policy = "reservoir", seed: int = 0
    ) -> None:
        self.capacity = whole("capacity", capacity, 1)
        self.replay_batch = whole("replay_batch", replay_batch, 1)
        self.policy, self.seed = policy, whole("seed", seed, 0)
        self.memory: ReplayMemory | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "capacity": self.capacity,
            "replay_batch": self.replay_batch,
            "policy": self.policy,
            "seed": self.seed,
        }

    @property
    def nbytes(self) -> int:
        """Bytes of the memory, full or not."""
        return 0 if self.memory is None else self.memory.nbytes

    def join(self, learner: Learner) -> None:
        """Take memory for images of the network's size."""
        self.memory = ReplayMemory(self.capacity, learner.model.graph.input, self.policy, self.seed)

    def extend(self, minibatch: Minibatch, rows: NDArray[np.int64]) -> Minibatch:
        """Join samples of the past, then let the new ones pass by the memory."""
        assert self.memory is not None
        images, labels = self.memory.draw(self.replay_batch)
        extended = joined(minibatch, images, labels)
        self.memory.add(minibatch.images[: len(rows)], minibatch.labels[: len(rows)])
        return extended

    def facts(self) -> dict[str, Any]:
        """Return the memory's counters."""
        assert self.memory is not None
        return self.memory.facts()

    def arrays(self) -> Arrays:
        """Return what the memory holds."""
        assert self.memory is not None
        return self.memory.arrays()

    def restore(self, facts: dict[str, Any], arrays: Arrays) -> None:
        """Become what `facts` and `arrays` described."""
        assert self.memory is not None
        self.memory.restore(facts, arrays)
