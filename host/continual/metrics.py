"""How well a model learned a stream of experiences, and how much it forgot: figures of one accuracy matrix.

Below, R[i, j] is the accuracy on the test set of experience j (j = 1 to T) after training on experience i; row 0 is
before any training. Python's column 0 holds experience 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from strop.runtime.errors import InputError

METRICS = ("average_accuracy", "forgetting", "backward_transfer", "forward_transfer", "anytime_accuracy")


@dataclass(frozen=True, eq=False)
class AccuracyMatrix:
    """R, float64 [T + 1, T], read-only: row i after training on i experiences, column j the test set of experience j.

    Each value is a share of correct answers, 0 to 1. Raises InputError for another shape and other values.
    """

    R: NDArray[np.float64]

    def __post_init__(self) -> None:
        object.__setattr__(self, "R", _checked(self.R))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AccuracyMatrix) and np.array_equal(self.R, other.R)

    def __hash__(self) -> int:
        return hash((self.R.shape, self.R.tobytes()))

    @property
    def experiences(self) -> int:
        """T: how many experiences there are."""
        return int(self.R.shape[1])

    @property
    def average_accuracy(self) -> float:
        """ACC, the mean of R[T, j] over all j, 0 to 1 (Lopez-Paz and Ranzato 2017)."""
        return fmean(self.R[-1].tolist())

    @property
    def forgetting(self) -> float:
        """F, the mean over j < T of the best R[i, j], j <= i < T, minus R[T, j]; -1 to 1, 0.0 for T = 1.

        Chaudhry et al. 2018 ("Riemannian walk for incremental learning"), with the best taken from the experience
        itself on. Below 0: later experiences have helped the earlier ones.
        """
        lost = [float(self.R[j + 1 : -1, j].max() - self.R[-1, j]) for j in range(self.experiences - 1)]
        return fmean(lost) if lost else 0.0

    @property
    def backward_transfer(self) -> float:
        """BWT, the mean over j < T of R[T, j] - R[j, j]; -1 to 1, 0.0 for T = 1.

        Lopez-Paz and Ranzato 2017 ("Gradient episodic memory for continual learning"). Below 0: forgetting.
        """
        gained = [float(self.R[-1, j] - self.R[j + 1, j]) for j in range(self.experiences - 1)]
        return fmean(gained) if gained else 0.0

    @property
    def forward_transfer(self) -> float:
        """FWT, the mean over j > 1 of R[j - 1, j] - b[j], where b is row 0; -1 to 1, 0.0 for T = 1.

        Lopez-Paz and Ranzato 2017. What is gained on an experience before it comes; about 0 where its
        classes are new.
        """
        gained = [float(self.R[j, j] - self.R[0, j]) for j in range(1, self.experiences)]
        return fmean(gained) if gained else 0.0

    @property
    def anytime_accuracy(self) -> float:
        """The mean over i >= 1 of the mean of R[i, 1 to i], 0 to 1: how good the model was all along.

        Known as average incremental accuracy (Rebuffi et al. 2017, "iCaRL").
        """
        return fmean(fmean(self.R[i, :i].tolist()) for i in range(1, self.experiences + 1))

    def metrics(self) -> dict[str, float]:
        """Return the five figures by name."""
        return {name: float(getattr(self, name)) for name in METRICS}

    def to_dict(self) -> dict[str, Any]:
        """Return the matrix as plain data that JSON can hold, to the last bit; the figures follow from it."""
        return {"R": self.R.tolist()}

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> AccuracyMatrix:
        """Return the matrix that `to_dict` described. Raises InputError for anything else."""
        if not isinstance(content, Mapping) or "R" not in content:
            raise InputError('an accuracy matrix in JSON is an object with "R", a list of T + 1 rows of T numbers')
        return AccuracyMatrix(content["R"])


@dataclass(frozen=True)
class Summary:
    """A figure over several seeds: mean, sample standard deviation (n - 1; None for a single value), and how many."""

    mean: float
    deviation: float | None
    count: int


def summarize(values: Iterable[float]) -> Summary:
    """Return the summary of one value or more; InputError for none and for values that are not finite."""
    found = [float(value) for value in values]
    if not found or not all(map(math.isfinite, found)):
        raise InputError(f"cannot summarize {found}: at least one number is needed, and all must be finite")
    return Summary(fmean(found), stdev(found) if len(found) > 1 else None, len(found))


def mean_matrix(matrices: Iterable[AccuracyMatrix]) -> AccuracyMatrix:
    """Return the elementwise mean of matrices of one shape, as of several seeds; InputError for none or others."""
    found = [matrix.R for matrix in matrices]
    shapes = {matrix.shape for matrix in found}
    if len(shapes) != 1:
        raise InputError(f"a mean needs accuracy matrices of one shape, got {sorted(shapes) or 'none'}")
    return AccuracyMatrix(np.clip(np.mean(found, axis=0), 0.0, 1.0))  # of equal values, the mean may round past them


def _checked(values: ArrayLike) -> NDArray[np.float64]:
    try:
        matrix = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"an accuracy matrix holds numbers [T + 1, T]: {error}") from error
    if matrix.ndim != 2 or matrix.shape[1] < 1 or matrix.shape[0] != matrix.shape[1] + 1:
        raise InputError(
            f"an accuracy matrix is [T + 1, T], a row before training and one after each of T experiences; "
            f"got the shape {list(matrix.shape)}"
        )
    bad = ~((matrix >= 0.0) & (matrix <= 1.0))  # NaN, too
    if bad.any():
        row, column = (int(index) for index in np.argwhere(bad)[0])
        raise InputError(f"R[{row}, {column}] is {matrix[row, column]}; an accuracy is a share, 0 to 1")
    matrix.flags.writeable = False
    return matrix
