"""The `strop` command called in-process, against a real service."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from strop.host.cli import main


@dataclass(frozen=True)
class Ran:
    """What a command did: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout; anything else there makes this fail."""
        found: dict[str, Any] = json.loads(self.out)
        return found


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """`cli("jobs", "list")` runs the command in an empty working folder; no variable of the environment changes it."""
    monkeypatch.chdir(tmp_path)
    for name in ("URL", "KEY", "CONFIG", "DATA", "HOST", "PORT", "DEVICE"):
        monkeypatch.delenv(f"STROP_{name}", raising=False)

    def run(*words: object) -> Ran:
        capfd.readouterr()
        code = main([str(word) for word in words])
        return Ran(code, *capfd.readouterr())

    return run


@pytest.fixture
def on(server: Any) -> tuple[str, str]:
    """The words that send a command to a service that is ready."""
    return "--on", server.url
