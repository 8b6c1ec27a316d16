"""The history: its figures, and its way through a checkpoint."""

from __future__ import annotations

import json

from strop.host.history import History
from strop.runtime.arena_plan import MemoryReport
from tiny_models import HISTORY


def test_figures() -> None:
    """Protects the units: means in nats, shares from 0 to 1, images of training alone."""
    first, second = HISTORY.epochs
    assert (first.loss, first.accuracy, first.validation_loss, first.validation_accuracy) == (1.5, 0.75, 0.5, 0.4)
    assert (second.validation_loss, second.validation_accuracy) == (None, None)
    assert (HISTORY.steps[0].loss, HISTORY.steps[0].accuracy) == (2.0, 0.5)
    assert HISTORY.images_per_second == 3.0


def test_survives_facts_and_arrays() -> None:
    """Protects resumption: the history so far comes back to the last bit, also a sum beyond 32 bits."""
    assert History.from_parts(json.loads(json.dumps(HISTORY.facts())), HISTORY.arrays()) == HISTORY


def test_a_file_without_estimates_is_read() -> None:
    """Protects checkpoints of earlier versions, such as the one that strop brings along."""
    facts = HISTORY.facts()
    assert facts.pop("modelled_step_seconds") == {"a board": 0.25}
    assert History.from_parts(facts, HISTORY.arrays()).modelled == {}


def test_an_empty_one_survives_too() -> None:
    """Protects a fit that was interrupted before its first step."""
    empty = History((), (), {}, {}, {}, 0.0, 0.0, MemoryReport(0, 0, 0, 0))
    assert History.from_parts(empty.facts(), empty.arrays()) == empty
    assert empty.images_per_second == 0.0


def test_to_dict_is_json() -> None:
    """Protects services and scripts: everything that people ask for is in plain data."""
    data = json.loads(json.dumps(HISTORY.to_dict()))
    assert data["steps"][2] == {
        "step": 3,
        "epoch": 2,
        "learning_rate": 0.01,
        "accuracy": 0.0,
        "loss": (2**40 + 1) / 2**17,
    }
    assert data["epochs"][0]["validation_accuracy"] == 0.4
    assert data["memory"]["state"] == 1 and data["requested"]["batch"] == "auto" and data["device"] == "a device"
