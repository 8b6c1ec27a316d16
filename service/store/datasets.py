"""Data sets: what was uploaded, under the digest of the body that it came in."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass

from strop.service.store import quarantine


@dataclass(frozen=True)
class StoredDataset:
    """A row of the table. `path` of the .npz is relative to the data folder, `bytes` its size; `shape` is [C, H, W]."""

    id: str
    name: str
    sha256: str
    created: float
    format: str
    samples: int
    quarantined: int
    shape: list[int]
    classes: list[str]
    bytes: int
    path: str


def add(
    db: sqlite3.Connection,
    *,
    id: str,
    name: str,
    sha256: str,
    format: str,
    samples: int,
    quarantined: int,
    shape: list[int],
    classes: list[str],
    bytes: int,
    path: str,
) -> StoredDataset:
    """Record a data set whose file is there."""
    values = (id, name, sha256, time.time(), format, samples, quarantined, json.dumps(shape), json.dumps(classes))
    db.execute("INSERT INTO datasets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*values, bytes, path))
    return get(db, id)


def get(db: sqlite3.Connection, id: str) -> StoredDataset:
    """Return a data set. Raises KeyError."""
    row = db.execute("SELECT * FROM datasets WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise KeyError(id)
    return _dataset(row)


def exists(db: sqlite3.Connection, id: str) -> bool:
    """Whether there is a data set of that id."""
    return db.execute("SELECT 1 FROM datasets WHERE id = ?", (id,)).fetchone() is not None


def of_body(db: sqlite3.Connection, sha256: str) -> StoredDataset | None:
    """Return the data set that came in a body of that digest, or None."""
    row = db.execute("SELECT * FROM datasets WHERE sha256 = ?", (sha256,)).fetchone()
    return None if row is None else _dataset(row)


def page(db: sqlite3.Connection, after: str | None, limit: int) -> list[StoredDataset]:
    """Return data sets that came before `after`, which may have been deleted since, newest first."""
    rows = db.execute(
        "SELECT * FROM datasets WHERE ?1 IS NULL OR rowid < coalesce((SELECT rowid FROM datasets WHERE id = ?1),"
        " (SELECT max(rowid) + 1 FROM datasets WHERE id < ?1)) ORDER BY rowid DESC LIMIT ?2",
        (after, limit),
    )
    return [_dataset(row) for row in rows]


def remove(db: sqlite3.Connection, id: str) -> None:
    """Forget a data set and its quarantine; the file is removed after the transaction."""
    quarantine.remove_of_dataset(db, id)
    db.execute("DELETE FROM datasets WHERE id = ?", (id,))


def paths(db: sqlite3.Connection) -> set[str]:
    """Return the paths of all data sets."""
    return {row["path"] for row in db.execute("SELECT path FROM datasets")}


def unfinished_users(db: sqlite3.Connection, id: str) -> list[str]:
    """Return the ids of queued and running jobs that read a data set: to train, to judge, or to verify."""
    rows = db.execute("SELECT id, spec FROM jobs WHERE state IN ('queued', 'running') ORDER BY id")
    return [row["id"] for row in rows if id in _sources(db, json.loads(row["spec"]))]


def _sources(db: sqlite3.Connection, spec: dict[str, object]) -> set[object]:
    request = spec.get("request")
    if "version_id" in spec:  # a verification repeats the request of its version
        row = db.execute("SELECT manifest FROM versions WHERE id = ?", (spec["version_id"],)).fetchone()
        request = None if row is None else json.loads(row["manifest"]).get("request")
    if not isinstance(request, dict):
        return set()
    gate = request.get("gate") or {}
    return {request.get("data"), request.get("validation"), gate.get("reference")}


def _dataset(row: sqlite3.Row) -> StoredDataset:
    plain = dict(zip(row.keys(), tuple(row), strict=True))
    return StoredDataset(**{**plain, "shape": json.loads(plain["shape"]), "classes": json.loads(plain["classes"])})
