"""The report of a test run on a board: what its owner sends back. Written by the tests, printed at their end.

make test-board        on the board, as root
"""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path
from typing import Any

import pytest

from strop.runtime.contract import C
from strop.runtime.device import open_device

REPORT = Path("board-report.json")


class BoardReport:
    """A pytest plugin that notes every outcome and what tests recorded with `record_property`."""

    def __init__(self) -> None:
        self._began = time.time()
        self._board = _board()
        self._tests: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test once: its call, or the set-up that failed or skipped it. A board may hang at the next one."""
        if report.when == "call" or report.outcome != "passed":
            entry: dict[str, Any] = {"test": report.nodeid, "outcome": report.outcome, "seconds": report.duration}
            entry |= dict(report.user_properties)
            if report.outcome != "passed":
                entry["said"] = report.longreprtext[-2000:]
            self._tests.append(entry)
            REPORT.write_text(json.dumps({**self._summary(), "tests": self._tests}, indent=1), encoding="utf-8")

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say what the report says, and where it is."""
        terminalreporter.section("board report")
        terminalreporter.write_line(json.dumps(self._summary(), indent=1))
        terminalreporter.write_line(f"Please send {REPORT.resolve()} to strop's developers.")

    def _summary(self) -> dict[str, Any]:
        outcomes = [test["outcome"] for test in self._tests]
        return {
            "schema": "strop.board-report/1",
            "board": self._board,
            "machine": platform.platform(),
            "python": platform.python_version(),
            "contract_version": C.CONTRACT_VERSION,
            "numerics_version": C.NUMERICS_VERSION,
            "seconds": round(time.time() - self._began, 1),
            "passed": outcomes.count("passed"),
            "failed": outcomes.count("failed"),
            "skipped": outcomes.count("skipped"),
        }


def _board() -> dict[str, str]:
    """Return what the board says of itself, or why it does not."""
    try:
        device = open_device("board")
    except Exception as error:  # whatever it is, it belongs in the report
        return {"error": f"{type(error).__name__}: {error}"}
    facts = {"device": device.description, **getattr(device, "facts", {})}
    device.close()
    return facts
