"""Arrays from .npz files (zip archives of .npy members) without pickle; claims are checked before memory is taken."""

from __future__ import annotations

import io
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from strop.host.data.bounded import DEFAULT_MAX_BYTES, allocate, check_claim, read_into
from strop.runtime.errors import DataError

MAX_DIRECTORY_BYTES = 1 << 20  # some thousand members; also bounds each read of member data, whose chunks are shorter
HEADER_PREFIX_BYTES = 16 << 10  # numpy refuses headers beyond 10,000 characters
ENCRYPTED = 0x1  # bit of a zip member's flags
FOREIGN_ERRORS = (  # what zipfile and numpy raise on damaged bytes
    zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError,
    EOFError, OSError, ValueError, TypeError, LookupError, SyntaxError, RuntimeError, OverflowError, MemoryError,
)  # fmt: skip


class NpzArchive:
    """An .npz file opened for reading; a context manager. Raises DataError for whatever is wrong with the file.

    `max_bytes` bounds all arrays read from it together, uncompressed.
    """

    def __init__(self, path: str | Path, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.path = Path(path)
        self._left_bytes = max_bytes
        if not self.path.is_file():
            raise DataError(f"{self.path}: no such file")
        with self._translated(str(self.path)):
            self._file = _ShortReads(io.FileIO(self.path))
        try:
            with self._translated(str(self.path)):
                self._zip = zipfile.ZipFile(self._file)
                self._members = self._index()
        except DataError:
            self._file.close()
            raise

    def __enter__(self) -> NpzArchive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()
        self._file.close()

    @property
    def names(self) -> tuple[str, ...]:
        """The arrays in the file, by name, in its order."""
        return tuple(self._members)

    def read(self, name: str, kinds: str = "biufc") -> NDArray[Any]:
        """Return an array, read-only and C-contiguous; DataError where its dtype is of none of the numpy `kinds`."""
        where = f"{self.path}: array {name!r}"
        if name not in self._members:
            raise DataError(f"{self.path}: holds no array {name!r}, only {', '.join(self._members) or 'none'}")
        member = self._members[name]
        self._check_member(where, member)
        with self._translated(where):
            with self._zip.open(member) as stream:
                shape, fortran, dtype, offset = _read_header(where, stream.read(HEADER_PREFIX_BYTES))
            claimed = _check_header(where, shape, dtype, kinds)
            if member.file_size != offset + claimed:
                raise DataError(
                    f"{where}: its header declares {dtype} {list(shape)} = {claimed} bytes, the archive holds "
                    f"{member.file_size - offset} for it; save the file again"
                )
            check_claim(where, claimed, self._left_bytes, member.compress_size if _is_deflated(member) else None)
            self._left_bytes -= claimed
            data = allocate(where, claimed)
            with self._zip.open(member) as stream:
                stream.read(offset)
                done = read_into(data, stream)
        if done < claimed:
            raise DataError(f"{where}: breaks off after {done} of {claimed} bytes; the file is truncated")
        array = np.asarray(data.view(dtype).reshape(shape, order="F" if fortran else "C"), order="C")
        array.flags.writeable = False
        return array

    def _index(self) -> dict[str, zipfile.ZipInfo]:
        members: dict[str, zipfile.ZipInfo] = {}
        for member in self._zip.infolist():
            if member.filename.endswith(".npy"):
                name = member.filename[: -len(".npy")]
                if name in members:
                    raise DataError(f"{self.path}: holds two arrays named {name!r}; save the file again")
                members[name] = member
        return members

    def _check_member(self, where: str, member: zipfile.ZipInfo) -> None:
        if member.flag_bits & ENCRYPTED:
            raise DataError(f"{where}: is encrypted; save it without a password")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # the others cannot be inflated in bounded steps
            raise DataError(
                f"{where}: compression method {member.compress_type}; use numpy.savez or numpy.savez_compressed"
            )
        archive_bytes = self.path.stat().st_size
        stored_bytes = member.compress_size if _is_deflated(member) else max(member.compress_size, member.file_size)
        if stored_bytes > archive_bytes:
            raise DataError(
                f"{where}: needs {stored_bytes} bytes of a file that has {archive_bytes}; the file is truncated"
            )

    @contextmanager
    def _translated(self, where: str) -> Iterator[None]:
        try:
            yield
        except DataError:
            raise
        except FOREIGN_ERRORS as error:
            raise DataError(
                f"{where}: cannot be read: {str(error) or type(error).__name__}; save the file again"
            ) from error


class _ShortReads(io.BufferedReader):
    """A file that refuses long reads: zipfile reads a directory at whatever length the file claims for it."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            here = self.tell()
            size = self.seek(0, io.SEEK_END) - here
            self.seek(here)
        if size > MAX_DIRECTORY_BYTES:
            raise DataError(f"{self.name}: a zip directory of {size} bytes; allowed are {MAX_DIRECTORY_BYTES}")
        return super().read(size)


def _is_deflated(member: zipfile.ZipInfo) -> bool:
    return member.compress_type == zipfile.ZIP_DEFLATED


def _read_header(where: str, prefix: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Return shape, Fortran order, dtype, and the header's length in bytes.

    It parses a bounded prefix, since numpy reads a header at whatever length it claims.
    """
    stream = io.BytesIO(prefix)
    version = npy_format.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = npy_format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, fortran, dtype = npy_format.read_array_header_2_0(stream)
    else:
        raise DataError(f"{where}: .npy version {version[0]}.{version[1]}; plain arrays are saved as 1.0 or 2.0")
    return shape, fortran, dtype, stream.tell()


def _check_header(where: str, shape: tuple[int, ...], dtype: np.dtype[Any], kinds: str) -> int:
    """Return the bytes that the array takes."""
    if dtype.hasobject:
        raise DataError(f"{where}: holds Python objects, which only pickle can read; save it as a plain numeric array")
    if dtype.kind not in kinds or dtype.itemsize == 0:
        raise DataError(f"{where}: has the dtype {dtype}; allowed here are the kinds {', '.join(kinds)}")
    if any(length < 0 for length in shape):
        raise DataError(f"{where}: its header declares the impossible shape {list(shape)}")
    return math.prod(shape) * dtype.itemsize
