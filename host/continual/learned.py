"""The small values that a learner speaks with: its settings, how far it is, what it is made of, what it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from numpy.typing import NDArray

from strop.host.checked import layer_names, real, whole
from strop.host.continual.guard import GuardVerdict
from strop.host.cursor import DatasetMark
from strop.runtime.arena_plan import MAX_QUEUE
from strop.runtime.contract import C
from strop.runtime.errors import InputError
from strop.runtime.hyperparameters import Hyperparameters, mantissa_and_shift
from strop.runtime.session import StepResult

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class LearnerSettings:
    """How a learner trains. batch: new samples in a mini-batch; strategies may add to them.

    statistics: what normalizes while training ("batch", "running", "frozen": `Hyperparameters.statistics`); the last
    two can do with a mini-batch of one sample. frozen: layers that stay as they are. queue: the most mini-batches in
    one start of the device (1 to 16): fewer take less memory and change no result. Raises `InputError`.
    """

    batch: int = 32
    learning_rate: float = 0.05
    epochs: int = 1
    momentum: float = 0.0
    weight_decay: float = 0.0
    statistics: str = "batch"
    frozen: frozenset[str] = frozenset()
    seed: int = 0
    queue: int | None = None

    def __post_init__(self) -> None:
        whole("batch", self.batch, 1, C.MAX_BATCH)
        whole("epochs", self.epochs, 1)
        whole("seed", self.seed, 0)
        if self.queue is not None:
            whole("queue", self.queue, 1, MAX_QUEUE)
        mantissa_and_shift(real("learning_rate", self.learning_rate), "learning_rate")
        object.__setattr__(self, "frozen", layer_names(self.frozen))
        _ = self.hyper  # which checks the rest

    @property
    def hyper(self) -> Hyperparameters:
        """What programs are compiled with."""
        return Hyperparameters(
            real("momentum", self.momentum), real("weight_decay", self.weight_decay), statistics=self.statistics
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "frozen": sorted(self.frozen)}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> LearnerSettings:
        """Return the settings that `to_dict` described; raises KeyError, TypeError or ValueError on anything else."""
        return LearnerSettings(**{**data, "frozen": frozenset(data["frozen"])})


@dataclass(frozen=True)
class LearnerCursor:
    """An experience of which `done` of `steps` mini-batches are trained, `per_epoch` an epoch.

    ordered: whether its samples are visited as they stand.
    """

    dataset: DatasetMark
    per_epoch: int
    steps: int
    ordered: bool
    done: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.done <= self.steps and 0 <= self.per_epoch <= self.steps):
            raise InputError(f"{self.done} of {self.steps} steps, {self.per_epoch} an epoch: no such experience")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> LearnerCursor:
        """Return the cursor that `to_dict` described; raises KeyError, TypeError or ValueError on anything else."""
        dataset = data["dataset"]
        return LearnerCursor(
            DatasetMark(str(dataset["name"]), int(dataset["samples"]), str(dataset["digest"])),
            int(data["per_epoch"]),
            int(data["steps"]),
            bool(data["ordered"]),
            int(data["done"]),
        )


@dataclass(frozen=True)
class LearnerParts:
    """Copies of all that learning changes: the network's state, counts, and each strategy's facts and arrays."""

    state: Arrays = field(repr=False)
    model_steps: int
    experiences: int
    steps: int
    strategies: tuple[tuple[dict[str, Any], Arrays], ...] = field(repr=False)


@dataclass(frozen=True)
class Watch:
    """What a guard goes back to: the accuracy on its samples, 0 to 1, and the learner before the experience."""

    accuracy: float
    parts: LearnerParts


@dataclass(frozen=True)
class Learned:
    """What learning did: samples met, the loss and accuracy that steps measured on them, time, the guard's verdict."""

    samples: int
    training: StepResult
    seconds: float
    guard: GuardVerdict | None = None

    @property
    def rolled_back(self) -> bool:
        """Whether the guard undid it."""
        return self.guard is not None and self.guard.rolled_back

    def __str__(self) -> str:
        text = f"{self.samples:,} samples in {self.seconds:.1f} s"
        if self.training.samples:
            text += f", loss {self.training.loss:.3f}, {self.training.accuracy:.1%} correct as they were met"
        return text if self.guard is None else f"{text}; {self.guard}"
