"""The acceptance gate: whether a new version may take an alias."""

from __future__ import annotations

from typing import Any


def judge(
    gate: dict[str, Any] | None, before: dict[str, float | None], after: dict[str, float | None]
) -> dict[str, Any]:
    """Return {"passed", "reasons", "promote"} for the accuracies (0 to 1) on "validation" and "reference" data.

    A limit on data that was not measured is not met. Without a gate a version passes, and no alias moves.
    """
    gate = gate or {}
    reasons = []
    least, most = gate.get("min_accuracy"), gate.get("max_forgetting")
    reached = after["validation"]
    if least is not None and (reached is None or reached < least):
        reasons.append(f"accuracy on the validation data is {_percent(reached)}, at least {_percent(least)} was asked")
    if most is not None:
        was, now = before["reference"], after["reference"]
        lost = None if was is None or now is None else was - now
        if lost is None or lost > most:
            reasons.append(f"it lost {_percent(lost)} on the reference data, at most {_percent(most)} was allowed")
    return {"passed": not reasons, "reasons": reasons, "promote": gate.get("promote")}


def _percent(share: float | None) -> str:
    return "not known" if share is None else f"{share:.1%}"
