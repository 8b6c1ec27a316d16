"""What there is of everything, for the metrics."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class EndedJobs:
    """Jobs that ended in one state: how many, for how long they ran in all (seconds), and their training steps."""

    count: int
    seconds: float
    steps: int


def jobs_by_state(db: sqlite3.Connection) -> dict[str, int]:
    """Return how many jobs are in each state that occurs."""
    return dict(db.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall())


def samples_by_state(db: sqlite3.Connection) -> dict[str, int]:
    """Return how many samples are in each state that occurs."""
    return dict(db.execute("SELECT state, count(*) FROM samples GROUP BY state").fetchall())


def ended_jobs(db: sqlite3.Connection) -> dict[str, EndedJobs]:
    """Return the jobs that have ended after they began, by state."""
    rows = db.execute(
        "SELECT state, count(*), sum(finished - started), sum(coalesce(json_extract(progress, '$.step'), 0)) FROM jobs"
        " WHERE finished IS NOT NULL AND started IS NOT NULL GROUP BY state"
    )
    return {state: EndedJobs(count, seconds, steps) for state, count, seconds, steps in rows}


def running_progress(db: sqlite3.Connection) -> dict[str, Any]:
    """Return how far the running job is; empty if none runs, or has told yet."""
    row = db.execute("SELECT progress FROM jobs WHERE state = 'running' AND progress IS NOT NULL LIMIT 1").fetchone()
    found: dict[str, Any] = {} if row is None else json.loads(row["progress"])
    return found
