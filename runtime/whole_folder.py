"""Folders that are there whole or not at all: filled under a hidden name, then put in place in one step."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

AT_FDCWD, RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h
LEFTOVER = re.compile(r"\.incoming\.[0-9a-f]{8}\.part")
CANNOT_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EXDEV)


@contextmanager
def hidden_folder(parent: Path) -> Iterator[Path]:
    """Yield a new folder in `parent` to fill and to put in place; what is there afterwards is removed.

    It is locked while its writer lives: what a killed writer left behind, the next one removes. Raises OSError.
    """
    _remove_leftovers(parent)
    folder, descriptor = _create(parent)
    try:
        yield folder
    finally:
        os.close(descriptor)
        if folder.is_symlink():  # put_in_place took the place of a link
            folder.unlink()
        else:
            shutil.rmtree(folder, ignore_errors=True)


def put_in_place(folder: Path, target: Path) -> None:
    """Make `folder` the one at `target`, a path on the same file system; what was there is now at `folder`, or gone.

    Through a kill or a power cut, `target` is the earlier folder or the new one. (Where the file system cannot exchange
    two folders, there are two renames, and for a moment neither is in place: the earlier one is then called
    `folder` with .old behind.) Raises OSError; the earlier folder is in place then.
    """
    for entry in folder.iterdir():
        sync_to_disk(entry)
    sync_to_disk(folder)
    if not target.is_dir():
        folder.rename(target)
    elif not _exchange(folder, target):
        aside = folder.with_suffix(".old")
        target.rename(aside)
        try:
            folder.rename(target)
        except BaseException:
            aside.rename(target)
            raise
        shutil.rmtree(aside, ignore_errors=True)
    sync_to_disk(target.parent)


def _create(parent: Path) -> tuple[Path, int]:
    """Return a new folder, locked."""
    while True:
        folder = parent / f".incoming.{secrets.token_hex(4)}.part"
        folder.mkdir()
        with suppress(FileNotFoundError):  # another writer took it for a leftover before the lock was held
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            with suppress(OSError):  # a file system without locks: then nobody can lock, and nobody cleans up
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.is_dir():
                return folder, descriptor
            os.close(descriptor)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; return False where the system or the file system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    rename.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    if rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0:
        return True
    reason = ctypes.get_errno()
    if reason in CANNOT_EXCHANGE:
        return False
    raise OSError(reason, os.strerror(reason), str(other))


def sync_to_disk(path: Path) -> None:
    """Let a file, or a folder's entries, survive a power cut. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot sync folders says so by EINVAL
            raise
    finally:
        os.close(descriptor)


def _remove_leftovers(parent: Path) -> None:
    """Remove hidden folders whose writers are dead: the system gave their locks back."""
    for path in parent.iterdir():
        if not LEFTOVER.fullmatch(path.name):
            continue
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
            finally:
                os.close(descriptor)
