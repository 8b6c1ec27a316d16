"""A body on its way to the disk: counted, hashed, and gone if anything goes wrong."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
from collections import namedtuple
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Any

import pytest
from starlette.requests import ClientDisconnect

from strop.service.data import uploads
from strop.service.data.uploads import PIECE_BYTES, Received, receive
from strop.service.problems import Problem

LIMIT = 3 * PIECE_BYTES


async def chunks(total: int, size: int = 1000, then: BaseException | None = None) -> AsyncIterator[bytes]:
    """Yield a body of `total` bytes in chunks, and raise what is to come `then`."""
    for at in range(0, total, size):
        yield bytes(at % 251 for at in range(at, min(at + size, total)))
    if then is not None:
        raise then


def received(body: AsyncIterator[bytes], folder: Path, declared: int | None = None) -> Received:
    """Receive a body."""
    return asyncio.run(receive(body, declared, folder, LIMIT))


def open_files(folder: Path) -> list[str]:
    """Return the open files of this process below a folder, also those without a name."""
    links = [
        os.readlink(f"/proc/self/fd/{fd}")
        for fd in os.listdir("/proc/self/fd")
        if os.path.exists(f"/proc/self/fd/{fd}")
    ]
    return [link for link in links if link.startswith(str(folder))]


@pytest.mark.parametrize("total", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, LIMIT])
@pytest.mark.parametrize("size", [997, 2 * PIECE_BYTES])
def test_a_body_arrives_whole(tmp_path: Path, total: int, size: int) -> None:
    """Protects every byte, whatever the chunks, up to the limit itself; the file has no name."""
    found = received(chunks(total, size), tmp_path)
    expected = bytes(at % 251 for at in range(total))
    with found.file:
        assert found.file.read() == expected
        assert (found.bytes, found.sha256) == (total, hashlib.sha256(expected).hexdigest())
        assert list(tmp_path.iterdir()) == []
    assert open_files(tmp_path) == []


@pytest.mark.parametrize(
    ("body", "declared", "code"),
    [
        (chunks(10), LIMIT + 1, "too_large"),
        (chunks(LIMIT + 1), None, "too_large"),
        (chunks(LIMIT + 1), 5, "too_large"),
        (chunks(5000, then=ClientDisconnect()), 10_000, "invalid_request"),
        (chunks(PIECE_BYTES + 7, then=ClientDisconnect()), None, "invalid_request"),
    ],
)
def test_a_body_that_is_refused_leaves_nothing(
    tmp_path: Path, body: AsyncIterator[bytes], declared: int | None, code: str
) -> None:
    """Protects the disk from lengths that are too large, lie or are missing, and from senders that go away."""
    with pytest.raises(Problem) as raised:
        received(body, tmp_path, declared)
    assert raised.value.code == code
    assert list(tmp_path.iterdir()) == [] == open_files(tmp_path)


def test_an_unexpected_end_leaves_nothing(tmp_path: Path) -> None:
    """Protects the disk when a request is cancelled."""
    with pytest.raises(asyncio.CancelledError):
        received(chunks(2 * PIECE_BYTES, then=asyncio.CancelledError()), tmp_path)
    assert list(tmp_path.iterdir()) == [] == open_files(tmp_path)


@pytest.mark.parametrize("declared", [None, 2 * PIECE_BYTES])
def test_some_room_is_left_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, declared: int | None) -> None:
    """Protects the database and the jobs' checkpoints from uploads: they stop before the disk is full."""
    usage = namedtuple("usage", "total used free")
    free = iter([uploads.LEAST_FREE_BYTES + PIECE_BYTES, uploads.LEAST_FREE_BYTES - 1])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, next(free)))
    with pytest.raises(Problem, match="MiB") as raised:
        received(chunks(2 * PIECE_BYTES), tmp_path, declared)
    assert raised.value.code == "storage_low"
    assert open_files(tmp_path) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Protects a client from an internal error where the disk became full: 507 says what to do."""

    class Full:
        def __init__(self, file: IO[bytes]) -> None:
            self.file = file

        def write(self, _: bytes) -> int:
            raise OSError(number, "full")

        def close(self) -> None:
            self.file.close()

    make: Any = uploads.tempfile.TemporaryFile
    monkeypatch.setattr(uploads.tempfile, "TemporaryFile", lambda **words: Full(make(**words)))
    with pytest.raises(Problem) as raised:
        received(chunks(10), tmp_path)
    assert raised.value.code == "storage_low"
    assert open_files(tmp_path) == []
