"""`strop serve`: one process that answers, and one worker that it starts, watches and starts again."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from types import FrameType

import uvicorn

from strop.runtime.lease import Lease
from strop.service.app import create_app
from strop.service.dependencies import Service
from strop.service.folders import make_folder
from strop.service.logs import configure
from strop.service.settings import Settings
from strop.service.store import worker as record
from strop.service.store.database import Database

LOG = logging.getLogger("strop.serve")
FOLDERS = ("datasets", "jobs", "versions")
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0  # seconds before a worker that died is started again
ANSWER_SECONDS = 5  # for requests under way when the service is told to stop
STOP_SECONDS = 8.0  # for the worker, at the same time: a mini-batch and a checkpoint


def make_folders(settings: Settings) -> None:
    """Make the data folder and those in it, safe from power cuts, before anything is accepted."""
    for name in FOLDERS:
        make_folder(settings.data / name)


class WorkerProcess:
    """The worker of a data folder, kept running in a process of its own until `stop`."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings, self._database = settings, database
        self._stopping = threading.Event()
        self._asked: float | None = None
        self._lock = threading.Lock()  # of _process: none is started any more once it was asked to stop
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher = threading.Thread(target=self._watch, name="worker-watch", daemon=True)

    def start(self) -> None:
        """Start it, and watch over it."""
        self._watcher.start()

    def ask_stop(self) -> None:
        """Tell it to end, and return at once; a job that it runs goes on when a worker is there again."""
        self._stopping.set()
        with self._lock:
            if self._asked is None:
                self._asked = time.monotonic()
                if self._process is not None and self._process.stdin is not None:
                    self._process.stdin.close()  # which it takes as the end of the server

    def stop(self) -> None:
        """End it, if need be by SIGKILL `STOP_SECONDS` after it was asked."""
        self.ask_stop()
        assert self._asked is not None
        self._watcher.join(max(0.0, self._asked + STOP_SECONDS - time.monotonic()))
        if self._process is not None and self._process.poll() is None:
            LOG.error("the worker does not stop and is killed; its job goes on from its last checkpoint")
            self._process.kill()
            self._process.wait()

    def _watch(self) -> None:
        pause = FIRST_PAUSE
        while True:
            process = self._started()
            if process is None and self._stopping.is_set():
                return
            code = None if process is None else self._ended(process)
            if self._stopping.is_set():
                return
            if process is not None and self._has_worked(process.pid):
                pause = FIRST_PAUSE
            LOG.error("the worker ended and is started again", extra={"fields": {"code": code, "pause": pause}})
            self._stopping.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _started(self) -> subprocess.Popen[bytes] | None:
        """Start a worker, unless it is to be none or cannot be."""
        with self._lock:
            if self._stopping.is_set():
                return None
            try:
                with self._database.transaction() as db:
                    record.forget(db)  # its process id may be another program's by now, above all after a reboot
                environment = {**os.environ, **self._settings.environment()}
                command = [sys.executable, "-m", "strop.service.worker"]
                self._process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
                return self._process
            except (OSError, sqlite3.OperationalError):
                LOG.exception("the worker cannot be started")
                return None

    def _ended(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for a worker's end; return its exit status."""
        code = process.wait()
        with self._lock:
            assert process.stdin is not None
            process.stdin.close()
        return code

    def _has_worked(self, pid: int) -> bool:
        """Whether a worker came as far as to take jobs: what ended it is then no lasting fault of the installation."""
        try:
            found = record.read(self._database.read())
        except sqlite3.OperationalError:
            return False
        return found is not None and found.pid == pid and found.selftest is not None and bool(found.selftest["passed"])


class _HttpServer(uvicorn.Server):
    """Uvicorn, which tells worker and event streams of its end before it waits for its clients."""

    def __init__(self, config: uvicorn.Config, service: Service, worker: WorkerProcess) -> None:
        super().__init__(config)
        self._service, self._worker = service, worker

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the end; a second Ctrl-C waits for nobody. Uvicorn's own would raise the signal again afterwards, and
        that would be the end before the worker's."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End within `ANSWER_SECONDS`."""
        self._worker.ask_stop()
        self._service.stopping.set()
        await super().shutdown(sockets)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises `DeviceBusy` if another service has the data folder."""
    configure()
    make_folders(settings)
    lock = Lease("service", "the service's data folder", folder=settings.data)
    app = create_app(settings)
    service: Service = app.state.service
    worker = WorkerProcess(settings, service.database)
    config = uvicorn.Config(
        app, host=settings.host, port=settings.port, log_config=None, timeout_graceful_shutdown=ANSWER_SECONDS
    )
    worker.start()
    try:
        _HttpServer(config, service, worker).run()
    finally:
        worker.stop()
        lock.release()
