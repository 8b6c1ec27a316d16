"""Evaluation and prediction."""

from __future__ import annotations

import numpy as np
import pytest

from strop.host.answers import Evaluation, Prediction


def test_error_is_the_rest() -> None:
    """Protects the figure that tables of the field report."""
    assert Evaluation(0.5, 0.75, 4).error == 0.25


def test_prediction_of_logits() -> None:
    """Protects what users read: the first of equal logits wins, probabilities sum to 1 and do not overflow."""
    prediction = Prediction.of(np.array([[1.0, 3.0, 3.0], [5000.0, 0.0, -5000.0]]))
    assert prediction.labels.dtype == np.int64 and prediction.labels.tolist() == [1, 0]
    assert prediction.probabilities.sum(axis=1) == pytest.approx([1.0, 1.0])
    assert prediction.probabilities[0] == pytest.approx([np.exp(-2) / (2 + np.exp(-2))] + [1 / (2 + np.exp(-2))] * 2)
    assert prediction.probabilities[1].tolist() == [1.0, 0.0, 0.0]


def test_prediction_of_nothing() -> None:
    """Protects callers that filter their images: none is allowed."""
    prediction = Prediction.of(np.zeros((0, 3)))
    assert (prediction.labels.shape, prediction.probabilities.shape) == ((0,), (0, 3))


def test_an_images_probabilities_do_not_depend_on_its_neighbours() -> None:
    """Protects comparison: alone, in a mini-batch, and however the logits lie, the same image has the same answer."""
    logits = np.asfortranarray(np.random.default_rng(1).normal(size=(64, 10)) * 5)
    together = Prediction.of(logits).probabilities
    alone = np.concatenate([Prediction.of(logits[n : n + 1]).probabilities for n in range(64)])
    assert np.array_equal(together, alone)
