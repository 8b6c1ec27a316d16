"""The memory of an emulated board: contiguous buffers between guard bytes, seen through a cache that must be synced.

What the processor writes to a cached buffer reaches memory when the buffer is flushed, by lines; what the kernel writes
reaches the processor when it is invalidated, and lines written meanwhile and not flushed are lost, as on a board. pynq
flushes and invalidates whole buffers, so this does, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strop.runtime.errors import BusFault

PAGE = 4096  # alignment of buffers, and guard bytes between them
GUARD = 0xA5
LINE = 64  # bytes of a cache line


@dataclass
class Buffer:
    """`nbytes` bytes at bus address `address`. `host` is what the processor sees, `clean` what it saw last synced."""

    address: int
    nbytes: int
    host: NDArray[np.uint8]
    clean: NDArray[np.uint8] | None  # None: uncached, the processor sees the memory itself


class Dram:
    """`nbytes` bytes of memory from bus address `base` on."""

    def __init__(self, nbytes: int, base: int) -> None:
        self._base = base
        self._bytes = np.zeros(nbytes, np.uint8)
        self._buffers: dict[int, Buffer] = {}

    @property
    def buffers(self) -> int:
        """How many buffers are taken."""
        return len(self._buffers)

    @property
    def taken_bytes(self) -> int:
        """Bytes of all buffers that are taken."""
        return sum(buffer.nbytes for buffer in self._buffers.values())

    def allocate(self, nbytes: int, cached: bool) -> Buffer:
        """Take a buffer at the first place that is free. Its bytes are whatever was there. Raises `MemoryError`."""
        address = self._base + PAGE
        for other in sorted(self._buffers.values(), key=lambda buffer: buffer.address):
            if address + _pages(nbytes) <= other.address:
                break
            address = other.address + _pages(other.nbytes)
        end = address + _pages(nbytes)
        if end > self._base + self._bytes.size:
            raise MemoryError(f"the emulated board has no {nbytes:,} bytes in one piece of {self._bytes.size:,}")
        at = address - self._base
        self._bytes[at - PAGE : at] = GUARD
        self._bytes[at + nbytes : end - self._base] = GUARD
        memory = self._bytes[at : at + nbytes]
        if cached:
            buffer = Buffer(address, nbytes, memory.copy(), memory.copy())
        else:
            buffer = Buffer(address, nbytes, memory, None)
        self._buffers[address] = buffer
        return buffer

    def free(self, address: int) -> None:
        """Give a buffer back."""
        self._buffers.pop(address, None)

    def flush(self, address: int) -> None:
        """Write the lines that the processor changed to memory."""
        buffer = self._buffers[address]
        if buffer.clean is None:
            return
        changed = np.flatnonzero(buffer.host != buffer.clean)
        at = address - self._base
        for line in np.unique(changed // LINE):
            part = slice(line * LINE, min((line + 1) * LINE, buffer.nbytes))
            self._bytes[at + part.start : at + part.stop] = buffer.host[part]
        buffer.clean[:] = buffer.host

    def invalidate(self, address: int) -> None:
        """Let the processor see memory; what it changed and did not flush is lost."""
        buffer = self._buffers[address]
        if buffer.clean is not None:
            buffer.host[:] = self._bytes[address - self._base :][: buffer.nbytes]
            buffer.clean[:] = buffer.host

    def memory_at(self, address: int) -> tuple[NDArray[np.uint8], int]:
        """Return the memory from `address` on, and how many bytes of it belong to the buffer there.

        Raises `BusFault` where no buffer is.
        """
        for buffer in self._buffers.values():
            if buffer.address <= address < buffer.address + buffer.nbytes:
                return self._bytes[address - self._base :], buffer.address + buffer.nbytes - address
        raise BusFault(f"the kernel would reach {address:#010x}, which is no buffer of this board")

    def check_guards(self) -> None:
        """Raise `BusFault` if anything was written between the buffers; mend the guards."""
        for buffer in self._buffers.values():
            at = buffer.address - self._base
            for guard in (
                self._bytes[at - PAGE : at],
                self._bytes[at + buffer.nbytes : at + _pages(buffer.nbytes)],
            ):
                wrong = np.flatnonzero(guard != GUARD)
                if wrong.size:
                    guard[:] = GUARD
                    raise BusFault(f"the kernel wrote {wrong.size} bytes outside the buffer at {buffer.address:#010x}")


def _pages(nbytes: int) -> int:
    """Return the bytes that a buffer takes with the guard behind it."""
    return -(-nbytes // PAGE) * PAGE + PAGE
