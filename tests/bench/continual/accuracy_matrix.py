"""What a run over a stream is judged by: accuracy on every experience, before the first and after each of them.

A matrix R has a row for each of these moments, row 0 before training, and a column for each experience's test set.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from strop.runtime.errors import InputError


def average_accuracy(matrix: ArrayLike) -> float:
    """Return the mean of the last row of R [moments, T]: the accuracy on all experiences after the last of them."""
    return float(_checked(matrix)[-1].mean())


def forgetting(matrix: ArrayLike) -> float:
    """Return by how much experiences fell, on average, from their best moment (Chaudhry et al., ECCV 2018, Eq. 3).

    R is [T + 1, T]. Experience j (from 1) has its best in rows j to T - 1, and its fall is that best minus row T;
    negative where it rose. The last experience has nothing to forget; with T = 1 the result is 0. Raises `InputError`
    for another shape.
    """
    r = _checked(matrix)
    count = r.shape[1]
    if len(r) != count + 1:
        raise InputError(f"forgetting needs a row before training and one after each experience; got {r.shape}")
    if count == 1:
        return 0.0
    return float(np.mean([r[j + 1 : count, j].max() - r[count, j] for j in range(count - 1)]))


def _checked(matrix: ArrayLike) -> np.ndarray:
    r = np.asarray(matrix, np.float64)
    if r.ndim != 2 or r.size == 0:
        raise InputError(f"an accuracy matrix is [moments, experiences], neither of them 0; got {r.shape}")
    return r
