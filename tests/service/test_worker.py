"""The worker in this process: what becomes of jobs when they end, stop, fail, and when the device or the disk does."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from job_folders import check_folder, make_folder, request, uninterrupted
from strop.host import Progress, read_checkpoint
from strop.host.data import load_dataset
from strop.runtime.errors import CheckpointError, InputError
from strop.service.settings import Settings
from strop.service.store import events, jobs, models
from strop.service.store import worker as record
from strop.service.store.database import Database
from strop.service.store.jobs import Job
from strop.service.worker import job_runs, loop
from strop.service.worker.loop import error_code
from worker_here import ended, kinds, wait_for, working

SHORT = request(steps=12, batch=32, checkpoint_every=5, seed=1)
LONG = request(steps=200_000, batch=32, checkpoint_every=20, seed=2)


def test_jobs_run_in_order_and_become_versions(settings: Settings) -> None:
    """Protects the whole way of a job: its events, its version with lineage, and the bytes of a plain training."""
    asked = [SHORT, {**SHORT, "seed": 7, "frozen": ["conv1"], "shift": "invert"}]
    ids = make_folder(settings.data, *asked)
    with working(settings) as database:
        done = [ended(database, id) for id in ids]
        for number, (job, words) in enumerate(zip(done, asked, strict=True), 2):
            assert job.state == "succeeded" and job.result is not None
            assert job.result["sha256"] == uninterrupted(words)
            version = models.version_of(database.read(), job.result["version_id"])
            assert (version.number, version.job_id, version.parent_id) == (number, job.id, job.spec["parent_id"])
            assert version.manifest["accuracy"] == job.result["accuracy"]
            checkpoints = ["checkpoint"] * 2  # of steps 5 and 10
            assert kinds(database, job.id) == ["queued", "started", *checkpoints, "epoch", "gate", "succeeded"]
            steps = [each.data["step"] for each in events.after(database.read(), job.id, 0, 99) if "step" in each.data]
            assert steps == sorted(steps) and (steps[0], steps[-1]) == (1, 12)
        assert done[0].finished is not None and done[1].started is not None and done[0].finished <= done[1].started
    check_folder(settings.data)


def test_a_gate_moves_its_alias_with_the_version_or_not_at_all(settings: Settings) -> None:
    """Protects production: an alias moves in the transaction that records the version, and only for one that passed."""
    good = {**SHORT, "gate": {"min_accuracy": 0.1, "promote": "production"}}
    bad = {**SHORT, "gate": {"min_accuracy": 1.0, "promote": "production"}}
    ids = make_folder(settings.data, good, bad)
    with working(settings) as database:
        passed, refused = (ended(database, id) for id in ids)
        assert passed.result is not None and refused.result is not None
        assert passed.result["gate"]["passed"] and not refused.result["gate"]["passed"]
        aliases = models.aliases(database.read(), passed.spec["model_id"])
        assert aliases["production"] == passed.result["version_id"]


def test_a_stopped_worker_leaves_the_job_to_the_next_one(settings: Settings) -> None:
    """Protects `systemctl stop`: within a mini-batch, with a checkpoint of that step, and nobody is blamed."""
    (id,) = make_folder(settings.data, LONG)
    with working(settings) as database:
        reached = wait_for(database, id, lambda job: job.progress is not None and job.progress["step"] > 25)
        started = time.monotonic()
    assert time.monotonic() - started < 5
    database = Database(settings.data / "strop.db")
    job = jobs.get(database.read(), id)
    assert (job.state, job.attempts) == ("queued", 0)
    assert kinds(database, id)[-1] == "interrupted"
    cursor = read_checkpoint(job_runs.checkpoint_of(settings, id)).cursor
    assert cursor is not None and reached.progress is not None and cursor.done >= reached.progress["step"]
    with working(settings):
        wait_for(database, id, lambda job: job.progress is not None and job.progress["step"] > cursor.done)
    steps = [each.data["step"] for each in events.after(database.read(), id, 0, 10_000) if each.type == "progress"]
    assert steps == sorted(set(steps))
    database.close()


def test_a_cancelled_job_ends_within_a_mini_batch(settings: Settings) -> None:
    """Protects who changes their mind: no version, and the next job has its turn."""
    long, short = make_folder(settings.data, LONG, SHORT)
    with working(settings) as database:
        wait_for(database, long, lambda job: job.progress is not None)
        asked = time.monotonic()
        with database.transaction() as db:
            assert jobs.request_cancel(db, jobs.get(db, long)).state == "running"
        assert ended(database, long).state == "cancelled"
        assert time.monotonic() - asked < 2
        assert ended(database, short).state == "succeeded"
        assert [each.job_id for each in models.versions(database.read(), ended(database, short).spec["model_id"])] == [
            short,
            None,
        ]


def test_a_cancel_at_the_last_moment_still_counts(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the word of a 202: what was cancelled before it succeeded leaves no version, and no file."""
    (id,) = make_folder(settings.data, SHORT)
    judge = job_runs.judge

    def cancelling(*arguments: Any) -> Any:
        with Database(settings.data / "strop.db").transaction() as db:
            jobs.request_cancel(db, jobs.get(db, id))
        return judge(*arguments)

    monkeypatch.setattr(job_runs, "judge", cancelling)
    with working(settings) as database:
        assert ended(database, id).state == "cancelled"
        assert len(models.versions(database.read(), ended(database, id).spec["model_id"])) == 1
    assert len(list((settings.data / "versions").iterdir())) == 1


def test_a_cancel_before_a_stop_is_not_forgotten(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects from a job that comes back after its owner has cancelled it and the service was stopped."""
    (id,) = make_folder(settings.data, SHORT)

    def stopped(job: Job, context: job_runs.JobContext) -> None:
        with context.database.transaction() as db:
            jobs.request_cancel(db, jobs.get(db, job.id))
        raise job_runs.Stopped

    monkeypatch.setattr(loop, "run_job", stopped)
    with working(settings) as database:
        assert ended(database, id).state == "cancelled"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("steps is 0"), "unacceptable"),
        (ZeroDivisionError("division by zero"), "internal"),
        (CheckpointError("no room"), "storage_low"),
        (sqlite3.OperationalError("database or disk is full"), "storage_low"),
    ],
)
def test_a_job_that_fails_says_so_and_the_next_one_runs(
    error: Exception, code: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the queue from one bad job, and the user from a wrong reason."""
    if code == "storage_low" and isinstance(error, CheckpointError):
        error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    bad, good = make_folder(settings.data, SHORT, SHORT)
    run_job = loop.run_job

    def failing(job: Job, context: job_runs.JobContext) -> None:
        if job.id == bad:
            raise error
        run_job(job, context)

    monkeypatch.setattr(loop, "run_job", failing)
    with working(settings) as database:
        failed = ended(database, bad)
        assert failed.state == "failed" and failed.error is not None
        assert failed.error["code"] == code and str(error) in failed.error["detail"] and failed.error["remedy"]
        assert ended(database, good).state == "succeeded"


def test_a_full_disk_keeps_the_last_checkpoint(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects hours of training: the write that has no room fails the job, and the file before it stays whole."""
    (id,) = make_folder(settings.data, LONG)
    replace, written = os.replace, 0

    def full(source: Any, target: Any) -> None:
        nonlocal written
        written += 1
        if written > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with working(settings) as database:
        failed = ended(database, id)
        assert failed.error is not None and failed.error["code"] == "storage_low"
        assert "No space left on device" in failed.error["detail"]
    cursor = read_checkpoint(job_runs.checkpoint_of(settings, id)).cursor
    assert cursor is not None and cursor.done == 60
    assert [path.suffix for path in (settings.data / "jobs").iterdir()] == [".safetensors"]


def test_the_end_of_a_job_waits_for_a_database_that_cannot_be_written(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the record: while the disk is full neither the worker nor the reason of a failure is lost."""
    (id,) = make_folder(settings.data, SHORT)
    refusals = iter([sqlite3.OperationalError("database or disk is full")] * 2)
    fail = jobs.fail

    def refused(*arguments: Any) -> Job:
        for error in refusals:
            raise error
        return fail(*arguments)

    def failing(job: Job, context: job_runs.JobContext) -> None:
        raise InputError("of no use")

    monkeypatch.setattr(loop, "DATABASE_SECONDS", 0.01)
    monkeypatch.setattr(loop, "run_job", failing)
    monkeypatch.setattr(jobs, "fail", refused)
    with working(settings) as database:
        assert ended(database, id).state == "failed"
    assert list(refusals) == []


def test_a_claim_that_was_made_in_spite_of_an_error_is_not_lost(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects a job whose claim was on the disk when the commit reported an error: nobody would run it."""
    (id,) = make_folder(settings.data, SHORT)
    tell, failures = record.tell, iter([sqlite3.OperationalError("disk I/O error")])

    def telling(db: sqlite3.Connection, state: str, job_id: str | None = None) -> None:
        tell(db, state, job_id)
        if state == "training":
            for error in failures:
                db.execute("COMMIT")
                db.execute("BEGIN")
                raise error

    monkeypatch.setattr(loop, "DATABASE_SECONDS", 0.01)
    monkeypatch.setattr(record, "tell", telling)
    with working(settings) as database:
        assert ended(database, id).state == "succeeded"
        assert kinds(database, id)[:4] == ["queued", "started", "interrupted", "resumed"]


def test_codes_of_failures() -> None:
    """Protects the code that a client acts on: only what the client can change is called unacceptable."""
    no_room = OSError(errno.EDQUOT, "quota")
    wrapped = CheckpointError("cannot write")
    wrapped.__cause__ = no_room
    assert [
        error_code(error) for error in (no_room, wrapped, InputError("x"), CheckpointError("x"), KeyError("x"))
    ] == [
        "storage_low",
        "storage_low",
        "unacceptable",
        "internal",
        "internal",
    ]


def test_a_data_set_that_is_gone_fails_the_job_in_words(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects from a bare traceback: samples that cannot be loaded are named."""
    (id,) = make_folder(settings.data, SHORT)
    monkeypatch.setattr("strop.service.sources.load_dataset", lambda name, split: load_dataset(Path("/nowhere/x.npz")))
    with working(settings) as database:
        failed = ended(database, id)
        assert failed.error is not None and failed.error["code"] == "unacceptable"
        assert "/nowhere/x.npz" in failed.error["detail"]


def test_only_a_further_checkpoint_is_progress(settings: Settings) -> None:
    """Protects the end of a crash loop: a job that always dies right after the same checkpoint gets nowhere."""
    (id,) = make_folder(settings.data, SHORT)
    database = Database(settings.data / "strop.db")
    for _ in range(2):
        with database.transaction() as db:
            job = jobs.claim(db)
            jobs.release_orphans(db)
    with database.transaction() as db:
        job = jobs.claim(db)
    assert job is not None
    device: Any = None
    watch = job_runs._Watch(job, job_runs.JobContext(settings, database, device, threading.Event()), 50)

    def steps(first: int, last: int) -> int:
        for step in range(first, last + 1):
            watch.step(Progress(step, 400, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.1, 100.0, 1.0))
        return jobs.get(database.read(), id).attempts

    assert steps(51, 100) == 3  # it came back at 50, and 100 is not written before the step is over
    assert steps(101, 101) == 1
    assert events.last(database.read(), id, "checkpoint").data == {"step": 100}
    assert steps(102, 260) == 1
    found = [each.data["step"] for each in events.after(database.read(), id, 0, 999) if each.type == "checkpoint"]
    assert found == [100, 150, 200, 250]
    database.close()
