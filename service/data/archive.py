"""Zip archives of strangers: everything that the directory claims is judged before anything is inflated.

Nothing is ever extracted to a path. Names are judged all the same: an archive that tries has no business here.
"""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from strop.host.data.bounded import DEFLATE_MAX_RATIO
from strop.host.data.npz import ENCRYPTED, FOREIGN_ERRORS
from strop.service.data.limits import MAX_DIRECTORY_BYTES, MAX_MEMBERS, MAX_NAME_CHARACTERS
from strop.service.problems import Problem

DIRECTORY_ENTRY = b"PK\x01\x02"
STRONG_ENCRYPTION = 0x40
UNIX = 3  # create_system: the upper half of external_attr is then a file's mode


class Archive:
    """A zip archive whose members are harmless in name and size. `limit` bounds what they inflate to, together.

    Raises `Problem`: archive_bomb, dataset_invalid, or format_unsupported where it is no zip archive.
    """

    def __init__(self, file: IO[bytes], limit: int) -> None:
        self._size = file.seek(0, io.SEEK_END)
        file.seek(0)
        bounded = _Bounded(file)
        try:
            self._zip = zipfile.ZipFile(bounded)
        except FOREIGN_ERRORS as error:
            raise _unreadable(file, error) from error
        bounded.opening = False
        self.members = self._zip.infolist()
        total = sum(member.file_size for member in self.members)
        if total > limit:
            raise Problem("archive_bomb", f"the archive inflates to {total} bytes; allowed are {limit}", limit=limit)
        names = set()
        for member in self.members:
            self._check(member)
            if member.filename in names:
                raise invalid(f"two members are named {member.filename!r}")
            names.add(member.filename)

    def open(self, member: zipfile.ZipInfo) -> IO[bytes]:
        """Return a member to read in bounded steps; reading raises `FOREIGN_ERRORS` where it is damaged."""
        return self._zip.open(member)

    def _check(self, member: zipfile.ZipInfo) -> None:
        name = member.filename
        fault = _name_fault(member)
        if fault is not None:
            raise invalid(f"the archive has a member {name[:MAX_NAME_CHARACTERS]!r}, whose name {fault}")
        if member.create_system == UNIX and stat.S_ISLNK(member.external_attr >> 16):
            raise invalid(f"{name!r} is a link; put the file itself into the archive")
        if member.flag_bits & (ENCRYPTED | STRONG_ENCRYPTION):
            raise invalid(f"{name!r} is encrypted; make the archive without a password")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Problem("format_unsupported", f"{name!r} has the compression method {member.compress_type}")
        if member.header_offset + member.compress_size > self._size:
            raise invalid(f"{name!r} claims {member.compress_size} bytes of an archive that has {self._size}")
        if member.compress_type == zipfile.ZIP_STORED and member.file_size != member.compress_size:
            raise invalid(f"{name!r} is stored in {member.compress_size} bytes and claims {member.file_size}")
        if member.file_size > member.compress_size * DEFLATE_MAX_RATIO:
            raise Problem(
                "archive_bomb",
                f"{name!r} claims {member.file_size} bytes in {member.compress_size} compressed ones, "
                f"more than deflate can hold",
            )


def invalid(detail: str) -> Problem:
    """Return the refusal of an upload that cannot be made a data set."""
    return Problem("dataset_invalid", detail)


@contextmanager
def damage_told(where: str) -> Iterator[None]:
    """Let what zipfile and zlib raise on damaged bytes be a `Problem` dataset_invalid."""
    try:
        yield
    except FOREIGN_ERRORS as error:
        raise invalid(f"{where} cannot be read: {str(error) or type(error).__name__}") from error


def _name_fault(member: zipfile.ZipInfo) -> str | None:
    name = member.filename
    parts = name.split("/")
    if len(name) > MAX_NAME_CHARACTERS:
        return f"has {len(name)} characters; allowed are {MAX_NAME_CHARACTERS}"
    if member.orig_filename != name or "\\" in name or not name.isprintable():
        return "has characters that no name needs"
    if not name or name.startswith("/") or ".." in parts or name[1:2] == ":":
        return "leads out of the archive"
    return None


def _unreadable(file: IO[bytes], error: Exception) -> Problem:
    file.seek(0)
    if file.read(2) != b"PK":
        return Problem("format_unsupported", "the body is no zip archive, which .npz files are, too")
    return invalid(f"the archive cannot be read: {str(error) or type(error).__name__}")


class _Bounded(io.RawIOBase):
    """A file whose zip directory has a bounded number of entries: zipfile reads it in one piece, however long."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.opening = True

    def read(self, size: int = -1, /) -> bytes:
        if not self.opening:
            return self._file.read(size)
        if size > MAX_DIRECTORY_BYTES:  # below 0 it is the end of the file, 64 KiB, where the directory is looked for
            raise Problem("archive_bomb", f"the archive's directory has {size} bytes; allowed: {MAX_DIRECTORY_BYTES}")
        data = self._file.read(size)
        if data.count(DIRECTORY_ENTRY) > MAX_MEMBERS:
            raise Problem("archive_bomb", f"the archive has more than {MAX_MEMBERS} members; send more samples as .npz")
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True
