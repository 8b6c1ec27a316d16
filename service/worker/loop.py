"""The worker's loop: lock, device, self-test, then one job after another until it is told to stop."""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any

from strop.host.selftest import run_cases
from strop.runtime.device import Device, open_device
from strop.runtime.errors import (
    CheckpointMismatch,
    DeviceBusy,
    DeviceError,
    InputError,
    MemoryPlanError,
    StropError,
)
from strop.runtime.lease import Lease
from strop.service.problems import REGISTRY
from strop.service.settings import Settings
from strop.service.store import jobs
from strop.service.store import worker as record
from strop.service.store.database import Database
from strop.service.store.jobs import Job
from strop.service.worker.job_runs import JobContext, Stopped, run_job

LOG = logging.getLogger("strop.worker")
IDLE_SECONDS = 0.05  # between two looks at the queue
LOCK_SECONDS = 0.2  # between two tries for the lock or the device
DATABASE_SECONDS = 1.0  # between two tries to write where the database could not, such as on a full disk
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Worker:
    """One worker on a data folder. `run` returns after `stop`, with the job under way back in the queue."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(settings.database)
        self._stop = threading.Event()

    def stop(self) -> None:
        """End soon: within a mini-batch, and after its checkpoint."""
        self._stop.set()

    def run(self) -> None:
        """Work until `stop`."""
        lock = self._lock()
        if lock is None:
            return
        device: Device | None = None
        try:
            with self.database.transaction() as db:
                record.begin(db, os.getpid())
                for id in jobs.release_orphans(db):
                    LOG.warning("a worker died in this job; it is queued again", extra={"fields": {"job": id}})
            device = self._device()
            while device is not None and not self._stop.is_set():
                if not self._patiently(self._one_job, device):
                    self._stop.wait(IDLE_SECONDS)
            with self.database.transaction() as db:
                record.tell(db, "stopping")
        finally:
            if device is not None:
                device.close()
            lock.release()
            self.database.close()

    def _lock(self) -> Lease | None:
        """Take the data folder's lock; an earlier worker may take a moment to end."""
        while not self._stop.is_set():
            try:
                return Lease("worker", "the service's data folder", folder=self.settings.data)
            except DeviceBusy:
                self._stop.wait(LOCK_SECONDS)
        return None

    def _device(self) -> Device | None:
        """Open the device and test it. While it cannot be had, /readyz says why."""
        told = ""
        while not self._stop.is_set():
            device: Device | None = None
            try:
                device = open_device(self.settings.device, self.settings.threads)
                self._test(device)
                return device
            except StropError as error:
                if device is not None:
                    device.close()
                if str(error) != told:
                    told = str(error)
                    LOG.error("the device cannot be opened", extra={"fields": {"reason": told}})
                    with self.database.transaction() as db:
                        record.tell(db, "failed")
                        record.tell_device(db, {"error": told}, None)
                self._stop.wait(LOCK_SECONDS if isinstance(error, DeviceBusy) else 10 * LOCK_SECONDS)
        return None

    def _test(self, device: Device) -> None:
        described = {"name": device.name, "description": device.description, **getattr(device, "facts", {})}
        results = list(run_cases(device))
        wrong = [result.case.name for result in results if not result.equal]
        selftest = {"passed": not wrong, "cases": len(results), "wrong": wrong, "at": time.time()}
        with self.database.transaction() as db:
            record.tell_device(db, described, selftest)
            record.tell(db, "idle" if not wrong else "failed")
        if wrong:
            LOG.error("the device fails its self-test", extra={"fields": selftest})
            while not self._stop.wait(IDLE_SECONDS):
                pass  # nothing may be trained on it

    def _one_job(self, device: Device) -> bool:
        """Run the next job, if there is one; return whether there was."""
        with self.database.transaction() as db:
            jobs.release_orphans(db)  # none, unless a claim was said to have failed and had not
            job = jobs.claim(db)
            if job is None:
                return False
            record.tell(db, "training", job.id)
        self._run(job, device)
        self._patiently(self._record, lambda db: record.tell(db, "idle"))
        return True

    def _record(self, change: Callable[[sqlite3.Connection], Any]) -> None:
        with self.database.transaction() as db:
            change(db)

    def _patiently(self, action: Callable[[Any], Any], argument: Any) -> Any:
        """Do what needs the database until it could be done: a full disk is no reason to lose the end of a job."""
        while True:
            try:
                return action(argument)
            except sqlite3.OperationalError as error:
                LOG.error("the database cannot be written", extra={"fields": {"reason": str(error)}})
                if self._stop.wait(DATABASE_SECONDS):
                    raise

    def _run(self, job: Job, device: Device) -> None:
        context = JobContext(self.settings, self.database, device, self._stop)
        try:
            run_job(job, context)
        except Stopped:
            LOG.info("stopped within a job", extra={"fields": {"job": job.id}})
            self._release(job, "the service was stopped", counts=False)
        except DeviceError as error:  # the next process begins afresh, with a self-test
            LOG.exception("the device failed", extra={"fields": {"job": job.id}})
            self._release(job, f"the device failed: {type(error).__name__}: {error}", counts=True)
            raise
        except Exception as error:  # whatever it is, the next job must have its turn
            LOG.exception("a job failed", extra={"fields": {"job": job.id}})
            code, detail = error_code(error), f"{type(error).__name__}: {error}"
            self._patiently(
                self._record, lambda db: jobs.fail(db, jobs.get(db, job.id), code, detail, REGISTRY[code].remedy)
            )

    def _release(self, job: Job, reason: str, counts: bool) -> None:
        self._patiently(self._record, lambda db: jobs.release(db, jobs.get(db, job.id), reason, counts))


def error_code(error: BaseException) -> str:
    """Return the code of the registry for what made a job fail."""
    cause: BaseException | None = error
    while cause is not None:
        full = isinstance(cause, sqlite3.OperationalError) and "disk is full" in str(cause)
        if full or (isinstance(cause, OSError) and cause.errno in NO_ROOM):
            return "storage_low"
        cause = cause.__cause__
    return "unacceptable" if isinstance(error, (InputError, MemoryPlanError, CheckpointMismatch)) else "internal"
