"""What a fit was asked for and how far it is: all that its next bytes depend on, beside the state and the data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from strop.host.data.augmentation import check_augmentation
from strop.host.data.dataset import Dataset
from strop.host.data.image_stream import ImageStream
from strop.host.schedules import Schedule, schedule_from_dict, schedule_to_dict
from strop.runtime.cut import cut
from strop.runtime.errors import CheckpointMismatch, InputError
from strop.runtime.graph import NetworkGraph
from strop.runtime.hyperparameters import Hyperparameters

DEFAULT_BATCH = 128
ALWAYS_SAID = ("momentum", "weight_decay", "per_channel_weights")  # in every manifest; other hyperparameters where set


@dataclass(frozen=True)
class TrainingSettings:
    """What a session is made for; `partial_fit` goes on with those of the last fit.

    With `after`, only what is behind that layer is trained, on feature maps that the front gave (runtime/cut.py).
    queue: the most mini-batches in one start, for little memory; no result depends on it.
    """

    batch: int = DEFAULT_BATCH
    hyper: Hyperparameters = field(default_factory=Hyperparameters)
    frozen: frozenset[str] = frozenset()
    after: str | None = None
    queue: int | None = None

    def trained(self, graph: NetworkGraph) -> tuple[NetworkGraph, frozenset[str]]:
        """Return the network that a session trains of `graph`, and which of its layers are frozen, by its own names."""
        if self.after is None:
            return graph, self.frozen
        found = cut(graph, self.after)
        return found.rear, frozenset(mine for mine, whole in found.names.items() if whole in self.frozen)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for a manifest: what a fit can be told, and so neither `after` nor `queue`."""
        usual = asdict(Hyperparameters())
        hyper = {n: value for n, value in asdict(self.hyper).items() if n in ALWAYS_SAID or value != usual[n]}
        return {"batch": self.batch, **hyper, "frozen": sorted(self.frozen)}

    def described(self) -> dict[str, Any]:
        """Return, for people, `to_dict` with what fixed point makes of the momentum beside what was asked for."""
        words = self.to_dict()
        return {
            "batch": words.pop("batch"),
            "momentum": words.pop("momentum"),
            "effective_momentum": self.hyper.effective_momentum,
            **words,
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> TrainingSettings:
        """Return the settings that `to_dict` described; raises KeyError, TypeError or ValueError on anything else."""
        hyper = Hyperparameters(
            float(data["momentum"]),
            float(data["weight_decay"]),
            per_channel_weights=bool(data["per_channel_weights"]),
            statistics=str(data.get("statistics", "batch")),
            soft_targets=bool(data.get("soft_targets", False)),
            elastic=bool(data.get("elastic", False)),
            loss=str(data.get("loss", "cross_entropy")),
        )
        return TrainingSettings(int(data["batch"]), hyper, frozenset(map(str, data["frozen"])))


@dataclass(frozen=True)
class DatasetMark:
    """How a data set is recognized: sha256 of its shape, pixels and labels. The name is only for people.

    Where the images stay in files (`ImageStream`), what these are takes the place of the pixels.
    """

    name: str
    samples: int
    digest: str

    def check(self, dataset: Dataset) -> None:
        """Raise `CheckpointMismatch` unless `dataset` is the one marked."""
        other = mark(dataset)
        if (self.samples, self.digest) != (other.samples, other.digest):
            raise CheckpointMismatch(
                f"this fit was started on {self}, but was given {other}: pass the same samples in the same order to go "
                "on with it, or start a new fit (in the shell: without --resume)"
            )

    def __str__(self) -> str:
        return f"{self.name} ({self.samples} samples, sha256 {self.digest[:12]})"


_MARKS: WeakKeyDictionary[Dataset, DatasetMark] = WeakKeyDictionary()


def mark(dataset: Dataset) -> DatasetMark:
    """Return the mark of `dataset`; each is digested once, since its arrays cannot change."""
    if dataset not in _MARKS:
        sha = hashlib.sha256(repr(dataset.images.shape).encode())
        if isinstance(dataset.images, ImageStream):
            sha.update(dataset.images.digest.encode())
        else:
            sha.update(dataset.images.data)
        sha.update(dataset.labels.astype("<i4", copy=False).data)
        _MARKS[dataset] = DatasetMark(dataset.name, len(dataset), sha.hexdigest())
    return _MARKS[dataset]


@dataclass(frozen=True)
class FitCursor:
    """A fit of which `done` of `steps` mini-batches are trained.

    `requested` are the caller's words, `reasons` say why each "auto" became what it is. The order of an epoch and the
    learning rate of a step depend on nothing else, so a fit can go on anywhere.
    """

    settings: TrainingSettings
    learning_rate: float
    schedule: Schedule
    seed: int
    steps: int
    steps_per_epoch: int
    dataset: DatasetMark
    checkpoint_every: int | None = None
    requested: Mapping[str, Any] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    done: int = 0
    augment: str | None = None  # one of host/data/augmentation.py

    def __post_init__(self) -> None:
        check_augmentation(self.augment)
        if not (0 <= self.done <= self.steps and 1 <= self.steps and 1 <= self.steps_per_epoch and self.seed >= 0):
            raise InputError(
                f"{self.done} of {self.steps} steps, {self.steps_per_epoch} an epoch, seed {self.seed}: no such fit"
            )

    @property
    def epochs(self) -> int:
        """Epochs that the fit takes part in; the last may be broken off by `steps`."""
        return -(-self.steps // self.steps_per_epoch)

    @property
    def finished(self) -> bool:
        """Whether every step is trained."""
        return self.done == self.steps

    def rate(self, step: int) -> float:
        """Return the learning rate of step `step`, from 0."""
        return self.schedule(step, self.steps, self.learning_rate)

    def hyperparameters(self) -> dict[str, Any]:
        """Return, as plain data, what the fit does: nothing in it is "auto"."""
        return {
            **self.settings.described(),
            "learning_rate": self.learning_rate,
            "schedule": schedule_to_dict(self.schedule),
            "seed": self.seed,
            "epochs": self.epochs,
            "steps": self.steps,
            "steps_per_epoch": self.steps_per_epoch,
            **self._augment(),
        }

    def _augment(self) -> dict[str, str]:
        """Say how samples are augmented, if they are: manifests of other fits stay what they were."""
        return {} if self.augment is None else {"augment": self.augment}

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for a manifest."""
        return {
            "settings": self.settings.to_dict(),
            "learning_rate": self.learning_rate,
            "schedule": schedule_to_dict(self.schedule),
            "seed": self.seed,
            "steps": self.steps,
            "steps_per_epoch": self.steps_per_epoch,
            "dataset": asdict(self.dataset),
            "checkpoint_every": self.checkpoint_every,
            "requested": dict(self.requested),
            "reasons": dict(self.reasons),
            "done": self.done,
            "epoch": self.done // self.steps_per_epoch,  # these two follow from `done`; they are there for readers
            "step_in_epoch": self.done % self.steps_per_epoch,
            **self._augment(),
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> FitCursor:
        """Return the cursor that `to_dict` described; raises KeyError, TypeError or ValueError on anything else."""
        dataset, every = data["dataset"], data["checkpoint_every"]
        return FitCursor(
            settings=TrainingSettings.from_dict(data["settings"]),
            learning_rate=float(data["learning_rate"]),
            schedule=schedule_from_dict(data["schedule"]),
            seed=int(data["seed"]),
            steps=int(data["steps"]),
            steps_per_epoch=int(data["steps_per_epoch"]),
            dataset=DatasetMark(str(dataset["name"]), int(dataset["samples"]), str(dataset["digest"])),
            checkpoint_every=None if every is None else int(every),
            requested=dict(data["requested"]),
            reasons={str(name): str(reason) for name, reason in data["reasons"].items()},
            done=int(data["done"]),
            augment=None if data.get("augment") is None else str(data["augment"]),
        )
