"""What happened to jobs, in order: rows that are only added. Their numbers are the ids of the event streams."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Event:
    """One event; `seq` grows over all jobs, `at` is unix seconds."""

    seq: int
    job_id: str
    at: float
    type: str
    data: dict[str, Any]


def add(db: sqlite3.Connection, job_id: str, type: str, **data: Any) -> int:
    """Record an event; return its number."""
    cursor = db.execute(
        "INSERT INTO events (job_id, at, type, data) VALUES (?, ?, ?, ?)",
        (job_id, time.time(), type, json.dumps(data, allow_nan=False)),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def after(db: sqlite3.Connection, job_id: str, seq: int, limit: int) -> list[Event]:
    """Return the job's events with numbers beyond `seq`, oldest first."""
    rows = db.execute(
        "SELECT seq, job_id, at, type, data FROM events WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?",
        (job_id, seq, limit),
    )
    return [_event(row) for row in rows]


def last(db: sqlite3.Connection, job_id: str, type: str) -> Event:
    """Return the job's newest event of a type. Raises KeyError."""
    row = db.execute(
        "SELECT * FROM events WHERE job_id = ? AND type = ? ORDER BY seq DESC LIMIT 1", (job_id, type)
    ).fetchone()
    if row is None:
        raise KeyError(type)
    return _event(row)


def _event(row: sqlite3.Row) -> Event:
    return Event(row["seq"], row["job_id"], row["at"], row["type"], json.loads(row["data"]))
