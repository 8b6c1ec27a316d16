"""A worker in this process, and how to wait for what it does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from strop.service.settings import Settings
from strop.service.store import events, jobs
from strop.service.store.database import Database
from strop.service.store.jobs import Job
from strop.service.worker.loop import Worker


@contextmanager
def working(settings: Settings) -> Iterator[Database]:
    """A worker on the data folder, in a thread, and a database to look into; it is stopped at the end."""
    worker = Worker(settings)
    database = Database(settings.data / "strop.db")
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield database
    finally:
        worker.stop()
        thread.join(20)
        database.close()
        assert not thread.is_alive()


def wait_for(database: Database, id: str, condition: Callable[[Job], Any]) -> Job:
    """Return the job once it is as wanted."""
    end = time.monotonic() + 30
    while not condition(job := jobs.get(database.read(), id)):
        assert time.monotonic() < end, job
        time.sleep(0.01)
    return job


def ended(database: Database, id: str) -> Job:
    """Return the job once it has ended."""
    return wait_for(database, id, lambda job: job.terminal)


def kinds(database: Database, id: str) -> list[str]:
    """Return the types of a job's events, those of progress left out."""
    return [each.type for each in events.after(database.read(), id, 0, 10_000) if each.type != "progress"]
