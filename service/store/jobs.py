"""Jobs: the queue and the record of what was asked for."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass
from typing import Any

from strop.service.ids import new_id
from strop.service.job_states import TERMINAL, TRANSITIONS, State, check_transition
from strop.service.store import events, samples

MAX_ATTEMPTS = 3  # without a further checkpoint: then the job is what kills the worker


@dataclass(frozen=True)
class Job:
    """A row of the table; times are unix seconds."""

    id: str
    kind: str
    state: State
    created: float
    updated: float
    started: float | None
    finished: float | None
    attempts: int
    spec: dict[str, Any]
    progress: dict[str, Any] | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    cancel_requested: bool
    key_id: str | None

    @property
    def terminal(self) -> bool:
        """Whether nothing will happen to it any more."""
        return self.state in TERMINAL


def create(db: sqlite3.Connection, kind: str, spec: dict[str, Any], key_id: str | None = None) -> Job:
    """Queue a job, and record that it was."""
    now, id = time.time(), new_id("job")
    db.execute(
        "INSERT INTO jobs (id, kind, state, created, updated, spec, key_id) VALUES (?, ?, 'queued', ?, ?, ?, ?)",
        (id, kind, now, now, json.dumps(spec), key_id),
    )
    events.add(db, id, "queued")
    return get(db, id)


def get(db: sqlite3.Connection, id: str) -> Job:
    """Return a job. Raises KeyError."""
    row = db.execute("SELECT * FROM jobs WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise KeyError(id)
    return _job(row)


def page(db: sqlite3.Connection, after: str | None, limit: int, state: State | None = None) -> list[Job]:
    """Return jobs that were accepted before `after`, newest first.

    Here and in the queue rowids give the order, not the times in the ids: a board without a clock of its own wakes up
    in the past.
    """
    rows = db.execute(
        "SELECT * FROM jobs WHERE (?1 IS NULL OR rowid < (SELECT rowid FROM jobs WHERE id = ?1))"
        " AND (?2 IS NULL OR state = ?2) ORDER BY rowid DESC LIMIT ?3",
        (after, state, limit),
    )
    return [_job(row) for row in rows]


def waiting(db: sqlite3.Connection) -> int:
    """Return how many jobs are queued."""
    (count,) = db.execute("SELECT count(*) FROM jobs WHERE state = 'queued'").fetchone()
    return int(count)


def queue_position(db: sqlite3.Connection, job: Job) -> int | None:
    """Return how many queued jobs come first, None unless it is queued."""
    if job.state != "queued":
        return None
    (before,) = db.execute(
        "SELECT count(*) FROM jobs WHERE state = 'queued' AND rowid < (SELECT rowid FROM jobs WHERE id = ?)", (job.id,)
    ).fetchone()
    return int(before)


def move(db: sqlite3.Connection, job: Job, state: State, event: str | None = None, **data: Any) -> Job:
    """Change a job's state, record the event, and return the job as it is now. Raises `WrongTransition`."""
    check_transition(job.state, state)
    now = time.time()
    changed = db.execute(
        "UPDATE jobs SET state = ?, updated = ?, finished = ? WHERE id = ? AND state = ?",
        (state, now, now if state in TERMINAL else None, job.id, job.state),
    ).rowcount
    if changed != 1:
        raise RuntimeError(f"{job.id} is no longer {job.state}")
    events.add(db, job.id, event or TRANSITIONS[job.state, state], **data)
    if state in TERMINAL:
        samples.settle(db, job.id, learned=state == "succeeded")
    return get(db, job.id)


def claim(db: sqlite3.Connection) -> Job | None:
    """Take the oldest queued job to run, None if there is none. For the one worker that has the lock."""
    row = db.execute("SELECT * FROM jobs WHERE state = 'queued' ORDER BY rowid LIMIT 1").fetchone()
    if row is None:
        return None
    job = _job(row)
    if job.attempts >= MAX_ATTEMPTS:
        reason = events.last(db, job.id, "interrupted").data["reason"]
        detail = f"{job.attempts} attempts in a row reached no further checkpoint; the last one ended because {reason}"
        fail(db, job, "crash_loop", detail, "Look into the service's log; take a smaller mini-batch, or other data.")
        return claim(db)
    db.execute(
        "UPDATE jobs SET attempts = attempts + 1, started = coalesce(started, ?) WHERE id = ?", (time.time(), job.id)
    )
    return move(db, job, "running", "started" if job.started is None else "resumed", attempt=job.attempts + 1)


def fail(db: sqlite3.Connection, job: Job, code: str, detail: str, remedy: str) -> Job:
    """End a job that cannot succeed."""
    error = {"code": code, "detail": detail, "remedy": remedy}
    db.execute("UPDATE jobs SET error = ? WHERE id = ?", (json.dumps(error), job.id))
    return move(db, job, "failed", **error)


def release_orphans(db: sqlite3.Connection) -> list[str]:
    """Queue again what a dead worker left running; return the ids. For who has the worker's lock."""
    orphans = [_job(row) for row in db.execute("SELECT * FROM jobs WHERE state = 'running' ORDER BY rowid")]
    for job in orphans:
        release(db, job, "the worker died")
    return [job.id for job in orphans]


def release(db: sqlite3.Connection, job: Job, reason: str, counts: bool = True) -> Job:
    """Let a running job wait for its next attempt, or end it if that was asked; `counts` unless it is not to blame."""
    if not counts:
        db.execute("UPDATE jobs SET attempts = max(attempts - 1, 0) WHERE id = ?", (job.id,))
    return move(db, job, "cancelled" if job.cancel_requested else "queued", reason=reason)


def request_cancel(db: sqlite3.Connection, job: Job) -> Job:
    """Ask that a job end; one that waits ends at once. A job that has ended is returned as it is."""
    if job.terminal:
        return job
    db.execute("UPDATE jobs SET cancel_requested = 1, updated = ? WHERE id = ?", (time.time(), job.id))
    return move(db, get(db, job.id), "cancelled") if job.state == "queued" else get(db, job.id)


def cancel_requested(db: sqlite3.Connection, id: str) -> bool:
    """Whether somebody asked that the job end."""
    (requested,) = db.execute("SELECT cancel_requested FROM jobs WHERE id = ?", (id,)).fetchone()
    return bool(requested)


def set_progress(db: sqlite3.Connection, id: str, progress: dict[str, Any]) -> None:
    """Note how far a running job is."""
    text = json.dumps(progress, allow_nan=False)
    db.execute("UPDATE jobs SET progress = ?, updated = ? WHERE id = ?", (text, time.time(), id))


def note_checkpoint(db: sqlite3.Connection, id: str, step: int) -> None:
    """Note that a running job can now go on from `step`: it got somewhere, so attempts count afresh."""
    db.execute("UPDATE jobs SET attempts = 1 WHERE id = ?", (id,))
    events.add(db, id, "checkpoint", step=step)


def set_spec(db: sqlite3.Connection, id: str, spec: dict[str, Any]) -> Job:
    """Make a job's spec definite, in the transaction that made the job; return the job."""
    db.execute("UPDATE jobs SET spec = ? WHERE id = ?", (json.dumps(spec), id))
    return get(db, id)


def set_result(db: sqlite3.Connection, id: str, result: dict[str, Any]) -> None:
    """Note what came of a job."""
    db.execute("UPDATE jobs SET result = ? WHERE id = ?", (json.dumps(result, allow_nan=False), id))


def find_repeated(db: sqlite3.Connection, key_id: str, idempotency_key: str) -> tuple[str, str] | None:
    """Return (job id, sha256 of the request) of an earlier request with this Idempotency-Key, or None."""
    row = db.execute(
        "SELECT job_id, request_sha256 FROM idempotency WHERE key_id = ? AND idempotency_key = ?",
        (key_id, idempotency_key),
    ).fetchone()
    return None if row is None else (row["job_id"], row["request_sha256"])


def remember_request(
    db: sqlite3.Connection, key_id: str, idempotency_key: str, request_sha256: str, job_id: str
) -> None:
    """Let a repetition of this request be recognized."""
    db.execute(
        "INSERT INTO idempotency VALUES (?, ?, ?, ?, ?)",
        (key_id, idempotency_key, request_sha256, job_id, time.time()),
    )


def _job(row: sqlite3.Row) -> Job:
    plain = {name: row[name] for name in row.keys()}  # noqa: SIM118  # a Row iterates over its values
    for name in ("spec", "progress", "result", "error"):
        plain[name] = None if plain[name] is None else json.loads(plain[name])
    return Job(**{**plain, "cancel_requested": bool(plain["cancel_requested"])})
