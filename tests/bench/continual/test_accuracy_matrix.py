"""Protects the figures of the continual-learning benches: what average accuracy and forgetting mean."""

from __future__ import annotations

import numpy as np
import pytest

from accuracy_matrix import average_accuracy, forgetting
from strop.runtime.errors import InputError

MATRIX = [  # row 0 before training, row i after experience i
    [0.9, 0.1, 0.0],
    [0.8, 0.2, 0.1],
    [0.6, 0.7, 0.3],
    [0.5, 0.9, 0.6],
]


def test_a_matrix_made_by_hand() -> None:
    """Average accuracy is the last row's; the best of an experience is looked for from its own row on, not the last."""
    assert average_accuracy(MATRIX) == pytest.approx(2.0 / 3)
    # Experience 1: 0.8 - 0.5 (not 0.9, before training). Experience 2: 0.7 - 0.9, it rose. Experience 3 does not count.
    assert forgetting(MATRIX) == pytest.approx((0.3 - 0.2) / 2)


def test_one_experience_forgets_nothing() -> None:
    """With T = 1 there is no later row, and no division by 0."""
    assert forgetting([[0.1], [0.9]]) == 0.0


@pytest.mark.parametrize("matrix", [MATRIX[1:], [0.1, 0.2], np.zeros((0, 3))])
def test_another_shape_is_refused(matrix: object) -> None:
    """A matrix without its row 0 would give every experience the wrong best."""
    with pytest.raises(InputError, match="got"):
        forgetting(matrix)
