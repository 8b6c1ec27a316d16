"""A body on its way in: counted, hashed, and written to a file without a name, so that a kill leaves nothing."""

from __future__ import annotations

import errno
import hashlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from strop.service.problems import Problem

PIECE_BYTES = 256 << 10  # written at a time
LEAST_FREE_BYTES = 64 << 20  # what an upload leaves on the disk, for the database and checkpoints of jobs
LINGER_BYTES = 4 << 20  # of a refused body that are still read, so that its sender gets to see why


@dataclass(frozen=True)
class Received:
    """A body that is there whole, at the beginning of `file`."""

    file: IO[bytes]
    sha256: str
    bytes: int


async def receive(body: AsyncIterator[bytes], declared: int | None, folder: Path, limit: int) -> Received:
    """Return the body as a file below `folder` that vanishes when it is closed, or with this process.

    declared: its Content-Length, if it has one. Raises `Problem`: too_large beyond `limit` bytes, storage_low, and
    invalid_request where the sender went away.
    """
    if declared is not None and declared > limit:
        raise too_large(f"the body has {declared} bytes", limit)
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES + (declared or 0):
        await _linger(body)
        raise Problem("storage_low", f"{free >> 20} MiB are free; {LEAST_FREE_BYTES >> 20} MiB stay so")
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # the caller closes it
    try:
        return await _written(body, file, folder, limit)
    except BaseException:
        file.close()
        raise


def too_large(what: str, limit: int) -> Problem:
    """Return the refusal of something that is larger than `limit` bytes."""
    return Problem("too_large", f"{what}; allowed are {limit} (STROP_MAX_UPLOAD_MBYTES)", limit=limit)


@contextmanager
def full_disk_told() -> Iterator[None]:
    """Let a disk that is full while something is written be a `Problem` of the code storage_low."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Problem("storage_low", "the disk became full while the upload was written") from error


async def _written(body: AsyncIterator[bytes], file: IO[bytes], folder: Path, limit: int) -> Received:
    digest, total, piece = hashlib.sha256(), 0, bytearray()

    def write() -> None:
        with full_disk_told():
            digest.update(piece)
            file.write(piece)
            piece.clear()
            if shutil.disk_usage(folder).free < LEAST_FREE_BYTES:
                raise Problem("storage_low", f"less than {LEAST_FREE_BYTES >> 20} MiB would be left free")

    try:
        async for chunk in body:
            total += len(chunk)
            if total > limit:
                raise too_large(f"the body has more than {limit} bytes", limit)
            piece += chunk
            if len(piece) >= PIECE_BYTES:
                await run_in_threadpool(write)
        await run_in_threadpool(write)
        with full_disk_told():
            file.flush()
    except ClientDisconnect:
        raise Problem("invalid_request", f"the body broke off after {total} bytes") from None
    file.seek(0)
    return Received(file, digest.hexdigest(), total)


async def _linger(body: AsyncIterator[bytes]) -> None:
    """Read on for a while: a connection that is closed while its client sends loses the answer."""
    left = LINGER_BYTES
    try:
        async for chunk in body:
            left -= len(chunk)
            if left < 0:
                return
    except ClientDisconnect:
        return
