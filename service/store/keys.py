"""Keys: of each its name, what it may do, and the digest that it is known by. The key itself is nowhere."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Key:
    """A row of the table; `sha256` is of the whole key as clients send it, `revoked` is None while it is good."""

    id: str
    name: str
    sha256: str
    scopes: tuple[str, ...]
    created: float
    revoked: float | None


def create(db: sqlite3.Connection, id: str, name: str, sha256: str, scopes: Sequence[str]) -> Key:
    """Record a key."""
    key = Key(id, name, sha256, tuple(scopes), time.time(), None)
    values = (key.id, key.name, key.sha256, json.dumps(key.scopes), key.created, None)
    db.execute("INSERT INTO keys (id, name, sha256, scopes, created, revoked) VALUES (?, ?, ?, ?, ?, ?)", values)
    return key


def find(db: sqlite3.Connection, id: str) -> Key | None:
    """Return a key, revoked or not; None if there was never one of that id."""
    row = db.execute("SELECT * FROM keys WHERE id = ?", (id,)).fetchone()
    return None if row is None else _key(row)


def page(db: sqlite3.Connection, after: str | None, limit: int) -> list[Key]:
    """Return keys older than `after`, newest first."""
    rows = db.execute("SELECT * FROM keys WHERE ?1 IS NULL OR id < ?1 ORDER BY id DESC LIMIT ?2", (after, limit))
    return [_key(row) for row in rows]


def any_made(db: sqlite3.Connection) -> bool:
    """Whether there was ever a key. Revoked ones count: who closes a door does not want it open."""
    return db.execute("SELECT 1 FROM keys LIMIT 1").fetchone() is not None


def any_good(db: sqlite3.Connection) -> bool:
    """Whether there is a key that is not revoked."""
    return db.execute("SELECT 1 FROM keys WHERE revoked IS NULL LIMIT 1").fetchone() is not None


def revoke(db: sqlite3.Connection, id: str) -> Key:
    """Let a key be good no more; return it. One that was revoked keeps its time. Raises KeyError."""
    db.execute("UPDATE keys SET revoked = ? WHERE id = ? AND revoked IS NULL", (time.time(), id))
    key = find(db, id)
    if key is None:
        raise KeyError(id)
    return key


def _key(row: sqlite3.Row) -> Key:
    scopes = tuple(json.loads(row["scopes"]))
    return Key(row["id"], row["name"], row["sha256"], scopes, row["created"], row["revoked"])
