"""The server's watch over its worker: started again, not too often, told to stop, and killed if it does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from strop.service import serve
from strop.service.folders import make_folder
from strop.service.serve import FOLDERS, WorkerProcess, make_folders
from strop.service.settings import Settings
from strop.service.store import worker as record
from strop.service.store.database import Database


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """The data folder's database."""
    opened = Database(settings.data / "strop.db")
    yield opened
    opened.close()


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A function that says what a worker is from now on: lines of a shell script, which count in the file "starts"."""

    def become(lines: str) -> None:
        script = tmp_path / "python"
        script.write_text(f"#!/bin/sh\necho >> '{tmp_path}/starts'\n{lines}\n")
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))

    return become


def starts(tmp_path: Path) -> int:
    """Return how often a worker was started."""
    file = tmp_path / "starts"
    return len(file.read_text().splitlines()) if file.exists() else 0


def wait_until(condition: Callable[[], object]) -> None:
    """Return once it holds."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_worker_that_ends_at_once_is_started_less_and_less_often(
    settings: Settings,
    database: Database,
    program: Callable[[str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Protects a box with a broken installation from spending itself on starting Python."""
    monkeypatch.setattr(serve, "FIRST_PAUSE", 0.1)
    program("exit 1")
    worker = WorkerProcess(settings, database)
    worker.start()
    time.sleep(1.2)  # after 0, 0.1, 0.3, 0.7, 1.5 s
    worker.stop()
    assert 2 <= starts(tmp_path) <= 4


def test_a_worker_that_has_worked_is_started_again_at_once(
    settings: Settings,
    database: Database,
    program: Callable[[str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Protects jobs on a box that ran for a year: a worker's death then is not counted with those of long ago."""
    monkeypatch.setattr(serve, "FIRST_PAUSE", 0.1)
    program("sleep 0.1; exit 1")
    worker = WorkerProcess(settings, database)
    spawn = subprocess.Popen

    def popen(*arguments: object, **words: object) -> object:
        process = spawn(*arguments, **words)  # type: ignore[call-overload]
        with database.transaction() as db:
            record.begin(db, process.pid)
            record.tell_device(db, {}, {"passed": True})
        return process

    monkeypatch.setattr(subprocess, "Popen", popen)
    worker.start()
    wait_until(lambda: starts(tmp_path) >= 6)  # with growing pauses that would take more than 3 s
    worker.stop()


def test_nothing_that_an_earlier_worker_wrote_is_believed(
    settings: Settings, database: Database, program: Callable[[str], None], tmp_path: Path
) -> None:
    """Protects /readyz after a reboot: a process id in the record may be any program's by then."""
    with database.transaction() as db:
        record.begin(db, os.getpid())
        record.tell_device(db, {"name": "emulator"}, {"passed": True})
    program("cat > /dev/null")
    worker = WorkerProcess(settings, database)
    worker.start()
    wait_until(lambda: starts(tmp_path))
    assert record.read(database.read()) is None
    worker.stop()


def test_a_worker_that_cannot_be_started_is_tried_again(
    settings: Settings,
    database: Database,
    program: Callable[[str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Protects from a moment without memory or processes: the watch goes on."""
    monkeypatch.setattr(serve, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    worker = WorkerProcess(settings, database)
    worker.start()
    time.sleep(0.1)
    program("cat > /dev/null")
    wait_until(lambda: starts(tmp_path) == 1)
    worker.stop()


def test_stop_tells_the_worker_and_waits_for_it(
    settings: Settings, database: Database, program: Callable[[str], None], tmp_path: Path
) -> None:
    """Protects the checkpoint of the job under way: the worker's input closes, and it has time to write."""
    program(f"cat > /dev/null; sleep 0.3; echo > '{tmp_path}/written'")
    worker = WorkerProcess(settings, database)
    worker.start()
    wait_until(lambda: starts(tmp_path))
    worker.stop()
    assert (tmp_path / "written").exists() and starts(tmp_path) == 1


def test_a_worker_that_does_not_stop_is_killed(
    settings: Settings,
    database: Database,
    program: Callable[[str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Protects the 10 s of `systemctl stop` from a hung device."""
    monkeypatch.setattr(serve, "STOP_SECONDS", 0.3)
    program("exec sleep 60")
    worker = WorkerProcess(settings, database)
    worker.start()
    wait_until(lambda: worker._process is not None)
    process = worker._process
    asked = time.monotonic()
    worker.stop()
    assert time.monotonic() - asked < 2
    assert process is not None and process.returncode == -signal.SIGKILL


def test_none_is_started_once_it_was_asked_to_stop(
    settings: Settings, database: Database, program: Callable[[str], None], tmp_path: Path
) -> None:
    """Protects from a worker that comes up while its server goes down."""
    program("cat > /dev/null")
    worker = WorkerProcess(settings, database)
    worker.ask_stop()
    worker.start()
    worker.stop()
    assert starts(tmp_path) == 0


def test_folders_are_synced_into_those_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects files from losing the folder that they lie in: each folder's name is on the disk before it is used."""
    synced: list[Path] = []
    monkeypatch.setattr("strop.service.folders.sync_to_disk", synced.append)
    assert make_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert synced == [tmp_path, tmp_path / "a"] and (tmp_path / "a" / "b").is_dir()
    make_folder(tmp_path / "a" / "b")
    assert synced[2:] == [tmp_path / "a"]
    make_folders(Settings(data=tmp_path / "data"))
    assert {path.name for path in (tmp_path / "data").iterdir()} == set(FOLDERS)
