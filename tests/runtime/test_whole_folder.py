"""Folders are there whole or not at all, through exceptions, kills, and file systems that cannot exchange two."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from strop.runtime import whole_folder
from strop.runtime.whole_folder import hidden_folder, put_in_place


def fill(folder: Path, text: str) -> None:
    (folder / "one").write_text(text, encoding="utf-8")
    (folder / "two").write_text(text, encoding="utf-8")


def texts(folder: Path) -> set[str]:
    return {path.read_text(encoding="utf-8") for path in folder.iterdir()}


def install(target: Path, text: str) -> None:
    with hidden_folder(target.parent) as folder:
        fill(folder, text)
        put_in_place(folder, target)


def test_a_folder_is_made_and_replaced(tmp_path):
    """Protects the plain case: the new content is there, and nothing else is left in the store."""
    install(tmp_path / "board", "first")
    assert texts(tmp_path / "board") == {"first"}
    install(tmp_path / "board", "second")
    assert texts(tmp_path / "board") == {"second"} and [path.name for path in tmp_path.iterdir()] == ["board"]


@pytest.mark.parametrize("error", [ValueError("wrong"), KeyboardInterrupt()])
def test_what_fails_before_leaves_the_earlier_one(error, tmp_path):
    """Protects a working board: a folder that turned out wrong disappears, the earlier one is untouched."""
    install(tmp_path / "board", "first")
    with pytest.raises(type(error)), hidden_folder(tmp_path) as folder:
        fill(folder, "second")
        raise error
    assert texts(tmp_path / "board") == {"first"} and [path.name for path in tmp_path.iterdir()] == ["board"]


def test_without_an_exchange_two_renames_do(tmp_path, monkeypatch):
    """Protects file systems such as NFS: the same result, and the earlier folder back where the second rename fails."""
    install(tmp_path / "board", "first")
    monkeypatch.setattr(whole_folder, "_exchange", lambda one, other: False)
    install(tmp_path / "board", "second")
    assert texts(tmp_path / "board") == {"second"} and [path.name for path in tmp_path.iterdir()] == ["board"]
    original = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if self.suffix == ".part":
            raise OSError(errno.EIO, "broken")
        return original(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OSError, match="broken"):
        install(tmp_path / "board", "third")
    assert texts(tmp_path / "board") == {"second"} and [path.name for path in tmp_path.iterdir()] == ["board"]


def test_only_what_cannot_be_exchanged_falls_back(tmp_path):
    """Protects from hiding real failures: an exchange with nothing is an error, not a reason to rename."""
    with pytest.raises(FileNotFoundError):
        whole_folder._exchange(tmp_path / "nothing", tmp_path / "nobody")


def test_a_link_is_replaced_and_its_target_left(tmp_path):
    """Protects who linked a build folder into the store: the link goes, the build stays."""
    (tmp_path / "store").mkdir()
    (tmp_path / "build").mkdir()
    fill(tmp_path / "build", "first")
    (tmp_path / "store" / "board").symlink_to(tmp_path / "build")
    install(tmp_path / "store" / "board", "second")
    assert texts(tmp_path / "store" / "board") == {"second"} and texts(tmp_path / "build") == {"first"}
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["board"]


KILLED = """
import os, signal, sys
from pathlib import Path
from strop.runtime import whole_folder

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

store, where = Path(sys.argv[1]), sys.argv[2]
if where != "filling":
    setattr(whole_folder, where, die)
with whole_folder.hidden_folder(store) as folder:
    (folder / "one").write_text("second")
    if where == "filling":
        die()
    (folder / "two").write_text("second")
    whole_folder.put_in_place(folder, store / "board")
"""


@pytest.mark.parametrize("where", ["filling", "sync_to_disk", "_exchange"])
def test_a_kill_leaves_the_earlier_one(where, tmp_path):
    """Protects against a power cut or an impatient user: no half folder; the next writer cleans up behind the dead."""
    install(tmp_path / "board", "first")
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), where], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert texts(tmp_path / "board") == {"first"}
    assert len(list(tmp_path.glob(".incoming.*.part"))) == 1
    install(tmp_path / "board", "third")
    assert texts(tmp_path / "board") == {"third"} and [path.name for path in tmp_path.iterdir()] == ["board"]


def test_the_living_are_left_alone(tmp_path):
    """Protects two installs at once: what another process is filling is no leftover; what it left unlocked is one."""
    busy, dead = tmp_path / ".incoming.00000000.part", tmp_path / ".incoming.00000001.part"
    busy.mkdir()
    dead.mkdir()
    descriptor = os.open(busy, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    install(tmp_path / "board", "first")
    assert busy.is_dir() and not dead.exists()
    os.close(descriptor)
