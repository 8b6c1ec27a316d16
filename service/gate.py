"""The acceptance gate: whether a new version may take an alias."""

from __future__ import annotations

from typing import Any

ROUNDING = 1e-9  # 0.90 - 0.89 is a little more than 0.01 in floats; one image of a million is 1e-6


def judge(
    gate: dict[str, Any] | None, before: dict[str, float | None], after: dict[str, float | None]
) -> dict[str, Any]:
    """Return the verdict on accuracies (0 to 1) before and after, on "validation" and "reference" data.

    It has "passed", "reasons" against it, the alias to "promote", and beside each other what was asked and what was
    found: "accuracy" {"least", "reached"}, "forgetting" {"most", "lost"}, None where not known or not asked.
    A limit on data that was not measured is not met. Without a gate a version passes, and no alias moves.
    """
    gate = gate or {}
    reasons = []
    least, most = gate.get("min_accuracy"), gate.get("max_forgetting")
    reached, was, now = after["validation"], before["reference"], after["reference"]
    lost = None if was is None or now is None else was - now
    if least is not None and (reached is None or reached < least - ROUNDING):
        reasons.append(f"accuracy on the validation data is {_percent(reached)}, at least {_percent(least)} was asked")
    if most is not None and (lost is None or lost > most + ROUNDING):
        reasons.append(f"it lost {_percent(lost)} on the reference data, at most {_percent(most)} was allowed")
    return {
        "passed": not reasons,
        "reasons": reasons,
        "promote": gate.get("promote"),
        "accuracy": {"least": least, "reached": reached},
        "forgetting": {"most": most, "lost": lost},
    }


def _percent(share: float | None) -> str:
    return "not known" if share is None else f"{share:.3%}"
