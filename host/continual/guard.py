"""The forgetting guard: what lowers the accuracy on old samples by more than a limit is undone, and says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from strop.host.checked import data_set, real
from strop.host.cursor import mark
from strop.host.data.dataset import Dataset
from strop.runtime.errors import InputError


class Evaluated(Protocol):
    """Whoever can be asked for its accuracy on a data set."""

    def evaluate(self, dataset: Dataset) -> float:
        """Return the accuracy, 0 to 1."""


@dataclass(frozen=True)
class GuardVerdict:
    """Accuracy on the held-out samples before and after learning, 0 to 1, and whether that was undone."""

    before: float
    after: float
    limit: float

    @property
    def rolled_back(self) -> bool:
        """Whether the accuracy fell by more than the limit."""
        return self.before - self.after > self.limit

    def __str__(self) -> str:
        change = f"held-out samples: {self.before:.2%} correct before, {self.after:.2%} after"
        if self.rolled_back:
            return f"rolled back: {change}, more than {self.limit:.2%} lost"
        return f"kept: {change}"


@dataclass(frozen=True, eq=False)
class Guard:
    """Allow a loss of accuracy of at most `limit` (0 to 1; 0.02 is two points) on `held_out`, samples of the past.

    The samples should not be among those that are trained on or replayed. Raises `InputError`.
    """

    held_out: Dataset
    limit: float = 0.02

    def __post_init__(self) -> None:
        data_set(self.held_out, "held_out")
        if not 0.0 <= real("limit", self.limit) <= 1.0:
            raise InputError(f"limit is {self.limit}; allowed: 0 to 1, the share of correct answers that may be lost")

    def to_dict(self) -> dict[str, Any]:
        """Return, as plain data, what guards are alike by; what their samples are called is for people."""
        held_out = mark(self.held_out)
        return {"limit": self.limit, "held_out": {"samples": held_out.samples, "digest": held_out.digest}}

    def measure(self, learner: Evaluated) -> float:
        """Return the learner's accuracy on the held-out samples."""
        return learner.evaluate(self.held_out)
