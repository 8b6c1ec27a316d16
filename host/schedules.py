"""Learning rates over a run: small frozen values, the same on every machine, that a checkpoint can hold."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from strop.runtime.errors import InputError


def _cosine(angle: float) -> float:
    """Return cos(angle) for 0 <= angle <= pi by its series: the last bit of `math.cos` differs between C libraries."""
    if angle > math.pi / 2:
        return -_cosine(math.pi - angle)
    total = term = 1.0
    for k in range(1, 13):
        term *= -angle * angle / ((2 * k - 1) * (2 * k))
        total += term
    return total


def _warm(rate: float, step: int, warmup: int) -> float:
    return rate * ((step + 1) / (warmup + 1)) if step < warmup else rate


def _check_warmup(warmup: int) -> None:
    if warmup < 0:
        raise InputError(f"warmup is {warmup}; it is a number of steps, at least 0")


@dataclass(frozen=True)
class Constant:
    """The learning rate as given, after `warmup` steps in which it rises evenly to it."""

    warmup: int = 0
    kind: ClassVar[str] = "constant"

    def __post_init__(self) -> None:
        _check_warmup(self.warmup)

    def __call__(self, step: int, steps: int, learning_rate: float) -> float:
        """Return the learning rate of step `step` (from 0) of `steps`."""
        return _warm(learning_rate, step, self.warmup)


@dataclass(frozen=True)
class Step:
    """The learning rate, divided by `divide_by` at each of the fractions `at` of the run; `warmup` as in `Constant`."""

    at: tuple[float, ...] = (1 / 2, 5 / 6)
    divide_by: float = 10.0
    warmup: int = 0
    kind: ClassVar[str] = "step"

    def __post_init__(self) -> None:
        _check_warmup(self.warmup)
        if any(not 0.0 <= fraction <= 1.0 for fraction in self.at) or not self.divide_by >= 1.0:
            raise InputError(f"{self}: `at` are fractions of the run, 0 to 1, and `divide_by` is at least 1")

    def __call__(self, step: int, steps: int, learning_rate: float) -> float:
        """Return the learning rate of step `step` (from 0) of `steps`."""
        for fraction in self.at:
            if step / steps >= fraction:
                learning_rate /= self.divide_by
        return _warm(learning_rate, step, self.warmup)


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from the learning rate to `final` times it; `warmup` as in `Constant`."""

    final: float = 0.01
    warmup: int = 0
    kind: ClassVar[str] = "cosine"

    def __post_init__(self) -> None:
        _check_warmup(self.warmup)
        if not 0.0 <= self.final <= 1.0:
            raise InputError(f"{self}: `final` is a fraction of the learning rate, 0 to 1")

    def __call__(self, step: int, steps: int, learning_rate: float) -> float:
        """Return the learning rate of step `step` (from 0) of `steps`."""
        if step < self.warmup:
            return _warm(learning_rate, step, self.warmup)
        passed = (step - self.warmup) / max(1, steps - 1 - self.warmup)
        height = 0.5 * (1.0 + _cosine(math.pi * min(1.0, passed)))
        return learning_rate * (self.final + (1.0 - self.final) * height)


Schedule = Constant | Step | Cosine
_KINDS: dict[str, type[Any]] = {cls.kind: cls for cls in (Constant, Step, Cosine)}

SCHEDULES: dict[str, Schedule] = {
    "constant": Constant(),
    "step": Step(),  # a tenth from 1/2 of the run, a hundredth from 5/6
    "paper": Step(at=(1 / 3, 2 / 3)),  # as in Wu et al.: a tenth from 1/3, a hundredth from 2/3
    "cosine": Cosine(),
}


def schedule_named(schedule: str | Schedule) -> Schedule:
    """Return a schedule by its name, or as it is. Raises `InputError` for anything else."""
    if isinstance(schedule, str) and schedule in SCHEDULES:
        return SCHEDULES[schedule]
    if isinstance(schedule, (Constant, Step, Cosine)):
        return schedule
    raise InputError(
        f"schedule {schedule!r} is not known; allowed: {', '.join(SCHEDULES)}, or a Constant, Step or Cosine of "
        "strop.host.schedules"
    )


def schedule_to_dict(schedule: Schedule) -> dict[str, Any]:
    """Return plain data that `schedule_from_dict` takes."""
    return {"kind": schedule.kind, **asdict(schedule)}


def schedule_from_dict(data: dict[str, Any]) -> Schedule:
    """Return the schedule that `schedule_to_dict` described. Raises `InputError` on anything else."""
    kind = _KINDS.get(str(data.get("kind")))
    if kind is None or data.keys() - {"kind", *(field.name for field in fields(kind))}:
        raise InputError(f"{data!r} describes no schedule; allowed kinds: {', '.join(_KINDS)}")
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in data.items() if name != "kind"}
    schedule: Schedule = kind(**values)
    return schedule
