"""The record of models: numbers, aliases, the append-only history, and where a rollback leads."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strop.service.ids import new_id
from strop.service.store import models
from strop.service.store.database import Database
from strop.service.store.migrations import MIGRATIONS
from strop.service.store.models import Model


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A fresh database's connection."""
    database = Database(tmp_path / "strop.db")
    yield database.read()
    database.close()


def add_version(db: sqlite3.Connection, model: Model, file_sha256: str = "") -> str:
    """Record a version; return its id."""
    return models.add_version(
        db,
        id=new_id("version"),
        model_id=model.id,
        parent_id=None,
        job_id=None,
        sha256="",
        file_sha256=file_sha256,
        path="",
        manifest={},
    ).id


def test_versions_are_numbered_within_their_model(db: sqlite3.Connection) -> None:
    """Protects NAME@number: numbers count from 1 in each model, and pages of them have each once, newest first."""
    one, other = models.create_model(db, "one"), models.create_model(db, "other")
    made = [add_version(db, one) for _ in range(5)]
    add_version(db, other)
    assert [(v.id, v.number) for v in models.versions(db, one.id)] == [(made[n - 1], n) for n in (5, 4, 3, 2, 1)]
    assert [v.number for v in models.versions(db, one.id, after=4, limit=2)] == [3, 2]
    assert [v.number for v in models.versions(db, other.id)] == [1]
    assert (models.count_versions(db, one.id), models.count_versions(db, other.id)) == (5, 1)
    assert models.numbered(db, one.id, 6) is None


def test_models_come_in_pages(db: sqlite3.Connection) -> None:
    """Protects long lists: each model once, newest first."""
    made = [models.create_model(db, f"m{n}").id for n in range(5)]
    first = models.page(db, None, 3)
    second = models.page(db, first[-1].id, 3)
    assert sorted(made, reverse=True) == [m.id for m in (*first, *second)]


def test_a_file_is_found_in_its_model_alone(db: sqlite3.Connection) -> None:
    """Protects repeated imports: the same bytes are the same version, but not of another model."""
    one, other = models.create_model(db, "one"), models.create_model(db, "other")
    id = add_version(db, one, "abc")
    found = models.with_file(db, one.id, "abc")
    assert found is not None and found.id == id
    assert models.with_file(db, other.id, "abc") is None


def test_history_is_append_only(db: sqlite3.Connection) -> None:
    """Protects the record of what was in production: not even this program's SQL can change or delete it."""
    model = models.create_model(db, "one")
    models.point(db, model.id, "production", add_version(db, model), models.IMPORT)
    for statement in ("UPDATE deployments SET reason = 'x'", "DELETE FROM deployments"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute(statement)


def test_pointing_at_the_same_version_again_is_no_change(db: sqlite3.Connection) -> None:
    """Protects rollback from a client that repeats a promotion: it must not lead to where one is."""
    model = models.create_model(db, "one")
    first, second = add_version(db, model), add_version(db, model)
    assert models.point(db, model.id, "production", first, models.IMPORT)
    assert models.point(db, model.id, "production", second, models.PROMOTE, reason="better", key_id="key_x")
    assert not models.point(db, model.id, "production", second, models.PROMOTE)
    newest = models.history(db, model.id)
    assert [(d.from_version, d.to_version, d.action) for d in newest] == [
        (first, second, "promote"),
        (None, first, "import"),
    ]
    assert (newest[0].reason, newest[0].key_id, newest[0].alias) == ("better", "key_x", "production")
    assert models.history(db, model.id, after=newest[0].seq, limit=5) == newest[1:]
    assert models.earlier_target(db, model.id, "production") == first


def test_aliases_do_not_share_a_past(db: sqlite3.Connection) -> None:
    """Protects one alias from the moves of another, also of the same name in another model."""
    one, other = models.create_model(db, "one"), models.create_model(db, "other")
    for model in (one, other):
        first, second = add_version(db, model), add_version(db, model)
        models.point(db, model.id, "production", first, models.IMPORT)
        models.point(db, model.id, "candidate", second, models.PROMOTE)
    assert models.earlier_target(db, one.id, "production") is None
    assert models.earlier_target(db, one.id, "candidate") is None
    assert models.earlier_target(db, one.id, "unknown") is None


@settings(deadline=None)
@given(st.lists(st.one_of(st.integers(0, 3), st.just("back")), max_size=30))
def test_rollbacks_go_through_the_past_like_undo(moves: list[int | str]) -> None:
    """Protects rollback, for any mixture with promotions: always to the version before, never forward again."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.row_factory = sqlite3.Row
    for migration in MIGRATIONS:
        migration(db)
    model = models.create_model(db, "one")
    ids = [add_version(db, model) for _ in range(4)]
    past: list[str] = []  # the plain account: what the alias pointed at, and is not undone
    for move in moves:
        if isinstance(move, int):
            if models.point(db, model.id, "production", ids[move], models.PROMOTE):
                past.append(ids[move])
        elif (target := models.earlier_target(db, model.id, "production")) is None:
            assert len(past) < 2
        else:
            past.pop()
            assert target == past[-1]
            assert models.point(db, model.id, "production", target, models.ROLLBACK)
        assert models.aliases(db, model.id).get("production") == (past[-1] if past else None)
    db.close()
