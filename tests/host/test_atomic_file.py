"""Atomic files: the old content or the new, whatever stops the writer and wherever."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from strop.host import atomic_file
from strop.host.atomic_file import why_not_writable, write_atomically

OLD, NEW = b"old" * 1000, [b"new" * 500, b"er" * 500]


def watch(patch: pytest.MonkeyPatch, before: Callable[[str, int], None]) -> list[str]:
    """Call `before` with name and index ahead of each system call that changes files; return those made."""
    made: list[str] = []

    def watched(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            before(name, len(made))
            made.append(name)
            return original(*args)

        return call

    for name in ("write", "fsync", "replace"):
        patch.setattr(atomic_file.os, name, watched(name, getattr(os, name)))
    return made


def test_order_of_what_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects from a power cut: content is on the disk before the name points to it, the name before we return."""
    made = watch(monkeypatch, lambda name, index: None)
    write_atomically(tmp_path / "file", NEW)
    assert made == ["write", "write", "fsync", "replace", "fsync"]
    assert (tmp_path / "file").read_bytes() == b"".join(NEW)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("failing", range(5))
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_whatever_fails_the_file_is_whole(
    failing: int, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the good file: when any one system call fails it is as it was, and no temporary file stays behind."""
    (tmp_path / "file").write_bytes(OLD)

    def fail(name: str, index: int) -> None:
        if index == failing:
            raise error

    made = watch(monkeypatch, fail)
    with pytest.raises(type(error)):
        write_atomically(tmp_path / "file", NEW)
    assert len(made) == failing, "a call that failed is not tried again"
    assert (tmp_path / "file").read_bytes() == (b"".join(NEW) if "replace" in made else OLD)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("killed", range(5))
def test_wherever_killed_the_file_is_whole(killed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the good file from SIGKILL ahead of each system call, and the folder from what the dead left there."""
    (tmp_path / "file").write_bytes(OLD)
    child = os.fork()
    if child == 0:  # no test's code must run on in here

        def die(name: str, index: int) -> None:
            if index == killed:
                os.kill(os.getpid(), 9)

        try:
            watch(monkeypatch, die)
            write_atomically(tmp_path / "file", NEW)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
    renamed = killed == 4
    assert (tmp_path / "file").read_bytes() == (b"".join(NEW) if renamed else OLD)
    assert len(os.listdir(tmp_path)) == (1 if renamed else 2)
    write_atomically(tmp_path / "file", [b"next"])
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"next"


def test_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    """Protects two processes that write the same file: neither takes the other's temporary file for a leftover."""

    def parts() -> Any:
        yield b"slow "
        write_atomically(tmp_path / "file", [b"quick"])
        assert (tmp_path / "file").read_bytes() == b"quick"
        yield b"writer"

    write_atomically(tmp_path / "file", parts())
    assert (tmp_path / "file").read_bytes() == b"slow writer"
    assert os.listdir(tmp_path) == ["file"]


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    """Protects files that only look a little like leftovers."""
    others = {".file.part", ".file.0123abcd.part.txt", ".other.0123abcd.part", "file.0123abcd.part"}
    for name in others:
        (tmp_path / name).touch()
    (tmp_path / ".file.0123abcd.part").touch()
    write_atomically(tmp_path / "file", [b""])
    assert set(os.listdir(tmp_path)) == others | {"file"}


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """Protects set-ups where the name is a link to a data partition."""
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data" / "file")
    assert write_atomically(tmp_path / "link", [b"x"]) == (tmp_path / "data" / "file").resolve()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "link").read_bytes() == b"x"


def test_a_full_disk_leaves_the_file(tmp_path: Path) -> None:
    """Protects the good file from a real refusal of the system, half-way: a limit on the size of files."""
    import resource
    import signal

    (tmp_path / "file").write_bytes(OLD)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
            try:
                write_atomically(tmp_path / "file", [bytes(3 << 20)])
            except OSError as error:
                code = 0 if error.errno == errno.EFBIG else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (tmp_path / "file").read_bytes() == OLD
    assert os.listdir(tmp_path) == ["file"]


def test_destinations_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    """Protects hours of training: what will fail at the end is said at the beginning, with the remedy."""
    assert why_not_writable(tmp_path / "file") is None
    assert "is a folder" in str(why_not_writable(tmp_path))
    assert "mkdir -p" in str(why_not_writable(tmp_path / "missing" / "file"))
