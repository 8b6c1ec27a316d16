"""Protects the bench itself: rows and columns of the matrix, the joint run's budget, and that no run is done twice."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import float_run
from experiences import Experience, load_experiences
from protocols import SPLIT


class Memorizes:
    """Answers with the class last learned; notes what it was given."""

    def __init__(self) -> None:
        self.given: list[np.ndarray] = []

    def learn(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.given.append(labels)

    def predict(self, images: np.ndarray) -> np.ndarray:
        return np.full(len(images), self.given[-1][0] if self.given else 9)


@pytest.fixture(scope="module")
def parts():
    """The bundled subset in five pairs of classes, 64 images each to train on and to be tested on."""
    return [Experience(*(array[:64] for array in part)) for part in load_experiences(SPLIT, 0, "fashion-mnist-subset")]


def test_rows_are_moments_and_columns_experiences(parts) -> None:
    """Row 0 is before training; row i after experience i, when only the class last learned is named."""
    learner = Memorizes()
    matrix, _ = float_run.learn_stream(learner, parts, lambda text: None)
    shares = [[np.mean(part.test_labels == label) for part in parts] for label in [9, *(g[0] for g in learner.given)]]
    np.testing.assert_array_equal(matrix, shares)
    assert np.count_nonzero(matrix[1]) == 1 and matrix[1][0] > 0


def test_the_joint_run_sees_every_sample_once(parts) -> None:
    """All experiences in one call, as many samples as the stream has."""
    learner = Memorizes()
    matrix, _ = float_run.learn_jointly(learner, parts, lambda text: None)
    assert len(matrix) == 2 and [len(labels) for labels in learner.given] == [5 * 64]
    assert set(learner.given[0].tolist()) == set(range(10))


def test_runs_are_recorded_and_not_repeated(parts, tmp_path: Path, monkeypatch, capsys) -> None:
    """The script as it is called: every learner, a line each; a second call adds nothing and prints the same table."""
    out = tmp_path / "runs.jsonl"
    arguments = ["float_run.py", "--seeds", "1", "--buffers", "10", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(float_run, "load_experiences", lambda protocol, seed: parts[:2])
    monkeypatch.setattr(float_run.torch, "set_num_threads", lambda threads: None)
    monkeypatch.setattr("float_learners.GDUMB_EPOCHS", 1)
    float_run.main()
    first = capsys.readouterr().out
    runs = [json.loads(line) for line in out.read_text().splitlines()]
    assert [run["learner"] for run in runs] == [*float_run.LEARNERS, *float_run.BUFFERED_LEARNERS]
    assert all(np.shape(run["matrix"]) == ((2 if run["learner"] == "joint" else 3), 2) for run in runs)
    float_run.main()
    second = capsys.readouterr().out
    assert len(out.read_text().splitlines()) == len(runs)
    assert first.endswith(second) and second.count("\n") == len(runs) + 2
