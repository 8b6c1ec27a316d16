"""Nearest class mean on the features of a frozen network (Mensink et al., TPAMI 2013)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from strop.host.continual.strategies.feature_head import FeatureHead


class NearestMean(FeatureHead):
    """The class whose mean is nearest: its score of features f is m.f - m.m / 2. The smallest memory of all."""

    name: ClassVar[str] = "nearest-mean"

    def _score(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        means = self._means()
        scores: NDArray[np.float64] = features @ means.T - 0.5 * np.einsum("cd,cd->c", means, means)
        return scores
