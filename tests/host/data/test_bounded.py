"""Reading what strangers wrote: a gzip stream that stops when its reader does, and claims that are checked."""

from __future__ import annotations

import gzip
import io
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strop.host.data.bounded import CHUNK_BYTES, DEFLATE_MAX_RATIO, GzipStream, allocate, check_claim, read_into
from strop.runtime.errors import DataError


class CountingInflater:
    """zlib's inflater, adding up what it gives out."""

    def __init__(self, inner, total):
        self._inner, self._total = inner, total

    def decompress(self, data, max_length):
        out = self._inner.decompress(data, max_length)
        self._total.append(len(out))
        return out

    def __getattr__(self, name):
        return getattr(self._inner, name)


def drain(stream: GzipStream, size: int) -> bytes:
    parts = []
    while part := stream.read(size):
        assert len(part) <= size
        parts.append(part)
    return b"".join(parts)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.integers(1, 50), st.integers(0, 9))
def test_members_and_padding_read_as_one(parts, size, padding):
    """Several members, as bgzip writes them, and zero padding, as tape tools leave it, are a valid gzip file."""
    data = b"".join(gzip.compress(part) + bytes(padding) for part in parts)
    assert drain(GzipStream(io.BytesIO(data)), size) == b"".join(parts)


def test_a_stream_longer_than_a_chunk_of_input_is_whole():
    """The seams between chunks of compressed input must not lose or repeat a byte."""
    data = np.random.default_rng(0).integers(0, 256, 3 * CHUNK_BYTES + 17, np.uint8).tobytes()
    assert drain(GzipStream(io.BytesIO(gzip.compress(data, 1))), CHUNK_BYTES) == data


def test_a_reader_that_stops_stops_the_inflation(monkeypatch):
    """100 MB of zeros behind 100 kB: a reader of 10 bytes must cause 10 bytes to be inflated, not a buffer's worth."""
    bomb = gzip.compress(bytes(100_000_000), 1)
    inflated: list[int] = []
    real = zlib.decompressobj
    monkeypatch.setattr(zlib, "decompressobj", lambda wbits: CountingInflater(real(wbits=wbits), inflated))
    assert GzipStream(io.BytesIO(bomb)).read(10) == bytes(10)
    assert sum(inflated) == 10


def test_a_stream_cut_anywhere_is_an_error():
    """Only the whole file may read as a file; a cut at any byte, also in the trailer, is noticed."""
    data = gzip.compress(b"some bytes that compress a little, a little, a little")
    for cut in range(1, len(data)):
        with pytest.raises((EOFError, zlib.error)):
            drain(GzipStream(io.BytesIO(data[:cut])), 16)


def test_a_wrong_checksum_is_an_error():
    """gzip's own CRC is checked when the end is read."""
    data = bytearray(gzip.compress(b"pixels"))
    data[-8] ^= 1
    with pytest.raises(zlib.error, match="incorrect data check"):
        drain(GzipStream(io.BytesIO(bytes(data))), 100)


def test_rubbish_after_the_end_is_an_error():
    """What follows a member must be another member, or zeros."""
    with pytest.raises(zlib.error):
        drain(GzipStream(io.BytesIO(gzip.compress(b"pixels") + b"rubbish")), 100)


def test_reading_nothing_reads_nothing():
    """zlib takes a limit of 0 as no limit at all, so 0 must never reach it."""
    assert GzipStream(io.BytesIO(gzip.compress(bytes(1000)))).read(0) == b""


def test_no_deflate_stream_exceeds_the_ratio():
    """Zeros are what deflate does best; a claim that is true must never be refused."""
    count = 10_000_000
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    size = len(packed.compress(bytes(count)) + packed.flush())
    assert 1000 < count / size < DEFLATE_MAX_RATIO
    check_claim("f", count, count, size)


@pytest.mark.parametrize(
    ("claimed", "deflated", "message"),
    [(101, None, "101 bytes of data, more than the 100"), (100, 0, "0 compressed bytes hold at most 0")],
)
def test_claims_beyond_the_limit_or_the_possible_are_refused(claimed, deflated, message):
    """Both numbers stand in the message, so that the reader can decide which one to change."""
    check_claim("f", 100, 100, 1)
    with pytest.raises(DataError, match=message):
        check_claim("f", claimed, 100, deflated)


def test_memory_that_is_not_there_is_a_data_error():
    """On a board with 512 MB, or a 32-bit processor, a legal claim may still be too much."""
    with pytest.raises(DataError, match="f: its 4611686018427387904 bytes of data do not fit"):
        allocate("f", 1 << 62)


def test_read_into_takes_what_there_is():
    """Fewer bytes than asked for are reported, not padded."""
    target = np.full(10, 7, np.uint8)
    assert read_into(target, io.BytesIO(b"abc")) == 3
    assert target.tolist() == [97, 98, 99] + [7] * 7
