"""Models: names, immutable versions with lineage, aliases, and the append-only history of what these pointed at."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass
from typing import Any

from strop.service.ids import new_id

BUFFER: dict[str, Any] = {"mode": "buffer"}
PROMOTE, ROLLBACK, IMPORT = "promote", "rollback", "import"  # what moves an alias


@dataclass(frozen=True)
class Model:
    """A name that versions share; `policy` says what POST /samples does."""

    id: str
    name: str
    created: float
    policy: dict[str, Any]


@dataclass(frozen=True)
class Version:
    """One set of weights that never changes. `sha256` is of the state, `file_sha256` of the file at `path`.

    `path` is relative to the data folder. parent_id and job_id say where it came from; both None for an import.
    """

    id: str
    model_id: str
    number: int
    created: float
    parent_id: str | None
    job_id: str | None
    sha256: str
    file_sha256: str
    path: str
    manifest: dict[str, Any]


@dataclass(frozen=True)
class Deployment:
    """One change of what an alias points at; `action` is promote, rollback or import."""

    seq: int
    model_id: str
    alias: str
    from_version: str | None
    to_version: str
    action: str
    reason: str | None
    key_id: str | None
    at: float


def create_model(db: sqlite3.Connection, name: str) -> Model:
    """Record a new name."""
    model = Model(new_id("model"), name, time.time(), BUFFER)
    db.execute("INSERT INTO models VALUES (?, ?, ?, ?)", (model.id, name, model.created, json.dumps(model.policy)))
    return model


def find_model(db: sqlite3.Connection, name: str) -> Model | None:
    """Return the model of that name, or None."""
    row = db.execute("SELECT * FROM models WHERE name = ?", (name,)).fetchone()
    return None if row is None else _model(row)


def model_of(db: sqlite3.Connection, id: str) -> Model:
    """Return a model by id. Raises KeyError."""
    row = db.execute("SELECT * FROM models WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise KeyError(id)
    return _model(row)


def all_models(db: sqlite3.Connection) -> list[Model]:
    """Return every model, oldest first."""
    return [_model(row) for row in db.execute("SELECT * FROM models ORDER BY id")]


def page(db: sqlite3.Connection, after: str | None, limit: int) -> list[Model]:
    """Return models older than `after`, newest first."""
    rows = db.execute("SELECT * FROM models WHERE ?1 IS NULL OR id < ?1 ORDER BY id DESC LIMIT ?2", (after, limit))
    return [_model(row) for row in rows]


def set_policy(db: sqlite3.Connection, model_id: str, policy: dict[str, Any]) -> None:
    """Change what POST /samples does."""
    db.execute("UPDATE models SET policy = ? WHERE id = ?", (json.dumps(policy), model_id))


def add_version(
    db: sqlite3.Connection,
    *,
    id: str,
    model_id: str,
    parent_id: str | None,
    job_id: str | None,
    sha256: str,
    file_sha256: str,
    path: str,
    manifest: dict[str, Any],
) -> Version:
    """Record a version under the model's next number."""
    (last,) = db.execute("SELECT coalesce(max(number), 0) FROM versions WHERE model_id = ?", (model_id,)).fetchone()
    values = (id, model_id, last + 1, time.time(), parent_id, job_id, sha256, file_sha256, path, json.dumps(manifest))
    db.execute("INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
    return version_of(db, id)


def version_of(db: sqlite3.Connection, id: str) -> Version:
    """Return a version by id. Raises KeyError."""
    row = db.execute("SELECT * FROM versions WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise KeyError(id)
    return _version(row)


def numbered(db: sqlite3.Connection, model_id: str, number: int) -> Version | None:
    """Return a model's version of that number, or None."""
    row = db.execute("SELECT * FROM versions WHERE model_id = ? AND number = ?", (model_id, number)).fetchone()
    return None if row is None else _version(row)


def versions(
    db: sqlite3.Connection, model_id: str, after: int | None = None, limit: int | None = None
) -> list[Version]:
    """Return a model's versions of smaller numbers than `after`, newest first."""
    rows = db.execute(
        "SELECT * FROM versions WHERE model_id = ?1 AND (?2 IS NULL OR number < ?2) ORDER BY number DESC LIMIT ?3",
        (model_id, after, -1 if limit is None else limit),
    )
    return [_version(row) for row in rows]


def count_versions(db: sqlite3.Connection, model_id: str) -> int:
    """Return how many versions a model has."""
    (count,) = db.execute("SELECT count(*) FROM versions WHERE model_id = ?", (model_id,)).fetchone()
    return int(count)


def with_file(db: sqlite3.Connection, model_id: str, file_sha256: str) -> Version | None:
    """Return the first of a model's versions whose file has these bytes, or None."""
    row = db.execute(
        "SELECT * FROM versions WHERE model_id = ? AND file_sha256 = ? ORDER BY number LIMIT 1", (model_id, file_sha256)
    ).fetchone()
    return None if row is None else _version(row)


def aliases(db: sqlite3.Connection, model_id: str) -> dict[str, str]:
    """Return version ids by alias."""
    rows = db.execute("SELECT alias, version_id FROM aliases WHERE model_id = ? ORDER BY alias", (model_id,))
    return {row["alias"]: row["version_id"] for row in rows}


def point(
    db: sqlite3.Connection,
    model_id: str,
    alias: str,
    version_id: str,
    action: str,
    *,
    reason: str | None = None,
    key_id: str | None = None,
) -> bool:
    """Let an alias point at a version, and add that to the history. Return False, and do neither, if it does already.

    Were a repeated promotion recorded, going back from it would lead nowhere.
    """
    before = aliases(db, model_id).get(alias)
    if before == version_id:
        return False
    now = time.time()
    db.execute(
        "INSERT INTO aliases VALUES (?, ?, ?, ?) ON CONFLICT (model_id, alias)"
        " DO UPDATE SET version_id = excluded.version_id, updated = excluded.updated",
        (model_id, alias, version_id, now),
    )
    db.execute(
        "INSERT INTO deployments (model_id, alias, from_version, to_version, action, reason, key_id, at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (model_id, alias, before, version_id, action, reason, key_id, now),
    )
    return True


def earlier_target(db: sqlite3.Connection, model_id: str, alias: str) -> str | None:
    """Return the version that a rollback of an alias leads to, None where nothing came before.

    The history is read as a stack: what a rollback left is gone, so that the next one leads further back and not
    forward again.
    """
    rows = db.execute(
        "SELECT to_version, action FROM deployments WHERE model_id = ? AND alias = ? ORDER BY seq", (model_id, alias)
    )
    stack: list[str] = []
    for row in rows:
        if row["action"] == ROLLBACK:
            stack.pop()
        else:
            stack.append(row["to_version"])
    return stack[-2] if len(stack) > 1 else None


def history(
    db: sqlite3.Connection, model_id: str, after: int | None = None, limit: int | None = None
) -> list[Deployment]:
    """Return changes of a model's aliases older than the one numbered `after`, newest first."""
    rows = db.execute(
        "SELECT * FROM deployments WHERE model_id = ?1 AND (?2 IS NULL OR seq < ?2) ORDER BY seq DESC LIMIT ?3",
        (model_id, after, -1 if limit is None else limit),
    )
    return [Deployment(**dict(zip(row.keys(), tuple(row), strict=True))) for row in rows]


def _model(row: sqlite3.Row) -> Model:
    return Model(row["id"], row["name"], row["created"], json.loads(row["policy"]))


def _version(row: sqlite3.Row) -> Version:
    plain = dict(zip(row.keys(), tuple(row), strict=True))
    return Version(**{**plain, "manifest": json.loads(plain["manifest"])})
