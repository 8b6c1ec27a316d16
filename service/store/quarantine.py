"""What was put aside: bad samples of uploads and of POST /samples, with the reasons. Their pixels are not kept."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Quarantined:
    """One bad sample. `source` says where it came from: a place in an upload, or the model it was posted for."""

    seq: int
    dataset_id: str | None
    sample_id: str | None
    source: str
    reason: str
    at: float


def add_of_dataset(db: sqlite3.Connection, dataset_id: str, listed: Iterable[tuple[str, str]]) -> None:
    """Record the bad samples (source, reason) of an upload."""
    now = time.time()
    db.executemany(
        "INSERT INTO quarantine (dataset_id, source, reason, at) VALUES (?, ?, ?, ?)",
        ((dataset_id, source, reason, now) for source, reason in listed),
    )


def add_sample(db: sqlite3.Connection, sample_id: str, source: str, reason: str) -> None:
    """Record a bad sample that was posted alone."""
    db.execute(
        "INSERT INTO quarantine (sample_id, source, reason, at) VALUES (?, ?, ?, ?)",
        (sample_id, source, reason, time.time()),
    )


def page(db: sqlite3.Connection, after: int | None, limit: int, dataset_id: str | None = None) -> list[Quarantined]:
    """Return entries older than `after`, of one data set or of all there is, newest first."""
    rows = db.execute(
        "SELECT * FROM quarantine WHERE (?1 IS NULL OR seq < ?1) AND (?2 IS NULL OR dataset_id = ?2)"
        " ORDER BY seq DESC LIMIT ?3",
        (after, dataset_id, limit),
    )
    return [Quarantined(*row) for row in rows]


def of_sample(db: sqlite3.Connection, sample_id: str) -> Quarantined | None:
    """Return the entry of a sample that was posted alone, or None."""
    row = db.execute("SELECT * FROM quarantine WHERE sample_id = ?", (sample_id,)).fetchone()
    return None if row is None else Quarantined(*row)


def remove_of_dataset(db: sqlite3.Connection, dataset_id: str) -> None:
    """Forget the bad samples of an upload."""
    db.execute("DELETE FROM quarantine WHERE dataset_id = ?", (dataset_id,))
