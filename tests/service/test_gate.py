"""The acceptance gate: its verdicts, and that they say the numbers."""

from __future__ import annotations

from typing import Any

import pytest

from strop.service.gate import judge


def accuracies(validation: float | None, reference: float | None = None) -> dict[str, float | None]:
    """Return accuracies as the worker measures them."""
    return {"validation": validation, "reference": reference}


def test_without_a_gate_a_version_passes_and_nothing_moves() -> None:
    """Protects the simplest job: it makes a version, and production stays as it is."""
    verdict = judge(None, accuracies(None), accuracies(0.2))
    assert (verdict["passed"], verdict["reasons"], verdict["promote"]) == (True, [], None)


@pytest.mark.parametrize(
    ("least", "reached", "passed"), [(0.9, 0.9, True), (0.9, 0.8999, False), (0.9, None, False), (0.0, 0.0, True)]
)
def test_least_accuracy(least: float, reached: float | None, passed: bool) -> None:
    """Protects the limit on accuracy: met when reached exactly, and not by data that nobody measured."""
    verdict = judge({"min_accuracy": least, "promote": "production"}, accuracies(0.1), accuracies(reached))
    assert (verdict["passed"], verdict["promote"]) == (passed, "production")
    assert verdict["accuracy"] == {"least": least, "reached": reached}
    if not passed:
        (reason,) = verdict["reasons"]
        assert "90.000%" in reason
        assert "not known" in reason if reached is None else "89.990%" in reason


@pytest.mark.parametrize(
    ("most", "before", "after", "passed"),
    [
        (0.01, 0.90, 0.89, True),  # in floats the difference is more than 0.01
        (0.01, 0.90, 0.8899, False),
        (0.0, 0.9, 0.9, True),
        (0.0, 0.9, 0.95, True),
        (0.5, None, 0.9, False),
        (0.5, 0.9, None, False),
    ],
)
def test_most_forgetting(most: float, before: float | None, after: float | None, passed: bool) -> None:
    """Protects what a model knew: the loss on reference data counts, exactly, and unknown is too much."""
    gate: dict[str, Any] = {"max_forgetting": most, "reference": "old"}
    verdict = judge(gate, accuracies(None, before), accuracies(None, after))
    assert verdict["passed"] == passed
    assert verdict["forgetting"]["most"] == most
    lost = None if before is None or after is None else pytest.approx(before - after)
    assert verdict["forgetting"]["lost"] == lost


def test_every_reason_is_told() -> None:
    """Protects who has to decide: both limits are named, not the first alone."""
    gate = {"min_accuracy": 0.9, "max_forgetting": 0.05}
    verdict = judge(gate, accuracies(0.1, 0.8), accuracies(0.5, 0.6))
    assert [reason.split(" on ")[0] for reason in verdict["reasons"]] == ["accuracy", "it lost 20.000%"]
