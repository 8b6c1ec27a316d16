"""From what `fit` was asked for to what it does: every argument checked, every "auto" resolved, with its reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from strop.host.checked import layer_names, real, whole
from strop.host.cursor import DEFAULT_BATCH, FitCursor, TrainingSettings, mark
from strop.host.data.dataset import Dataset
from strop.host.schedules import Schedule, schedule_named, schedule_to_dict
from strop.runtime.contract import C
from strop.runtime.errors import InputError
from strop.runtime.hyperparameters import Hyperparameters, mantissa_and_shift

Auto = Literal["auto"]
LEAST_AUTO_BATCH = 16
AUTO_STEPS_PER_EPOCH = 16
AUTO_LEARNING_RATE = 0.1  # at mini-batches of DEFAULT_BATCH


@dataclass(frozen=True)
class FitRequest:
    """The arguments of `Model.fit` that decide what is computed; see there."""

    epochs: int | None
    steps: int | None
    batch: int | Auto
    learning_rate: float | Auto
    schedule: str | Schedule
    momentum: float
    weight_decay: float
    frozen: Iterable[str]
    seed: int
    checkpoint_every: int | None
    augment: str | None = None


def plan_fit(
    request: FitRequest, dataset: Dataset, hyper: Hyperparameters, largest_auto_batch: int = DEFAULT_BATCH
) -> FitCursor:
    """Return the fit that `request` describes, at its beginning. Raises `InputError`.

    hyper: the model's, for what a request cannot change. largest_auto_batch: what the device has memory for.
    """
    reasons: dict[str, str] = {}
    batch = _batch(request.batch, len(dataset), largest_auto_batch, reasons)
    steps_per_epoch = max(1, len(dataset) // batch)
    schedule = schedule_named(request.schedule)
    every = request.checkpoint_every
    cursor = FitCursor(
        settings=TrainingSettings(
            batch,
            replace(
                hyper,
                momentum=real("momentum", request.momentum),
                weight_decay=real("weight_decay", request.weight_decay),
            ),
            layer_names(request.frozen),
        ),
        learning_rate=_learning_rate(request.learning_rate, batch, reasons),
        schedule=schedule,
        seed=whole("seed", request.seed, 0),
        steps=_steps(request, steps_per_epoch),
        steps_per_epoch=steps_per_epoch,
        dataset=mark(dataset),
        checkpoint_every=None if every is None else whole("checkpoint_every", every, 1),
        requested=_words(request, schedule),
        reasons=reasons,
        augment=request.augment,
    )
    for step in {0, min(schedule.warmup, cursor.steps - 1), cursor.steps - 1}:  # a rate is largest or least there
        mantissa_and_shift(cursor.rate(step), f"learning rate of step {step + 1}")
    return cursor


def _batch(asked: int | Auto, samples: int, largest_auto: int, reasons: dict[str, str]) -> int:
    if samples < 2:
        raise InputError(f"a data set of {samples} sample; batch normalization needs at least 2")
    if asked != "auto":
        batch = whole("batch", asked, 2)
        if batch > C.MAX_BATCH:
            raise InputError(f"batch is {batch}; allowed: 2 to {C.MAX_BATCH}")
        if batch > samples:
            reasons["batch"] = f"the data set has only {samples} samples"
        return min(batch, samples)
    batch, why = DEFAULT_BATCH, "the usual size"
    while batch > LEAST_AUTO_BATCH and samples // batch < AUTO_STEPS_PER_EPOCH:
        batch //= 2
        why = f"the usual {DEFAULT_BATCH}, halved while an epoch has under {AUTO_STEPS_PER_EPOCH} steps"
    if batch > largest_auto:
        batch, why = largest_auto, "the largest whose training fits the device's memory"
    if batch > samples:
        batch, why = samples, "all samples of the data set"
    reasons["batch"] = why
    return batch


def _learning_rate(asked: float | Auto, batch: int, reasons: dict[str, str]) -> float:
    if asked != "auto":
        if isinstance(asked, str):
            raise InputError(f'learning_rate is {asked!r}; it is a number or "auto"')
        rate = real("learning_rate", asked)
        mantissa_and_shift(rate, "learning_rate")
        return rate
    rate = AUTO_LEARNING_RATE * min(1.0, batch / DEFAULT_BATCH)
    reasons["learning_rate"] = f"{AUTO_LEARNING_RATE} at mini-batches of {DEFAULT_BATCH}, in proportion below"
    return rate


def _steps(request: FitRequest, steps_per_epoch: int) -> int:
    if request.steps is not None:
        if request.epochs is not None:
            raise InputError(f"epochs={request.epochs} and steps={request.steps} were both given; pass one of them")
        return whole("steps", request.steps, 1)
    return steps_per_epoch * whole("epochs", 1 if request.epochs is None else request.epochs, 1)


def _words(request: FitRequest, schedule: Schedule) -> dict[str, Any]:
    """What the caller asked for, as plain data."""
    asked = request.schedule if isinstance(request.schedule, str) else schedule_to_dict(schedule)
    return {
        "epochs": request.epochs if request.epochs is None else int(request.epochs),
        "steps": request.steps if request.steps is None else int(request.steps),
        "batch": request.batch if isinstance(request.batch, str) else int(request.batch),
        "learning_rate": request.learning_rate
        if isinstance(request.learning_rate, str)
        else float(request.learning_rate),
        "schedule": asked,
    }
