"""Services to test: the application in this process without a worker, and a real server process with one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the service's packages are not installed: pip install '.[service]'")

from fastapi.testclient import TestClient

from running_server import Server
from strop.service.app import create_app
from strop.service.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings on a data folder of this test's own."""
    return Settings(data=tmp_path / "data", device="emulator", threads=1)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """A client of the application in this process. No worker runs: jobs wait."""
    with TestClient(create_app(settings), raise_server_exceptions=False) as opened:
        yield opened


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
