"""The lease: one process at a time has a board, by an operating-system lock that ends with the process.

PYNQ itself keeps nobody out: two processes that program one board wreck each other's training. The lock is a file that
says who holds it, so that the second taker learns whom to ask.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from strop.runtime.errors import DeviceBusy, DeviceUnavailable

SYSTEM_LOCKS = Path("/run/lock")  # world-writable on Debian and Ubuntu, which PYNQ's images are, and empty after a boot
MOST_OF_A_COMMAND = 200  # characters


def lease_folder() -> Path:
    """Return where lock files lie: $STROP_LEASES, else /run/lock, else the folder for temporary files.

    All who share a board must look in one place, so nothing here depends on the user.
    """
    if named := os.environ.get("STROP_LEASES"):
        return Path(named)
    return SYSTEM_LOCKS if SYSTEM_LOCKS.is_dir() else Path(tempfile.gettempdir())


class Lease:
    """The right to use what is called `name`, from construction to `release` or to the end of the process.

    what: its name for people, where that is another one. folder: of the lock file, where it is not a machine's.

    Raises `DeviceBusy`, with the holder's process, command and time, and `DeviceUnavailable` where no lock can be had.
    """

    def __init__(self, name: str, what: str | None = None, folder: Path | None = None) -> None:
        self.name = name
        self._taken_by = os.getpid()
        self.path = (folder or lease_folder()) / f"strop-{name}.lock"
        self._file: int | None = _open(self.path)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _holder(self._file)
            self.release()
            if not isinstance(error, BlockingIOError):
                raise DeviceUnavailable(
                    f"{self.path} cannot be locked ({error.strerror}); name a folder on a local disk in STROP_LEASES"
                ) from error
            raise DeviceBusy(
                f"{what or name} is held by {holder}; wait until it ends, or stop it with Ctrl-C or SIGTERM: one "
                "process at a time has a board"
            ) from None
        try:
            _write_holder(self._file)
        except OSError:  # a full disk; the lock counts, and who asks is told that its holder is not known
            pass
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let the next one have it. May be repeated."""
        if self._file is not None:
            if os.getpid() == self._taken_by:  # a child process has the same lock, and must not end it for us
                fcntl.flock(self._file, fcntl.LOCK_UN)
            os.close(self._file)  # the file itself stays, so that all who come lock the same one
            self._file = None


def _open(path: Path) -> int:
    """Open the lock file, for every user. Where it exists it is not created: Linux refuses that for a file of somebody
    else's in a folder such as /run/lock."""
    try:
        try:
            return os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            os.fchmod(file, 0o666)  # whatever the umask of the first user
            return file
    except OSError as error:
        raise DeviceUnavailable(
            f"the lock file {path} cannot be opened ({error.strerror}); run as the user who made it, or name a folder "
            "that all users of the board can write in STROP_LEASES"
        ) from error


def _write_holder(file: int) -> None:
    command = shlex.join(sys.argv)[:MOST_OF_A_COMMAND]
    since = datetime.now(timezone.utc).isoformat(timespec="seconds")
    text = json.dumps({"pid": os.getpid(), "command": command, "since": since})
    os.ftruncate(file, 0)
    os.pwrite(file, text.encode(), 0)


def _holder(file: int) -> str:
    """Return who holds the lock, in words. The holder may be writing, or may be another program."""
    try:
        found = json.loads(os.pread(file, 4096, 0))
        return f"process {int(found['pid'])} ({found['command']}) since {found['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that does not say who it is"
