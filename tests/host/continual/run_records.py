"""Records of runs, made up by hand: two experiences, figures that are easy to check."""

from __future__ import annotations

from typing import Any

from strop.host.continual.metrics import AccuracyMatrix
from strop.host.continual.report import RunRecord

ROWS = [[0.1, 0.0], [0.9, 0.25], [0.5, 0.75]]


def run_record(**changes: Any) -> RunRecord:
    """Return a record of a run, with `changes`."""
    parts: dict[str, Any] = {
        "benchmark": "a benchmark",
        "strategy": "naive",
        "seed": 0,
        "matrix": AccuracyMatrix(ROWS),
        "curve": ((0, 0.1), (50, 0.9), (100, 0.625)),
        "seconds": (1.5, 2.5),
        "modelled_seconds": {"pynq-z2": 40.0, "kv260": 5.0},
        "modelled_joules": {"pynq-z2": 80.0},
        "buffer_bytes": 0,
        "memory": {"arena": 1_000_000, "buffer": 500_000},
        "settings": {"batch": 32, "learning_rate": 0.05, "frozen": ["conv1"]},
        "digest": "0123abcd",
    }
    return RunRecord(**{**parts, **changes})
