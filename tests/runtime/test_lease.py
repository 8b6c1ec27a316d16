"""The lease: one process at a time, whoever it is, and nobody after its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from strop.runtime import lease
from strop.runtime.errors import DeviceBusy, DeviceUnavailable
from strop.runtime.lease import Lease, lease_folder

HOLD = """
import sys
from strop.runtime.lease import Lease
held = Lease("pynq-z2")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Locks of this test's own."""
    monkeypatch.setenv("STROP_LEASES", str(tmp_path))
    return tmp_path


def another_process() -> subprocess.Popen[str]:
    """Return a process that has the lease."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, "holder's argument"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_learns_who_has_the_board() -> None:
    """Protects two trainings from one board: the message names process, command and time."""
    with another_process() as process:
        with pytest.raises(DeviceBusy, match=rf"pynq-z2 is held by process {process.pid} \(.*holder.*\) since 20\d\d-"):
            Lease("pynq-z2")
        Lease("zcu104").release()  # another board is free
        process.communicate()
    Lease("pynq-z2").release()


def test_a_killed_process_leaves_the_board_free() -> None:
    """Protects from a lock that must be removed by hand: the system ends it with the process."""
    with another_process() as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        Lease("pynq-z2").release()


def test_a_process_is_not_let_in_twice() -> None:
    """Protects a board from two devices of one program; a released lease can be had again."""
    held = Lease("kv260")
    with pytest.raises(DeviceBusy, match=f"held by process {os.getpid()} "):
        Lease("kv260")
    held.release()
    held.release()
    Lease("kv260").release()


def test_a_holder_that_does_not_say_who_it_is(folder: Path) -> None:
    """Protects the second taker from a lock file that another program, or a full disk, left without a holder."""
    held = Lease("kv260")
    for content in ("", "{", "[1]", '{"pid": "x", "command": 1, "since": 2}'):
        (folder / "strop-kv260.lock").write_text(content, encoding="utf-8")
        with pytest.raises(DeviceBusy, match="held by a process that does not say who it is"):
            Lease("kv260")
    held.release()


def test_a_child_process_does_not_keep_the_board() -> None:
    """Protects from a forked worker that outlives the training: releasing frees the board for everybody."""
    held = Lease("kv260")
    child = os.fork()
    if child == 0:
        signal.pause()
    try:
        held.release()
        Lease("kv260").release()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_full_disk_does_not_keep_the_board(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects from a lock without a note: the lock counts, the next one is told that its holder is not known."""

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lease.os, "pwrite", full)
    held = Lease("kv260")
    with pytest.raises(DeviceBusy, match="does not say who it is"):
        Lease("kv260")
    held.release()
    Lease("kv260").release()


def test_every_user_may_lock(folder: Path) -> None:
    """Protects the second user of a board from the first one's umask."""
    before = os.umask(0o077)
    try:
        Lease("kv260").release()
    finally:
        os.umask(before)
    assert (folder / "strop-kv260.lock").stat().st_mode & 0o777 == 0o666


def test_a_folder_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Protects from training without a lock: the message names the file and the variable."""
    monkeypatch.setenv("STROP_LEASES", str(tmp_path / "missing"))
    with pytest.raises(DeviceUnavailable, match="strop-kv260.lock cannot be opened .* STROP_LEASES"):
        Lease("kv260")


def test_all_users_look_in_one_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Protects the lock's meaning: without the variable the folder is the machine's, never the user's."""
    monkeypatch.delenv("STROP_LEASES")
    monkeypatch.setattr(lease, "SYSTEM_LOCKS", tmp_path)
    assert lease_folder() == tmp_path
    monkeypatch.setattr(lease, "SYSTEM_LOCKS", tmp_path / "missing")
    assert lease_folder().is_dir()
