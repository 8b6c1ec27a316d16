"""Fixtures that all tests share: devices. One suite runs on every device; a stale kernel is refused.

STROP_TEST_DEVICE=board runs what is marked `board` on the board of this machine, and leaves a report (board_report.py).
"""

from __future__ import annotations

import os

# The reference multiplies small matrices: BLAS threads only wait for each other there. Before numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import importlib.util
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from board_report import BoardReport
from strop.runtime.device import Device, open_device
from strop.runtime.emulator import EmulatorDevice, supported_instruction_sets

_ROOT = Path(__file__).resolve().parent.parent
# Started in the background, the tests may find SIGINT ignored; those of Ctrl-C, and their children, need it.
signal.signal(signal.SIGINT, signal.default_int_handler)

ON_HARDWARE = os.environ.get("STROP_TEST_DEVICE") == "board"
HAS_PYNQ = importlib.util.find_spec("pynq") is not None  # in environments of its own: it needs an old numpy


def _devices() -> list[Any]:
    """The devices that the suite runs on: the board alone, or all that there are on a laptop."""
    if ON_HARDWARE:
        return [pytest.param("board", marks=pytest.mark.board)]
    emulated = [pytest.param("emulated-board", marks=pytest.mark.board)] if HAS_PYNQ else []
    return ["reference", "emulator", *emulated]


DEVICES = _devices()


def pytest_configure(config: pytest.Config) -> None:
    """Stop if the compiled kernel is older than its sources: the tests would speak of another program."""
    if ON_HARDWARE:
        config.pluginmanager.register(BoardReport(), "board-report")
        return  # a board's kernel is compiled by Vivado; that of the emulator may be missing there
    from strop.runtime import _kernel

    compiled = Path(_kernel.__file__)
    if _ROOT not in compiled.parents:
        return  # an installed wheel
    newest = max((p for p in (_ROOT / "hls").rglob("*.[hc]*") if p.suffix in (".h", ".hpp", ".cpp")), key=_changed)
    if _changed(newest) > _changed(compiled):
        raise pytest.UsageError(f"{newest.relative_to(_ROOT)} is newer than the compiled kernel; run: make install")


def _changed(path: Path) -> float:
    return path.stat().st_mtime


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    """Each device in turn, fresh."""
    opened = open_device(request.param, threads=2 if request.param == "emulator" else None)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def emulators() -> Iterator[list[EmulatorDevice]]:
    """The emulator in every way that this machine can run it: each instruction set, and one and three threads."""
    opened = [EmulatorDevice(threads=1, instruction_set=name) for name in supported_instruction_sets()]
    opened.append(EmulatorDevice(threads=3))
    yield opened
    for emulator in opened:
        emulator.close()


@pytest.fixture
def one_step_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Queues of one mini-batch, as networks have whose steps take long: for tests that count single steps."""
    monkeypatch.setattr("strop.runtime.arena_plan.MAX_QUEUE", 1)
