"""The whole API under generated requests: Schemathesis reads the OpenAPI document and tries to break its promises."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from running_server import Server
from strop.service.security.keys import make_key
from strop.service.store.database import Database

SECONDS = 40  # of fuzzing and stateful tests together, which go on until they are over
EVENTS = "/jobs/{id}/events"  # a stream that lasts as long as its job: asked for pages only, below
UNCHECKED = (
    # what fits the schema may still be refused: data of a shape that the model does not take, a name that is taken
    "positive_data_acceptance",
    # a sample that cannot be used is accepted into quarantine: it has an id, and is no sample
    "ensure_resource_availability",
)


def schemathesis() -> list[str] | None:
    """Return the command, None where Schemathesis is not installed."""
    found = shutil.which("schemathesis")
    if found is not None:
        return [found]
    return [sys.executable, "-m", "schemathesis.cli"] if importlib.util.find_spec("schemathesis") else None


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(schemathesis() is None, reason="Schemathesis is not installed: pip install schemathesis"),
]


@pytest.fixture
def guarded(make_server: Callable[..., Server]) -> Iterator[tuple[Server, str]]:
    """A real server on a fresh data folder, and an admin key: requests that make keys would lock others out."""
    server = make_server(STROP_REQUESTS_PER_MINUTE="1000000")
    database = Database(server.data / "strop.db")
    with database.transaction() as db:
        _, token = make_key(db, "schemathesis", ["admin"])
    database.close()
    yield server.start(), token


def run(server: Server, token: str, folder: Path, seconds: int, *arguments: str) -> None:
    """Run Schemathesis for some time; a failure shows its report."""
    command = [
        *(schemathesis() or []),
        *("run", f"{server.url}/openapi.json", "--header", f"Authorization: Bearer {token}"),
        *("--exclude-checks", ",".join(UNCHECKED), "--continue-on-failure", "--no-color", "--warnings", "off"),
        *("--request-timeout", "20", "--seed", "1", "--max-time", str(seconds), *arguments),
    ]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stdout[-20_000:] + result.stderr[-2000:]
    assert "0 operations" not in result.stdout
    log = server.log.read_text(encoding="utf-8")
    assert '"traceback"' not in log, log[-5000:]


def test_no_request_breaks_the_service(guarded: tuple[Server, str], tmp_path: Path) -> None:
    """Protects every route: whatever is sent, no failure, no status, header or body that the document does not have."""
    run(*guarded, tmp_path, SECONDS, "--max-examples", "20", "--exclude-path", EVENTS)


def test_pages_of_events_hold_their_promises(guarded: tuple[Server, str], tmp_path: Path) -> None:
    """Protects the one route that the test above leaves out."""
    accept = ("--header", "Accept: application/json")
    run(*guarded, tmp_path, 10, "--include-path", EVENTS, "--phases", "coverage,fuzzing", *accept)
