"""GDumb: keep a balanced memory, and train on nothing else (Prabhu, Torr and Dokania, ECCV 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from strop.host.checked import whole
from strop.host.continual.replay_memory import ReplayMemory
from strop.host.continual.strategies.strategy import START, Arrays, Strategy, below
from strop.host.data.dataset import Dataset

if TYPE_CHECKING:
    from strop.host.continual.learner import Learner


class GDumb(Strategy):
    """Keep `capacity` images, classes in equal shares; after each experience, train afresh on them for `epochs`."""

    name: ClassVar[str] = "gdumb"
    alone: ClassVar[bool] = True

    def __init__(self, capacity: int = 500, epochs: int = 30, seed: int = 0) -> None:
        self.capacity, self.epochs = whole("capacity", capacity, 2), whole("epochs", epochs, 1)
        self.seed = whole("seed", seed, 0)
        self.memory: ReplayMemory | None = None
        self._start: Arrays = {}

    @property
    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"capacity": self.capacity, "epochs": self.epochs, "seed": self.seed}

    @property
    def nbytes(self) -> int:
        """Bytes of the memory, full or not, and of the state that training begins with."""
        return (0 if self.memory is None else self.memory.nbytes) + sum(a.nbytes for a in self._start.values())

    def join(self, learner: Learner) -> None:
        """Take memory, and remember where training begins afresh."""
        self.memory = ReplayMemory(self.capacity, learner.model.graph.input, "balanced", self.seed)
        self._start = learner.model.state()

    def streams(self) -> bool:
        """Not: everything happens after the experience."""
        return False

    def after(self, learner: Learner, dataset: Dataset) -> None:
        """Let the experience pass by the memory, and train on what it holds."""
        assert self.memory is not None
        self.memory.add(dataset.images, dataset.labels)
        kept = Dataset(self.memory.samples, self.memory.labels, dataset.classes, "GDumb's memory")
        learner.train_afresh(kept, self.epochs, self._start)

    def facts(self) -> dict[str, Any]:
        """Return the memory's counters."""
        assert self.memory is not None
        return self.memory.facts()

    def arrays(self) -> Arrays:
        """Return what the memory holds, and the state before the first experience."""
        assert self.memory is not None
        return {**self.memory.arrays(), **{START + name: array for name, array in self._start.items()}}

    def restore(self, facts: dict[str, Any], arrays: Arrays) -> None:
        """Become what `facts` and `arrays` described."""
        assert self.memory is not None
        self.memory.restore(facts, arrays)
        self._start = below(START, arrays)
