"""Fixtures that all tests share: devices. One suite runs on every device; a stale kernel is refused."""

from __future__ import annotations

import os

# The reference multiplies small matrices: BLAS threads only wait for each other there. Before numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections.abc import Iterator
from pathlib import Path

import pytest

from strop.runtime.device import Device
from strop.runtime.emulator import EmulatorDevice, supported_instruction_sets
from strop.runtime.reference import ReferenceDevice

_ROOT = Path(__file__).resolve().parent.parent


def pytest_configure(config: pytest.Config) -> None:
    """Stop if the compiled kernel is older than its sources: the tests would speak of another program."""
    from strop.runtime import _kernel

    compiled = Path(_kernel.__file__)
    if _ROOT not in compiled.parents:
        return  # an installed wheel
    newest = max((p for p in (_ROOT / "hls").rglob("*.[hc]*") if p.suffix in (".h", ".hpp", ".cpp")), key=_changed)
    if _changed(newest) > _changed(compiled):
        raise pytest.UsageError(f"{newest.relative_to(_ROOT)} is newer than the compiled kernel; run: make install")


def _changed(path: Path) -> float:
    return path.stat().st_mtime


@pytest.fixture(params=["reference", "emulator"])
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    """Each device in turn, fresh."""
    opened: Device = ReferenceDevice() if request.param == "reference" else EmulatorDevice(threads=2)
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
    monkeypatch.setattr("strop.runtime.session.MAX_QUEUE", 1)
