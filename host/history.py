"""What a fit measured: a record for each step and each epoch, what it was told to do, and what it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.runtime.arena_plan import MemoryReport
from strop.runtime.session import StepResult


@dataclass(frozen=True)
class Progress:
    """What `on_step` is called with after each step. Steps and epochs count from 1; a loss is a mean in nats."""

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float  # of this step's mini-batch, as is accuracy
    accuracy: float
    epoch_loss: float  # of the epoch so far, as is epoch_accuracy
    epoch_accuracy: float
    learning_rate: float
    images_per_second: float
    eta_seconds: float


@dataclass(frozen=True)
class StepRecord:
    """One step: its number and epoch (from 1), its learning rate, and what the device measured on its mini-batch."""

    step: int
    epoch: int
    learning_rate: float
    result: StepResult

    @property
    def loss(self) -> float:
        """Mean cross-entropy of the mini-batch before the step, nats."""
        return self.result.loss

    @property
    def accuracy(self) -> float:
        """Share of correct answers, 0 to 1."""
        return self.result.accuracy


@dataclass(frozen=True)
class EpochRecord:
    """One epoch (from 1): what its steps measured as they met the samples, and the validation after them, if any.

    The last epoch is shorter where the fit was told a number of steps; `steps` says how many it had.
    """

    epoch: int
    steps: int
    training: StepResult
    validation: StepResult | None

    @property
    def loss(self) -> float:
        """Mean training loss, nats."""
        return self.training.loss

    @property
    def accuracy(self) -> float:
        """Training accuracy, 0 to 1."""
        return self.training.accuracy

    @property
    def validation_loss(self) -> float | None:
        """Mean loss on the validation set, nats; None without one."""
        return None if self.validation is None else self.validation.loss

    @property
    def validation_accuracy(self) -> float | None:
        """Accuracy on the validation set, 0 to 1; None without one."""
        return None if self.validation is None else self.validation.accuracy


@dataclass(frozen=True)
class History:
    """The record of one fit, over all its interruptions.

    hyperparameters: what was done, nothing in it "auto". requested: the caller's words. reasons: why each "auto" became
    what it is. seconds: time in `fit` and `resume`; training_seconds: without validation and checkpoints. device: who
    computed last. modelled: seconds that a step would take on each board that the cycle model knows, by name.
    """

    steps: tuple[StepRecord, ...]
    epochs: tuple[EpochRecord, ...]
    hyperparameters: Mapping[str, Any]
    requested: Mapping[str, Any]
    reasons: Mapping[str, str]
    seconds: float
    training_seconds: float
    memory: MemoryReport
    device: str = field(default="")
    modelled: Mapping[str, float] = field(default_factory=dict)

    @property
    def images_per_second(self) -> float:
        """Training samples for each of the `training_seconds`."""
        return sum(record.result.samples for record in self.steps) / max(self.training_seconds, 1e-9)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data that JSON can hold."""
        return {
            **self.facts(),
            "images_per_second": self.images_per_second,
            "steps": [
                {
                    "step": r.step,
                    "epoch": r.epoch,
                    "loss": r.loss,
                    "accuracy": r.accuracy,
                    "learning_rate": r.learning_rate,
                }
                for r in self.steps
            ],
            "epochs": [
                {
                    "epoch": r.epoch,
                    "steps": r.steps,
                    "loss": r.loss,
                    "accuracy": r.accuracy,
                    "validation_loss": r.validation_loss,
                    "validation_accuracy": r.validation_accuracy,
                }
                for r in self.epochs
            ],
        }

    def plot(self, path: str | Path) -> Path:
        """Draw loss and accuracy into the PNG file `path`; return its path. Needs matplotlib (`InputError` without)."""
        from strop.host.plot import plot_history

        return plot_history(self, path)

    # -- for checkpoints ------------------------------------------------------------------------------------------
    def facts(self) -> dict[str, Any]:
        """Return, as plain data, everything but the records."""
        return {
            "hyperparameters": dict(self.hyperparameters),
            "requested": dict(self.requested),
            "reasons": dict(self.reasons),
            "seconds": self.seconds,
            "training_seconds": self.training_seconds,
            "memory": asdict(self.memory),
            "device": self.device,
            "modelled_step_seconds": dict(self.modelled),
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the records as arrays, one row a step or epoch; a missing validation has 0 samples."""
        blank = StepResult(0, 0, 0)
        return {
            "step.number": np.array([(r.step, r.epoch) for r in self.steps], np.int64).reshape(-1, 2),
            "step.learning_rate": np.array([r.learning_rate for r in self.steps], np.float64),
            "step.result": _rows([r.result for r in self.steps]),
            "epoch.number": np.array([(r.epoch, r.steps) for r in self.epochs], np.int64).reshape(-1, 2),
            "epoch.training": _rows([r.training for r in self.epochs]),
            "epoch.validation": _rows([r.validation or blank for r in self.epochs]),
        }

    @staticmethod
    def from_parts(facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> History:
        """Return the history that `facts` and `arrays` described; raises KeyError, TypeError or ValueError."""
        modelled = facts.get("modelled_step_seconds", {})  # files of earlier versions have none
        rates = arrays["step.learning_rate"].tolist()
        results = _results(arrays["step.result"])
        steps = arrays["step.number"].tolist()
        epochs = arrays["epoch.number"].tolist()
        training, validation = _results(arrays["epoch.training"]), _results(arrays["epoch.validation"])
        return History(
            steps=tuple(
                StepRecord(step, epoch, rate, result)
                for (step, epoch), rate, result in zip(steps, rates, results, strict=True)
            ),
            epochs=tuple(
                EpochRecord(epoch, count, trained, checked if checked.samples else None)
                for (epoch, count), trained, checked in zip(epochs, training, validation, strict=True)
            ),
            hyperparameters=dict(facts["hyperparameters"]),
            requested=dict(facts["requested"]),
            reasons=dict(facts["reasons"]),
            seconds=float(facts["seconds"]),
            training_seconds=float(facts["training_seconds"]),
            memory=MemoryReport(**{str(part): int(nbytes) for part, nbytes in facts["memory"].items()}),
            device=str(facts["device"]),
            modelled={str(board): float(time) for board, time in modelled.items()},
        )


def _rows(results: list[StepResult]) -> NDArray[np.int64]:
    return np.array([(r.loss_sum_q16, r.correct, r.samples) for r in results], np.int64).reshape(-1, 3)


def _results(rows: NDArray[Any]) -> list[StepResult]:
    return [StepResult(*row) for row in rows.tolist()]
