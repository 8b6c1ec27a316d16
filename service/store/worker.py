"""What the worker says of itself: one row, for /device and /readyz."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class WorkerState:
    """The row; `device` and `selftest` are None until they are known. `beat` is when it last wrote."""

    pid: int
    started: float
    state: str
    device: dict[str, Any] | None
    selftest: dict[str, Any] | None
    job_id: str | None
    beat: float


def forget(db: sqlite3.Connection) -> None:
    """There is no worker: what one wrote before is not true any more."""
    db.execute("DELETE FROM worker")


def begin(db: sqlite3.Connection, pid: int) -> None:
    """A worker has begun: nothing is known of its device."""
    now = time.time()
    db.execute(
        "INSERT OR REPLACE INTO worker (id, pid, started, state, device, selftest, job_id, beat)"
        " VALUES (1, ?, ?, 'starting', NULL, NULL, NULL, ?)",
        (pid, now, now),
    )


def tell(db: sqlite3.Connection, state: str, job_id: str | None = None) -> None:
    """The worker is in `state`: starting, idle, training, stopping, failed."""
    db.execute("UPDATE worker SET state = ?, job_id = ?, beat = ?", (state, job_id, time.time()))


def tell_device(db: sqlite3.Connection, device: dict[str, Any], selftest: dict[str, Any] | None) -> None:
    """What the device is, and what its self-test gave."""
    text = None if selftest is None else json.dumps(selftest)
    db.execute("UPDATE worker SET device = ?, selftest = ?, beat = ?", (json.dumps(device), text, time.time()))


def read(db: sqlite3.Connection) -> WorkerState | None:
    """Return what the last worker wrote, None before the first."""
    row = db.execute("SELECT * FROM worker").fetchone()
    if row is None:
        return None
    device, selftest = (None if row[name] is None else json.loads(row[name]) for name in ("device", "selftest"))
    return WorkerState(row["pid"], row["started"], row["state"], device, selftest, row["job_id"], row["beat"])
