"""Reading what strangers wrote: a header's claim is checked before memory is taken, and no read goes beyond it."""

from __future__ import annotations

import zlib
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from strop.runtime.errors import DataError

DEFAULT_MAX_BYTES = 2 << 30  # of pixels and labels together, uncompressed
CHUNK_BYTES = 256 << 10
DEFLATE_MAX_RATIO = 1032  # no deflate stream inflates further: a match of 258 bytes costs at least two bits


class Source(Protocol):
    """Where bytes come from: a file, a gzip stream, a member of a zip archive."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, and none only at the end."""
        ...


class GzipStream:
    """A gzip file (one member or several) read forwards; it never inflates more than a caller asks for.

    `gzip.GzipFile` inflates a buffer ahead of its reader; this does not, so a reader that stops, stops the inflation.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._input = b""
        self._between_members = True
        self._inflate = zlib.decompressobj(wbits=31)  # 31: a gzip header and trailer, with its CRC checked

    def read(self, size: int, /) -> bytes:
        """Return 1 to `size` bytes, none at the end. Raises EOFError (breaks off) and zlib.error (corrupt)."""
        while size > 0:
            self._input = self._input or self._file.read(CHUNK_BYTES)
            if self._between_members:
                self._input = self._input.lstrip(b"\0")  # padding that tape and block tools leave behind
            if not self._input:
                if self._between_members:
                    return b""
                raise EOFError("the compressed data break off")
            if self._between_members:
                self._inflate, self._between_members = zlib.decompressobj(wbits=31), False
            data = self._inflate.decompress(self._input, size)
            self._between_members = self._inflate.eof
            self._input = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
            if data:
                return data
        return b""


def check_claim(where: str, claimed: int, max_bytes: int, deflated_bytes: int | None = None) -> None:
    """Raise DataError where `claimed` bytes exceed `max_bytes`, or all that `deflated_bytes` can inflate to."""
    if claimed > max_bytes:
        raise DataError(
            f"{where}: declares {claimed} bytes of data, more than the {max_bytes} that may be read: "
            "take fewer samples; a program that trusts the file can pass a larger max_bytes to the loader"
        )
    if deflated_bytes is not None and claimed > deflated_bytes * DEFLATE_MAX_RATIO:
        raise DataError(
            f"{where}: declares {claimed} bytes of data, but {deflated_bytes} compressed bytes hold at most "
            f"{deflated_bytes * DEFLATE_MAX_RATIO}; the file is truncated or its header is false"
        )


def allocate(where: str, nbytes: int) -> NDArray[np.uint8]:
    """Return an uninitialized uint8 [nbytes], after `check_claim`; DataError where the machine has no such memory."""
    try:
        return np.empty(nbytes, np.uint8)
    except (MemoryError, ValueError) as error:  # ValueError: beyond the address space of a 32-bit processor
        raise DataError(f"{where}: its {nbytes} bytes of data do not fit into this machine's memory") from error


def read_into(target: NDArray[np.uint8], source: Source) -> int:
    """Fill uint8 [n] from `source` in short reads; return how many bytes there were: fewer than n where it ends."""
    done = 0
    while done < target.size:
        chunk = source.read(min(CHUNK_BYTES, target.size - done))
        if not chunk:
            break
        target[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
        done += len(chunk)
    return done
