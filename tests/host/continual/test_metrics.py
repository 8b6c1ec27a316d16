"""The figures of an accuracy matrix: by hand, against their definitions in loops, and at their edges."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strop.host.continual.metrics import METRICS, AccuracyMatrix, Summary, mean_matrix, summarize
from strop.runtime.errors import InputError

ROWS = [
    [0.1, 0.2, 0.3],  # before training
    [0.9, 0.3, 0.2],
    [0.95, 0.8, 0.5],
    [0.5, 0.6, 0.7],
]


@st.composite
def matrices(draw: st.DrawFn) -> AccuracyMatrix:
    """Any accuracy matrix of 1 to 5 experiences."""
    count = draw(st.integers(1, 5))
    share = st.floats(0.0, 1.0)
    row = st.lists(share, min_size=count, max_size=count)
    return AccuracyMatrix(draw(st.lists(row, min_size=count + 1, max_size=count + 1)))


def test_by_hand() -> None:
    """Protects every definition: three experiences, the sums written out."""
    matrix = AccuracyMatrix(ROWS)
    assert matrix.experiences == 3
    assert matrix.average_accuracy == pytest.approx((0.5 + 0.6 + 0.7) / 3)
    assert matrix.forgetting == pytest.approx(((0.95 - 0.5) + (0.8 - 0.6)) / 2)  # the best of 1 came after 2
    assert matrix.backward_transfer == pytest.approx(((0.5 - 0.9) + (0.6 - 0.8)) / 2)
    assert matrix.forward_transfer == pytest.approx(((0.3 - 0.2) + (0.5 - 0.3)) / 2)
    assert matrix.anytime_accuracy == pytest.approx((0.9 + (0.95 + 0.8) / 2 + (0.5 + 0.6 + 0.7) / 3) / 3)


def test_what_was_known_before_its_experience_is_not_forgotten() -> None:
    """Protects the maximum's range: from the experience itself on, and neither before it nor the last row."""
    matrix = AccuracyMatrix([[1.0, 1.0, 1.0], [0.4, 1.0, 0.0], [0.3, 0.5, 0.0], [0.9, 0.2, 0.0]])
    assert matrix.forgetting == pytest.approx(((0.4 - 0.9) + (0.5 - 0.2)) / 2)


def test_one_experience_has_nothing_to_forget() -> None:
    """Protects T = 1 from NaN."""
    assert AccuracyMatrix([[0.1], [0.75]]).metrics() == {
        "average_accuracy": 0.75,
        "forgetting": 0.0,
        "backward_transfer": 0.0,
        "forward_transfer": 0.0,
        "anytime_accuracy": 0.75,
    }


@given(matrices())
def test_relations_between_the_figures(matrix: AccuracyMatrix) -> None:
    """Protects signs and ranges: all finite, and forgetting is at least what backward transfer says was lost."""
    found = matrix.metrics()
    assert tuple(found) == METRICS and all(-1.0 <= value <= 1.0 for value in found.values())
    assert found["average_accuracy"] >= 0 and found["anytime_accuracy"] >= 0
    assert found["forgetting"] >= -found["backward_transfer"] - 1e-12


@given(matrices())
def test_a_matrix_survives_json(matrix: AccuracyMatrix) -> None:
    """Protects records: the same bits after a file."""
    again = AccuracyMatrix.from_dict(json.loads(json.dumps(matrix.to_dict())))
    assert again == matrix and hash(again) == hash(matrix) and np.array_equal(again.R, matrix.R)


def test_a_matrix_is_its_own_and_read_only() -> None:
    """Protects figures from a caller who goes on filling his array."""
    values = np.array(ROWS)
    matrix = AccuracyMatrix(values)
    values[-1] = 0
    assert matrix == AccuracyMatrix(ROWS) and matrix != AccuracyMatrix(values) and matrix != "R"
    with pytest.raises(ValueError, match="read-only"):
        matrix.R[0, 0] = 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((3, 3)), r"\[T \+ 1, T\].* got the shape \[3, 3\]"),
        (np.zeros((1, 0)), r"got the shape \[1, 0\]"),
        (np.zeros(3), r"got the shape \[3\]"),
        ([[0.0], [90.0]], r"R\[1, 0\] is 90.0; an accuracy is a share, 0 to 1"),
        ([[0.0, 0.0], [0.0, math.nan], [0.0, 0.0]], r"R\[1, 1\] is nan"),
        ([[-0.1], [0.0]], r"R\[0, 0\] is -0.1"),
        ([[0.0], [0.0, 1.0]], "holds numbers"),
        (["a", "b"], "holds numbers"),
    ],
)
def test_other_values_are_refused(values: Any, message: str) -> None:
    """Protects against percents, gaps and matrices that lack a row."""
    with pytest.raises(InputError, match=message):
        AccuracyMatrix(values)


@pytest.mark.parametrize("content", [{}, [], {"r": []}, None])
def test_other_json_is_refused(content: Any) -> None:
    """Protects readers of files."""
    with pytest.raises(InputError, match="an accuracy matrix in JSON"):
        AccuracyMatrix.from_dict(content)


def test_summary_over_seeds() -> None:
    """Protects "mean +- std": the sample's deviation, n - 1; one run has none, rather than one of 0."""
    assert summarize([0.2, 0.4, 0.6]) == Summary(pytest.approx(0.4), pytest.approx(0.2), 3)
    assert summarize([0.5]) == Summary(0.5, None, 1)
    for values in ([], [math.nan], [1.0, math.inf]):
        with pytest.raises(InputError, match="cannot summarize"):
            summarize(values)


def test_mean_matrix() -> None:
    """Protects the picture over several seeds: elementwise, of one shape."""
    assert mean_matrix([AccuracyMatrix([[0.0], [0.5]]), AccuracyMatrix([[0.5], [1.0]])]).R.tolist() == [[0.25], [0.75]]
    ones = AccuracyMatrix(np.ones((3, 2)))
    assert mean_matrix([ones] * 3) == ones
    for wrong in ([], [ones, AccuracyMatrix([[0.0], [0.5]])]):
        with pytest.raises(InputError, match="a mean needs accuracy matrices of one shape"):
            mean_matrix(wrong)
