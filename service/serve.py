"""`strop serve`: one process that answers, and one worker that it starts, watches and starts again."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading

import uvicorn

from strop.service.app import create_app
from strop.service.logs import configure
from strop.service.settings import Settings

LOG = logging.getLogger("strop.serve")
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0  # seconds before a worker that died is started again
STOP_SECONDS = 10.0  # a worker that is told to stop needs a mini-batch and a checkpoint


class WorkerProcess:
    """The worker of a data folder, kept running in a process of its own until `stop`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher = threading.Thread(target=self._watch, name="worker-watch", daemon=True)

    def start(self) -> None:
        """Start it, and watch over it."""
        self._watcher.start()

    def stop(self) -> None:
        """End it; a job that it runs goes on when a worker is there again."""
        self._stopping.set()
        process = self._process
        if process is not None and process.stdin is not None:
            process.stdin.close()  # which it takes as the end of the server
        self._watcher.join(STOP_SECONDS)
        if process is not None and process.poll() is None:
            process.kill()

    def _watch(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            self._process = self._spawn()
            code = self._process.wait()
            if self._stopping.is_set():
                return
            LOG.error("the worker ended and is started again", extra={"fields": {"code": code, "pause": pause}})
            self._stopping.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _spawn(self) -> subprocess.Popen[bytes]:
        words = self._settings.model_dump(mode="json", exclude_none=True)
        environment = {**os.environ, **{f"STROP_{name.upper()}": str(value) for name, value in words.items()}}
        command = [sys.executable, "-m", "strop.service.worker"]
        return subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    configure()
    app = create_app(settings)
    worker = WorkerProcess(settings)
    worker.start()
    try:
        uvicorn.run(app, host=settings.host, port=settings.port, log_config=None, timeout_graceful_shutdown=5)
    finally:
        worker.stop()
