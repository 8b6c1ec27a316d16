"""The command for a board's owner: the same assertions on the board, and a report to send back. Here it is emulated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from board_kinds import KINDS

ROOT = Path(__file__).resolve().parents[3]
PATHS = [ROOT / "tests/runtime/board", ROOT / "tests/runtime"]


def run_on_hardware(folder: Path, *arguments: str, plugin: bool = True) -> tuple[int, dict]:
    """Run tests as `make test-board` does, in `folder`; return the exit code and the report."""
    environment = {**os.environ, "STROP_TEST_DEVICE": "board", "PYTHONPATH": os.pathsep.join(map(str, PATHS))}
    chosen = ["-p", "emulated_hardware"] if plugin else []
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen, "-m", "board", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert "board report" in done.stdout, done.stdout + done.stderr
    return done.returncode, json.loads((folder / "board-report.json").read_text(encoding="utf-8"))


def test_the_report_says_what_ran_where(tmp_path: Path) -> None:
    """Protects the way back from a board's owner: device, overlay, outcome and speed of every test are in one file."""
    code, report = run_on_hardware(
        tmp_path, f"{ROOT}/tests/runtime/board/test_device.py", f"{ROOT}/tests/runtime/test_device_runs.py"
    )
    assert code == 0
    assert report["failed"] == 0
    assert report["passed"] == len(report["tests"]) > 10
    assert report["board"]["device"].startswith("board: ")
    assert KINDS[0] in report["board"]["overlay"]
    (answers,) = [test for test in report["tests"] if test["test"].endswith("::test_known_answers")]
    assert answers["lenet5: images/s"] > 0
    assert all("[board" in test["test"] or "board/test_device.py" in test["test"] for test in report["tests"])


def test_without_a_board_the_report_says_so(tmp_path: Path) -> None:
    """Protects from a report that claims what did not run: on a laptop every test fails with the reason."""
    code, report = run_on_hardware(tmp_path, f"{ROOT}/tests/runtime/test_device_runs.py", plugin=False)
    assert code == 1
    assert report["passed"] == 0
    assert "PYNQ finds no board" in report["board"]["error"]
    assert "PYNQ finds no board" in report["tests"][0]["said"]
