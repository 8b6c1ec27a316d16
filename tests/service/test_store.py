"""The database beneath the service: transactions, connections, schema, and the order of what it keeps."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from strop.service.store import events, jobs, models
from strop.service.store.database import Database, NewerSchema
from strop.service.store.migrations import MIGRATIONS


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty database."""
    opened = Database(tmp_path / "data" / "strop.db")
    yield opened
    opened.close()


def new_job(database: Database) -> str:
    """Queue a job; return its id."""
    with database.transaction() as db:
        return jobs.create(db, "finetune", {"request": {}}).id


def test_a_commit_is_on_the_disk(database: Database) -> None:
    """Protects the promise of 202: WAL with synchronous=FULL (2) on every thread's connection."""
    found = []

    def look() -> None:
        db = database.read()
        found.append((db.execute("PRAGMA journal_mode").fetchone()[0], db.execute("PRAGMA synchronous").fetchone()[0]))

    look()
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [("wal", 2), ("wal", 2)]


def test_an_exception_undoes_all_of_a_transaction(database: Database) -> None:
    """Protects from halves: a job without its event, a version without its alias."""
    with pytest.raises(RuntimeError, match="in the middle"), database.transaction() as db:
        jobs.create(db, "finetune", {})
        raise RuntimeError("in the middle")
    assert jobs.page(database.read(), None, 10) == []
    new_job(database)  # and the connection can be used
    assert len(jobs.page(database.read(), None, 10)) == 1


def test_an_error_that_rolled_back_itself_is_told_as_it_is(database: Database) -> None:
    """Protects the reason of a failure: a ROLLBACK of what is no longer there must not take its place."""
    with pytest.raises(sqlite3.OperationalError, match="disk is full"), database.transaction() as db:
        db.execute("PRAGMA max_page_count = 1")  # it becomes the present size
        while True:
            jobs.create(db, "finetune", {"request": "x" * 4000})
    database.read().execute("PRAGMA max_page_count = 100000")
    new_job(database)


def test_a_commit_that_fails_leaves_the_connection_usable(database: Database) -> None:
    """Protects the worker: after one COMMIT that could not be, every later transaction would fail."""
    with pytest.raises(sqlite3.IntegrityError), database.transaction() as db:
        db.execute("PRAGMA defer_foreign_keys = ON")
        db.execute("INSERT INTO events (job_id, at, type, data) VALUES ('nobody', 0, 'queued', '{}')")
    new_job(database)


def test_threads_that_have_ended_leave_no_connections(database: Database) -> None:
    """Protects from running out of files: servers' pools make and end threads for months."""
    for _ in range(20):
        thread = threading.Thread(target=new_job, args=(database,))
        thread.start()
        thread.join()
    assert len(jobs.page(database.read(), None, 50)) == 20
    assert len(database._all) <= 2


def test_writers_wait_for_each_other(database: Database) -> None:
    """Protects from "database is locked": processes and threads write the same file."""
    threads = [threading.Thread(target=lambda: [new_job(database) for _ in range(10)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(jobs.page(database.read(), None, 200)) == 80


def test_a_migration_happens_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects an update in which the power fails: the schema is the old or the new one, with all that was in it."""
    path = tmp_path / "strop.db"
    first = Database(path)
    job = new_job(first)
    first.close()

    def half(db: sqlite3.Connection) -> None:
        db.execute("ALTER TABLE jobs ADD COLUMN colour TEXT")
        raise RuntimeError("the power fails")

    def whole(db: sqlite3.Connection) -> None:
        db.execute("ALTER TABLE jobs ADD COLUMN size TEXT")

    monkeypatch.setattr("strop.service.store.database.MIGRATIONS", (*MIGRATIONS, half))
    with pytest.raises(RuntimeError, match="the power fails"):
        Database(path)
    monkeypatch.setattr("strop.service.store.database.MIGRATIONS", (*MIGRATIONS, whole))
    for _ in range(2):
        opened = Database(path)
        columns = [row["name"] for row in opened.read().execute("PRAGMA table_info(jobs)")]
        assert "size" in columns and "colour" not in columns
        assert [row["id"] for row in opened.read().execute("SELECT id FROM jobs")] == [job]
        opened.close()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """Protects the data of who goes back to an older strop, and tells them what to do."""
    Database(tmp_path / "strop.db").close()
    with sqlite3.connect(tmp_path / "strop.db") as db:
        db.execute("PRAGMA user_version = 1000")
    with pytest.raises(NewerSchema, match="schema 1000, written by a newer strop"):
        Database(tmp_path / "strop.db")


def test_the_order_is_that_of_acceptance_whatever_the_clock_says(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the queue of a board without a clock of its own: after a power cut it wakes up in the past."""
    before = [new_job(database) for _ in range(3)]
    monkeypatch.setattr("strop.service.ids.time.time_ns", lambda: 1_000_000_000)
    after = [new_job(database) for _ in range(2)]
    assert sorted(before + after) != before + after
    db = database.read()
    assert [job.id for job in jobs.page(db, None, 10)] == [*reversed(after), *reversed(before)]
    assert [job.id for job in jobs.page(db, after[0], 10)] == [*reversed(before)]
    assert [jobs.queue_position(db, jobs.get(db, id)) for id in before + after] == [0, 1, 2, 3, 4]
    with database.transaction() as db:
        claimed = jobs.claim(db)
    assert claimed is not None and claimed.id == before[0]


def test_events_are_numbered_in_the_order_of_their_commits(database: Database) -> None:
    """Protects resumed streams: a number below one that was seen never comes later, and none is given twice."""
    one, other = new_job(database), new_job(database)
    seen = 0
    for _ in range(5):
        for job in (one, other):
            with database.transaction() as db:
                events.add(db, job, "progress", step=1)
            (event,) = events.after(database.read(), job, seen, 10)[-1:]
            assert event.seq > seen and event.job_id == job
            seen = event.seq
    assert [event.type for event in events.after(database.read(), one, 0, 3)] == ["queued", "progress", "progress"]
    assert events.last(database.read(), one, "queued").job_id == one
    with pytest.raises(KeyError, match="succeeded"):
        events.last(database.read(), one, "succeeded")


def test_an_event_without_a_job_is_refused(database: Database) -> None:
    """Protects lineage: rows refer to rows that exist."""
    with pytest.raises(sqlite3.IntegrityError), database.transaction() as db:
        events.add(db, "job_that_never_was", "queued")


def test_the_history_of_deployments_cannot_be_changed(database: Database) -> None:
    """Protects the record of what was in production, also from the service's own code."""
    with database.transaction() as db:
        model = models.create_model(db, "m")
        models.add_version(
            db,
            id="version_1",
            model_id=model.id,
            parent_id=None,
            job_id=None,
            sha256="",
            file_sha256="",
            path="",
            manifest={},
        )
        models.point(db, model.id, "production", "version_1", "import")
    for statement in ("UPDATE deployments SET reason = 'another'", "DELETE FROM deployments"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"), database.transaction() as db:
            db.execute(statement)


def test_a_job_that_kills_its_worker_is_ended(database: Database) -> None:
    """Protects the box from a crash loop, and says how it went; checkpoints in between are no loop."""
    job = new_job(database)

    def attempt(checkpoint: int | None) -> str:
        with database.transaction() as db:
            claimed = jobs.claim(db)
            if claimed is None:
                return jobs.get(db, job).state
            if checkpoint is not None:
                jobs.note_checkpoint(db, job, checkpoint)
        with database.transaction() as db:
            jobs.release_orphans(db)
        return "interrupted"

    assert [attempt(step) for step in range(10, 60, 10)] == ["interrupted"] * 5
    assert [attempt(None) for _ in range(4)] == ["interrupted", "interrupted", "failed", "failed"]
    error = jobs.get(database.read(), job).error
    assert error is not None and error["code"] == "crash_loop"
    assert "3 attempts in a row" in error["detail"] and "the worker died" in error["detail"]


def test_a_stop_of_the_service_is_no_crash(database: Database) -> None:
    """Protects jobs on a box that is switched off properly, however often."""
    job = new_job(database)
    for _ in range(10):
        with database.transaction() as db:
            claimed = jobs.claim(db)
            assert claimed is not None
            jobs.release(db, claimed, "the service was stopped", counts=False)
    kinds = [event.type for event in events.after(database.read(), job, 0, 100)]
    assert kinds == ["queued", "started", "interrupted"] + ["resumed", "interrupted"] * 9
