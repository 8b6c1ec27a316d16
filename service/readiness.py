"""Whether jobs and predictions can be served, and if not, why. What is not known to be good counts as not ready."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from functools import lru_cache
from pathlib import Path

from strop.host import read_checkpoint, state_digest
from strop.runtime.errors import StropError
from strop.service.references import PRODUCTION
from strop.service.settings import Settings
from strop.service.store import models, worker
from strop.service.store.database import Database
from strop.service.store.worker import WorkerState

LOCK = "strop-worker.lock"  # of runtime/lease.py, for the name "worker" in the data folder


def reasons_not_ready(settings: Settings, database: Database) -> list[str]:
    """Return why the service is not ready; empty if it is."""
    try:
        return _reasons(settings, database.read())
    except sqlite3.Error as error:
        return [f"the database cannot be read: {error}"]


def _reasons(settings: Settings, db: sqlite3.Connection) -> list[str]:
    reasons = device_reasons(settings, worker.read(db))
    found = models.all_models(db)
    if not found:
        reasons.append("there is no model")
    for model in found:
        id = models.aliases(db, model.id).get(PRODUCTION)
        if id is not None:
            version = models.version_of(db, id)
            wrong = _file_reason(settings.data / version.path, version.sha256)
            reasons += [f"{model.name}@{version.number}, in production, cannot be loaded: {wrong}"] if wrong else []
    return reasons


def device_reasons(settings: Settings, found: WorkerState | None) -> list[str]:
    """Return why nothing can be trained; empty if there is a worker whose device passed its self-test."""
    if found is None or not worker_runs(settings, found):
        return ["there is no worker"]
    if found.device is None:
        return ["the device is being opened"]
    if "error" in found.device:
        return [f"the device cannot be opened: {found.device['error']}"]
    if found.selftest is None or not found.selftest["passed"]:
        return ["the device has not passed its self-test"]
    if found.state == "stopping":
        return ["the worker is about to end"]
    return []


def worker_runs(settings: Settings, found: WorkerState | None) -> bool:
    """Whether the worker that wrote `found` is alive: it, and no other, holds the lock of the data folder.

    A process number alone says little: after a crash another program may have it.
    """
    if found is None:
        return False
    try:
        file = os.open(settings.data / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False  # nobody had it; closing gives it back
    except BlockingIOError:
        return _holder(file) == found.pid
    finally:
        os.close(file)


def _holder(file: int) -> int | None:
    try:
        return int(json.loads(os.pread(file, 4096, 0))["pid"])
    except (ValueError, KeyError, TypeError):
        return None  # it writes just now


def _file_reason(path: Path, digest: str) -> str | None:
    try:
        facts = path.stat()
    except OSError as error:
        return f"{path}: {error.strerror}"
    return _load(path, digest, facts.st_ino, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=64)
def _load(path: Path, digest: str, inode: int, size: int, changed: int) -> str | None:
    """Read a file, once for each of its contents; return what is wrong with it."""
    try:
        found = state_digest(read_checkpoint(path).state)
    except StropError as error:
        return str(error)
    return None if found == digest else f"{path} holds other weights than were recorded"
