"""The arena in a board's memory: one buffer of `pynq.allocate`, kept in step with the processor's caches.

pynq cleans and invalidates whole buffers, whatever part one asks for (XrtDevice.flush of pynq 3.1 and 4.0), and an
invalidation throws away what was written and not yet flushed. So both happen once a start, under a lock that writers
take, and reads in between come from the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from threading import RLock
from typing import Any

import numpy as np
import pynq
from numpy.typing import NDArray

from strop.runtime.errors import DeviceError, InputError, MemoryPlanError


class BoardArena:
    """`nbytes` bytes of zeros, at the bus address `address`. Offsets and sizes are bytes.

    `cacheable` chooses the kind of mapping; an uncached one reads slowly. Raises `MemoryPlanError` where the board has
    no such room.
    """

    def __init__(self, device: Any, nbytes: int, *, cacheable: bool = True) -> None:
        try:
            self._buffer: Any = pynq.allocate((nbytes,), "u1", target=device, cacheable=int(cacheable))
            self.address = int(self._buffer.device_address)  # only here PYNQ.remote says that it has none
        except Exception as error:  # what pynq, XRT or gRPC raise for it is not documented
            if _is_lost_connection(error):
                raise DeviceError(f"the board did not answer when it was asked for memory: {error}") from error
            raise MemoryPlanError(
                f"the board has no {nbytes:,} bytes of contiguous memory ({error}); take a smaller mini-batch, or "
                "enlarge its CMA (kernel command line: cma=)"
            ) from error
        self.nbytes = nbytes
        # A remote buffer is a copy that is sent whole, over what the kernel writes meanwhile: nobody may write then.
        self._exclusive = device.has_capability("REMOTE")
        self._lock = RLock()
        self._dirty = True
        self._bytes: NDArray[np.uint8] | None = np.asarray(self._buffer)
        self._bytes[:] = 0

    def span(self, offset: int, nbytes: int) -> NDArray[np.uint8]:
        """Return a view of part of the host's copy. Raises `InputError` outside the arena."""
        if self._bytes is None:
            raise DeviceError("this arena was given back; call allocate(nbytes) again")
        if offset < 0 or nbytes < 0 or offset + nbytes > self.nbytes:
            raise InputError(f"bytes {offset} to {offset + nbytes} of an arena of {self.nbytes}; stay inside it")
        return self._bytes[offset : offset + nbytes]

    def write(self, offset: int, data: NDArray[Any]) -> None:
        """Copy the bytes of a C-contiguous array into the arena; the kernel sees them from its next start on."""
        raw = data.reshape(-1).view(np.uint8)
        with self._lock:
            self.span(offset, raw.size)[:] = raw
            self._dirty = True

    def read(self, offset: int, nbytes: int) -> NDArray[np.uint8]:
        """Return a copy of what the arena held after the last start, and of what was written since."""
        with self._lock:
            copied: NDArray[np.uint8] = self.span(offset, nbytes).copy()
            return copied

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Lend the arena to the kernel: it sees all that was written before, and what it wrote is there afterwards."""
        with self._lock if self._exclusive else nullcontext():
            self._flush()
            yield
            self.refresh()

    def refresh(self) -> None:
        """Fetch what the kernel has written so far."""
        with self._lock:
            self._flush()  # what others wrote meanwhile would be lost
            self._buffer.sync_from_device()

    def _flush(self) -> None:
        with self._lock:
            if self._dirty:
                self._buffer.sync_to_device()
                self._dirty = False

    def free(self) -> None:
        """Give the memory back, after whoever is reading or writing. May be repeated."""
        with self._lock:
            if self._bytes is None:
                return
            self._bytes = None  # nothing may look at the memory once it is unmapped
            buffer, self._buffer = self._buffer, None
            if self._exclusive:
                _free_remotely(buffer)
            else:
                # XRT unmaps a buffer's memory with its last reference. PynqBuffer.freebuffer would unmap it before that
                # as well, and XRT then what another thread may have mapped there meanwhile.
                buffer.freed = True
                del buffer.bo


def _free_remotely(buffer: Any) -> None:
    try:
        buffer.freebuffer()
    except Exception as error:
        if not _is_lost_connection(error):  # then there is nobody to give it back to
            raise


def _is_lost_connection(error: Exception) -> bool:
    """Whether this is gRPC's error for a server that cannot be reached."""
    code = getattr(error, "code", None)
    return callable(code) and getattr(code(), "name", "") in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
