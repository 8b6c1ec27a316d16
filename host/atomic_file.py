"""Files that are there whole or not at all, also after a power cut: temporary file, fsync, rename, fsync of folder."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from strop.runtime.whole_folder import sync_to_disk

CHUNK_BYTES = 1 << 20


def write_atomically(path: str | Path, parts: Iterable[bytes]) -> Path:
    """Write `parts` as the file `path`, replacing an earlier one in a single step; return its path, links resolved.

    Whatever goes wrong before that step, the earlier file stays as it was and the temporary file (`.name.<8 hex>.part`,
    in the same folder) is removed; what a killed writer left there, the next one removes. Raises OSError. An fsync that
    failed is not tried again: after one, the kernel may have dropped the pages and call the next a success.
    """
    target = Path(os.path.realpath(path))  # through a symbolic link: the link stays, its target is replaced
    _remove_leftovers(target)
    descriptor, temporary = _create(target)
    try:
        for part in parts:
            _write_all(descriptor, part)
        os.fsync(descriptor)
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    finally:
        os.close(descriptor)
    sync_to_disk(target.parent)
    return target


def why_not_writable(path: str | Path) -> str | None:
    """Return why a file could not be written at `path`, with the remedy; None where nothing speaks against it."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        return f"{path} is a folder; name a file in it"
    if not target.parent.is_dir():
        return f"the folder {target.parent} does not exist; make it first (mkdir -p {target.parent})"
    if not os.access(target.parent, os.W_OK | os.X_OK):
        return f"the folder {target.parent} is not writable for this user; take another one or change its permissions"
    return None


def _create(target: Path) -> tuple[int, Path]:
    """Return a new file beside `target`, locked: the lock is how others see that its writer lives."""
    while True:
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        with suppress(OSError):  # a file system without locks: then nobody can lock, and nobody cleans up
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, temporary
        os.close(descriptor)  # another writer took it for a leftover before the lock was held


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view[:CHUNK_BYTES]) :]


def _remove_leftovers(target: Path) -> None:
    """Remove temporary files for `target` whose writers are dead: the system gave their locks back."""
    leftover = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}\.part")
    for entry in os.scandir(target.parent):
        if not leftover.fullmatch(entry.name):
            continue
        with suppress(OSError):
            descriptor = os.open(entry.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(entry.path)
            finally:
                os.close(descriptor)
