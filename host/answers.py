"""What a model answers: figures on labelled samples, and predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Evaluation:
    """What a model answers on labelled samples: mean cross-entropy in nats, share of correct answers (0 to 1)."""

    loss: float
    accuracy: float
    samples: int

    @property
    def error(self) -> float:
        """Share of wrong answers, 0 to 1."""
        return 1.0 - self.accuracy


@dataclass(frozen=True, eq=False)
class Prediction:
    """labels int64 [n] (of equal logits the first), probabilities float64 [n, classes], logits float64 [n, classes]."""

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    logits: NDArray[np.float64]

    @staticmethod
    def of(logits: NDArray[np.float64]) -> Prediction:
        """Return the prediction of logits float64 [n, classes]. That of an image does not depend on its neighbours."""
        logits = np.ascontiguousarray(logits)  # numpy sums rows in an order that depends on how they lie
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return Prediction(logits.argmax(axis=1).astype(np.int64), powers / powers.sum(axis=1, keepdims=True), logits)
