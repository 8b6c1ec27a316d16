"""The worker and its device: what becomes of jobs when it fails, comes late, or belongs to somebody else."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from job_folders import make_folder, request
from strop.runtime.errors import DeviceError, DeviceTimeout, DeviceUnavailable
from strop.service.settings import Settings
from strop.service.store import jobs
from strop.service.store import worker as record
from strop.service.store.database import Database
from strop.service.store.jobs import Job
from strop.service.worker import job_runs, loop
from strop.service.worker.loop import Worker
from worker_here import ended, kinds, wait_for, working

SHORT = request(steps=12, batch=32, checkpoint_every=5, seed=1)
LONG = request(steps=200_000, batch=32, checkpoint_every=20, seed=2)


def test_after_a_failure_of_the_device_the_worker_ends(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects a queue from a hung board: the next process opens and tests it anew, and the job has three attempts."""
    (id,) = make_folder(settings.data, SHORT)
    database = Database(settings.data / "strop.db")

    def hanging(job: Job, context: job_runs.JobContext) -> None:
        raise DeviceTimeout("the kernel stands still at command 7")

    monkeypatch.setattr(loop, "run_job", hanging)
    for attempt in (1, 2, 3):
        worker = Worker(settings)
        with ThreadPoolExecutor(1) as threads:
            try:
                assert isinstance(threads.submit(worker.run).exception(20), DeviceTimeout)
            finally:
                worker.stop()
        job = jobs.get(database.read(), id)
        assert (job.state, job.attempts) == ("queued", attempt)
    with working(settings):
        failed = ended(database, id)
    assert failed.error is not None and failed.error["code"] == "crash_loop"
    assert "stands still at command 7" in failed.error["detail"]
    database.close()


def test_one_worker_at_a_time(settings: Settings) -> None:
    """Protects the device: a second worker on the data folder waits, and takes over when the first has ended."""
    first, second = make_folder(settings.data, LONG, SHORT)
    with working(settings) as database:
        wait_for(database, first, lambda job: job.progress is not None)
        with working(settings):
            time.sleep(0.5)
            assert jobs.get(database.read(), second).state == "queued"
            assert kinds(database, first).count("started") == 1 and "interrupted" not in kinds(database, first)
            with database.transaction() as db:
                jobs.request_cancel(db, jobs.get(db, first))
            ended(database, second)


def test_nothing_is_trained_on_a_device_that_fails_its_self_test(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects every byte: a device that computes otherwise gets no job, and the record says which case failed."""
    (id,) = make_folder(settings.data, SHORT)
    wrong = SimpleNamespace(equal=False, case=SimpleNamespace(name="conv"))
    monkeypatch.setattr(loop, "run_cases", lambda device: [wrong])
    with working(settings) as database:
        end = time.monotonic() + 10
        while (found := record.read(database.read())) is None or found.state != "failed":
            assert time.monotonic() < end
            time.sleep(0.01)
        assert found.selftest is not None and not found.selftest["passed"] and found.selftest["wrong"] == ["conv"]
        time.sleep(0.2)
        assert jobs.get(database.read(), id).state == "queued"


@pytest.mark.parametrize("fault", ["open_device", "run_cases"])
def test_a_device_that_comes_late_is_waited_for(
    fault: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects a box whose board is switched on later, or fails during its self-test: the worker tries again."""
    (id,) = make_folder(settings.data, SHORT)
    real, failures = getattr(loop, fault), iter([DeviceUnavailable("no board"), DeviceError("it went away")])

    def late(*arguments: Any) -> Any:
        for error in failures:
            raise error
        return real(*arguments)

    monkeypatch.setattr(loop, "LOCK_SECONDS", 0.01)
    monkeypatch.setattr(loop, fault, late)
    with working(settings) as database:
        assert ended(database, id).state == "succeeded"
    assert list(failures) == []


def test_an_orphan_is_queued_again_before_the_device_is_there(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects who looks: a job whose worker died is not shown as running while the device cannot be opened."""
    (id,) = make_folder(settings.data, SHORT)
    database = Database(settings.data / "strop.db")
    with database.transaction() as db:
        jobs.claim(db)

    def missing(*arguments: Any) -> Any:
        raise DeviceUnavailable("no board")

    monkeypatch.setattr(loop, "open_device", missing)
    with working(settings):
        assert wait_for(database, id, lambda job: job.state == "queued").attempts == 1
    database.close()
