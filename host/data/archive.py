"""Named files out of a folder or a tar archive, into memory: bounded, and nothing is unpacked to the disk.

`tarfile` reads a long name or an extended header at whatever length the archive claims for it, so the few fields that
are wanted of a header are read here (POSIX.1-1988 ustar: blocks of 512 bytes; name at 0, size in octal at 124, type at
156).
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np

from strop.host.data.bounded import CHUNK_BYTES, GzipStream, Source, allocate, check_claim, read_into
from strop.runtime.errors import DataError

BLOCK_BYTES = 512
ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar")
REGULAR = (b"0", b"\0")


def is_archive(path: Path) -> bool:
    """Return whether `path` is a file that is named like a tar archive."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES) and path.is_file()


def read_files(place: Path, wanted: Collection[str], max_bytes: int) -> dict[str, bytes]:
    """Return the contents of the files of a folder, or of a tar archive, whose names (without folders) are `wanted`.

    What is not there is left out. Raises DataError for an archive that is damaged, for two files of one name in it, and
    where the files have more than `max_bytes` together.
    """
    try:
        if place.is_dir():
            return _from_folder(place, wanted, max_bytes)
        with place.open("rb") as file:
            gzipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            return _from_tar(place, GzipStream(file) if gzipped else file, wanted, max_bytes)
    except (EOFError, zlib.error) as error:
        raise DataError(f"{place}: corrupt gzip data ({error}); fetch the archive again") from error
    except OSError as error:
        raise DataError(f"{place}: cannot be read: {error.strerror or error}") from error


def _from_folder(folder: Path, wanted: Collection[str], max_bytes: int) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for name in sorted(wanted):
        path = folder / name
        if not path.is_file():
            continue
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            check_claim(str(path), size, max_bytes)
            max_bytes -= size
            found[name] = _exactly(str(path), file, size)
    return found


def _from_tar(archive: Path, source: Source, wanted: Collection[str], max_bytes: int) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    ended = False
    while not ended:
        header = _exactly(str(archive), source, BLOCK_BYTES)
        ended = not any(header)
        if ended:
            break
        name, size, kind = _member(archive, header)
        where = f"{archive}: {name}"
        if kind in REGULAR and name in wanted:
            if name in found:
                raise DataError(f"{where}: is there twice; fetch the archive again")
            check_claim(where, size, max_bytes)
            max_bytes -= size
            found[name] = _exactly(where, source, size)
        else:
            _skip(where, source, size)
        _skip(where, source, -size % BLOCK_BYTES)
    return found


def _member(archive: Path, header: bytes) -> tuple[str, int, bytes]:
    """Return a member's name without its folder, its bytes, and its type."""
    spaces = header[:148] + b" " * 8 + header[156:]  # the sum is formed with its own field blank
    try:
        matches = int(header[148:156].strip(b" \0") or b"0", 8) == sum(spaces)
        size = int(header[124:136].strip(b" \0") or b"0", 8)
    except ValueError:
        matches, size = False, 0
    if not matches or size < 0:
        raise DataError(f"{archive}: is no tar archive, or is damaged: a header's checksum is wrong; fetch it again")
    name = header[:100].split(b"\0", 1)[0].decode("utf-8", "replace")
    return name.rstrip("/").rsplit("/", 1)[-1], size, header[156:157]


def _exactly(where: str, source: Source, size: int) -> bytes:
    data = allocate(where, size)
    done = read_into(data, source)
    if done < size:
        raise DataError(f"{where}: breaks off after {done} of {size} bytes; it is truncated: restore it")
    return np.ndarray.tobytes(data)


def _skip(where: str, source: Source, size: int) -> None:
    while size > 0:
        done = len(source.read(min(CHUNK_BYTES, size)))
        if not done:
            raise DataError(f"{where}: breaks off {size} bytes before its end; it is truncated: restore it")
        size -= done
