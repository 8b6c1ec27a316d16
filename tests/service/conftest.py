"""Services to test: the application in this process without a worker, and a real server process with one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("fastapi", reason="the service's packages are not installed: pip install '.[service]'")

from fastapi.testclient import TestClient  # noqa: E402

from strop.service.app import create_app  # noqa: E402
from strop.service.settings import Settings  # noqa: E402

READY_SECONDS = 60.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings on a data folder of this test's own."""
    return Settings(data=tmp_path / "data", device="emulator", threads=1)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """A client of the application in this process. No worker runs: jobs wait."""
    with TestClient(create_app(settings), raise_server_exceptions=False) as opened:
        yield opened


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Server:
    """A real `strop serve` on a data folder, in a process of its own."""

    data: Path
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, wait: bool = True) -> Server:
        """Start it; return when it is ready, unless told not to wait."""
        words = {
            "STROP_DATA": str(self.data),
            "STROP_PORT": str(self.port),
            "STROP_DEVICE": "emulator",
            "STROP_THREADS": "1",
        }
        command = [
            sys.executable,
            "-c",
            "from strop.service.serve import serve; from strop.service.settings import Settings; serve(Settings())",
        ]
        log = (self.data.parent / "server.log").open("ab")
        self.process = subprocess.Popen(
            command, env={**os.environ, **words, **self.environment}, stdout=log, stderr=log
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
        raise AssertionError((self.data.parent / "server.log").read_text(encoding="utf-8")[-4000:])

    def worker_pid(self) -> int:
        """Return the worker's process id."""
        pid: int = httpx.get(f"{self.url}/device").json()["worker"]["pid"]
        return pid

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
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
            if job["state"] in ("succeeded", "failed", "cancelled"):
                return job
            time.sleep(0.02)
        raise AssertionError(f"{id} did not end: {job}")


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """A function that makes servers on this test's data folder: `make_server(STROP_X="y")`; they are stopped."""
    made: list[Server] = []

    def make(**environment: str) -> Server:
        server = Server(tmp_path / "data", environment)
        made.append(server)
        return server

    yield make
    for server in made:
        server.stop()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One ready server for tests that leave it usable."""
    opened = Server(tmp_path_factory.mktemp("server") / "data").start()
    yield opened
    opened.stop()
