"""Memory behind a cache: what a missing or mistimed sync does, as on a board."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strop.runtime.emulated_board.dram import LINE, PAGE, Dram
from strop.runtime.errors import BusFault

BASE = 0x8_1000_0000


def memory_of(dram: Dram, address: int, nbytes: int) -> np.ndarray:
    """Return what the kernel sees."""
    return dram.memory_at(address)[0][:nbytes]


def test_what_is_not_flushed_does_not_reach_memory() -> None:
    """Protects the tests of the driver: a forgotten sync must be seen."""
    dram = Dram(1 << 20, BASE)
    buffer = dram.allocate(1000, cached=True)
    buffer.host[:] = 3
    assert not (memory_of(dram, buffer.address, 1000) == 3).any()
    dram.flush(buffer.address)
    assert (memory_of(dram, buffer.address, 1000) == 3).all()
    memory_of(dram, buffer.address, 1000)[5] = 9
    assert buffer.host[5] == 3
    dram.invalidate(buffer.address)
    assert buffer.host[5] == 9


def test_an_invalidation_loses_what_was_not_flushed() -> None:
    """Protects from a race that only a board would show: written, not flushed, invalidated."""
    dram = Dram(1 << 20, BASE)
    buffer = dram.allocate(256, cached=True)
    dram.flush(buffer.address)
    before = buffer.host.copy()
    buffer.host[10] ^= 0xFF
    dram.invalidate(buffer.address)
    assert (buffer.host == before).all()


def test_a_flush_leaves_lines_that_the_processor_did_not_change() -> None:
    """Protects a flush while the kernel runs: its results stand, except beside a changed byte in the same line."""
    dram = Dram(1 << 20, BASE)
    buffer = dram.allocate(4 * LINE, cached=True)
    buffer.host[:] = 1
    dram.flush(buffer.address)
    memory = memory_of(dram, buffer.address, 4 * LINE)
    memory[:] = 2
    buffer.host[LINE] = 5
    dram.flush(buffer.address)
    expected = np.full(4 * LINE, 2)
    expected[LINE : 2 * LINE] = 1
    expected[LINE] = 5
    assert (memory == expected).all()


def test_an_uncached_buffer_is_the_memory() -> None:
    """Protects the other kind of mapping: no sync is needed."""
    dram = Dram(1 << 20, BASE)
    buffer = dram.allocate(64, cached=False)
    buffer.host[3] = 4
    assert memory_of(dram, buffer.address, 64)[3] == 4
    dram.invalidate(buffer.address)
    dram.flush(buffer.address)
    assert buffer.host[3] == 4


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 3 * PAGE)), max_size=30))
def test_buffers_never_overlap_and_are_found_by_address(steps: list[tuple[bool, int]]) -> None:
    """Protects the allocator over any order of taking and giving back; every byte belongs to one buffer."""
    dram = Dram(1 << 20, BASE)
    live: list[tuple[int, int]] = []
    for take, nbytes in steps:
        if take or not live:
            buffer = dram.allocate(nbytes, cached=False)
            assert buffer.address % PAGE == 0
            assert all(buffer.address >= a + n or a >= buffer.address + nbytes for a, n in live)
            live.append((buffer.address, nbytes))
        else:
            dram.free(live.pop(nbytes % len(live))[0])
        assert (dram.buffers, dram.taken_bytes) == (len(live), sum(n for _, n in live))
    for address, nbytes in live:
        assert dram.memory_at(address + nbytes - 1)[1] == 1
        with pytest.raises(BusFault, match="is no buffer"):
            dram.memory_at(address + nbytes)
    dram.check_guards()


def test_memory_that_is_not_there_is_refused() -> None:
    """Protects the planner's promise: too large an arena is an error, and room that was given back serves again."""
    dram = Dram(1 << 16, BASE)
    for _ in range(100):
        dram.free(dram.allocate(30_000, cached=True).address)
    dram.allocate(30_000, cached=True)
    with pytest.raises(MemoryError, match="no 40,000 bytes in one piece of 65,536"):
        dram.allocate(40_000, cached=True)


@pytest.mark.parametrize("beside", [-1, 0])
def test_writing_beside_a_buffer_is_noticed(beside: int) -> None:
    """Protects what lies beside an arena: one wrong byte before or behind it is a fault, and is told once."""
    dram = Dram(1 << 20, BASE)
    buffer = dram.allocate(100, cached=True)
    at = buffer.address - BASE + (beside if beside else 100)
    dram._bytes[at] ^= 1
    with pytest.raises(BusFault, match="wrote 1 bytes outside the buffer"):
        dram.check_guards()
    dram.check_guards()
