"""A worker that kills itself at its n-th write: what the disk holds then is what a crash at that moment leaves.

    run_until_idle(data, die_at=n)

Boundaries are counted before each call that changes a file (also within a write, of which only half is done then), and
around each transaction. SQLite's own writes are not Python's: tests/bench/service_power_cuts.py looks into those.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from strop.service.settings import Settings
from strop.service.store.database import Database
from strop.service.worker import job_runs
from strop.service.worker.loop import Worker

CALLS = ("fsync", "replace", "unlink", "ftruncate", "pwrite", "mkdir")


class Boundaries:
    """Counts the moments between which a crash would leave different files, and dies at one of them."""

    def __init__(self, die_at: int) -> None:
        self.names: list[str] = []
        self._die_at = die_at

    def reach(self, name: str) -> None:
        """One more; never returns from the one to die at."""
        self.names.append(name)
        if len(self.names) == self._die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        """Let every change of a file by this process count from now on."""
        for name in CALLS:
            setattr(os, name, self._counted(name, getattr(os, name)))
        write, create = os.write, os.open

        def halting_write(descriptor: int, data: Any) -> int:
            self.reach("write")
            half = write(descriptor, memoryview(data)[: len(data) // 2])
            self.reach("half a write")
            return half + write(descriptor, memoryview(data)[half:])

        def halting_open(path: Any, flags: int, *more: Any, **words: Any) -> int:
            if flags & os.O_CREAT:
                self.reach("create")
            return create(path, flags, *more, **words)

        os.write, os.open = halting_write, halting_open  # type: ignore[assignment]

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **words: Any) -> Any:
            self.reach(name)
            return call(*arguments, **words)

        return counted


def run_until_idle(data: Path, die_at: int = 0) -> list[str]:
    """Run a worker on a data folder until no job is left; return the boundaries that it passed.

    For a process of its own: it changes the module `os`, and it does not return if it reaches boundary `die_at`.
    """
    boundaries = Boundaries(die_at)
    job_runs.EVENT_SECONDS = float("inf")  # progress by the clock would make boundaries that come and go
    worker = Worker(Settings(data=data, device="emulator", threads=1))
    begin = Database.transaction

    @contextmanager
    def transaction(self: Database) -> Iterator[Any]:
        boundaries.reach("begin")
        with begin(self) as db:
            yield db
            boundaries.reach("commit")
        boundaries.reach("committed")
        (left,) = self.read().execute("SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')").fetchone()
        if not left:
            worker.stop()

    Database.transaction = transaction  # type: ignore[method-assign]
    boundaries.watch()
    worker.run()
    return boundaries.names
