"""Streaming linear discriminant analysis on the features of a frozen network (Hayes and Kanan, CVPR-W 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from strop.host.checked import real
from strop.host.continual.strategies.feature_head import FeatureHead
from strop.host.continual.strategies.strategy import Arrays, option_error
from strop.runtime.cut import cut

if TYPE_CHECKING:
    from strop.host.continual.learner import Learner


class StreamingLda(FeatureHead):
    """Class means and one covariance within classes, both from sums that are exact whole numbers.

    A class's score of features f is w.f + b with w = S^-1 m, b = -w.m / 2, m its mean and S the covariance within
    classes, (1 - shrinkage) C + shrinkage I. The solution is in float64 on the host; what is learned are integers. The
    second moment of d features takes 8 d^2 bytes.
    """

    name: ClassVar[str] = "slda"

    def __init__(self, after: str | None = None, whole_experiences: int = 1, shrinkage: float = 1e-4) -> None:
        super().__init__(after, whole_experiences)
        self.shrinkage = real("shrinkage", shrinkage)
        if not 0.0 < self.shrinkage <= 1.0:
            raise option_error(self.name, "shrinkage", shrinkage, "above 0, up to 1")
        self._moment = np.zeros((0, 0), np.int64)  # [features, features]: sum of f f^T
        self._scale = 1.0  # real value of an int8 feature of 1
        self._solved: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().options, "shrinkage": self.shrinkage}

    def join(self, learner: Learner) -> None:
        """Take memory for the second moment, too."""
        super().join(learner)
        features = self._sums.shape[1]
        self._scale = 2.0 ** -cut(learner.model.graph, self.layer).rear.input_exponent
        self._moment = np.zeros((features, features), np.int64)

    def _add(self, features: NDArray[np.float64], labels: NDArray[np.int32]) -> None:
        super()._add(features, labels)
        self._moment += (features.T @ features).astype(np.int64)
        self._solved = None

    def _score(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        if self._solved is None:
            self._solved = self._solve()
        weights, biases = self._solved
        scores: NDArray[np.float64] = features @ weights + biases
        return scores

    def _solve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weights [features, classes] and biases [classes], for features as int8 values."""
        scale = self._scale
        means = self._means() * scale
        between = (means * self._counts[:, None]).T @ means
        within = (self._moment * scale**2 - between) / self._counts.sum()
        shrunk = (1.0 - self.shrinkage) * within + self.shrinkage * np.eye(len(within))
        weights = np.linalg.solve(shrunk, means.T)
        return weights * scale, -0.5 * np.einsum("cd,dc->c", means, weights)

    def arrays(self) -> Arrays:
        """Return counts, sums and the second moment."""
        return {**super().arrays(), "moment": self._moment.copy()}

    def restore(self, facts: dict[str, Any], arrays: Arrays) -> None:
        """Become what `facts` and `arrays` described."""
        super().restore(facts, arrays)
        self._moment, self._solved = arrays["moment"].copy(), None
