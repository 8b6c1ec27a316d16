"""A real `strop serve` in a process of its own: to start, kill, stop and ask."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

READY_SECONDS = 60.0
SERVE = "from strop.service.serve import serve; from strop.service.settings import Settings; serve(Settings())"
TERMINAL = ("succeeded", "failed", "cancelled")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Server:
    """A real `strop serve` on a data folder. `program` is what Python runs, for servers that are to misbehave."""

    data: Path
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    program: str = SERVE

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What server and worker wrote."""
        return self.data.parent / "server.log"

    def start(self, wait: bool = True) -> Server:
        """Start it; return when it is ready, unless told not to wait."""
        words = {
            "STROP_DATA": str(self.data),
            "STROP_PORT": str(self.port),
            "STROP_DEVICE": "emulator",
            "STROP_THREADS": "1",
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", self.program],
                env={**os.environ, **words, **self.environment},
                stdout=log,
                stderr=log,
            )
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self) -> None:
        """Return once /readyz says so."""
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(self.log.read_text(encoding="utf-8")[-4000:])

    def worker_pid(self) -> int:
        """Return the worker's process id."""
        pid: int = httpx.get(f"{self.url}/device").json()["worker"]["pid"]
        return pid

    def kill(self) -> None:
        """SIGKILL: what is in memory is gone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM, and wait for its end."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)

    def wait_job(self, id: str, seconds: float = 60.0) -> dict[str, Any]:
        """Return a job once it has ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            job: dict[str, Any] = httpx.get(f"{self.url}/jobs/{id}").json()
            if job["state"] in TERMINAL:
                return job
            time.sleep(0.02)
        raise AssertionError(f"{id} did not end: {job}")
