"""From the kernel's interrupt line to pynq's asyncio code: an axi_intc, and the UIO node that Linux would offer."""

from __future__ import annotations

import contextlib
import os
import pty
import tty
from collections.abc import Callable
from functools import cache
from threading import Lock


class AxiInterruptController:
    """xilinx.com:ip:axi_intc with one input.

    Its registers (PG099): ISR 0x00, IPR 0x04, IER 0x08, IAR 0x0C, SIE 0x10, CIE 0x14, MER 0x1C.
    """

    def __init__(self, level: Callable[[], bool], raise_interrupt: Callable[[], None]) -> None:
        self._level, self._raise = level, raise_interrupt
        self._pending = self._enabled = self._master = 0

    def update(self) -> None:
        """Take the input line's level; pass an enabled interrupt on."""
        self._pending |= int(self._level())
        if self._master & 1 and self._pending & self._enabled:
            self._raise()

    def read(self, offset: int) -> int:
        """Return a register."""
        self._pending |= int(self._level())
        registers = {0x00: self._pending, 0x04: self._pending & self._enabled, 0x08: self._enabled, 0x1C: self._master}
        return registers.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """Write a register."""
        if offset == 0x08:
            self._enabled = value
        elif offset == 0x0C:
            self._pending &= ~value
        elif offset == 0x10:
            self._enabled |= value
        elif offset == 0x14:
            self._enabled &= ~value
        elif offset == 0x1C:
            self._master = value
        self.update()


class UioNode:
    """What stands for /dev/uioN: a pseudo-terminal. Writing to it enables the interrupt, reading gives the count."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._count = 0
        self._enabled = False
        self._ours, theirs = pty.openpty()
        tty.setraw(self._ours)
        tty.setraw(theirs)
        os.set_blocking(self._ours, False)
        self.path = os.ttyname(theirs)
        self._theirs = theirs  # held open, so that reading ours never ends

    def fire(self) -> None:
        """Raise the interrupt, if it was enabled since the last one."""
        with self._lock:
            with contextlib.suppress(BlockingIOError):
                self._enabled |= bool(os.read(self._ours, 4096))
            if self._enabled:
                self._enabled = False
                self._count += 1
                os.write(self._ours, self._count.to_bytes(4, "little"))


@cache
def uio_node(interrupt: int) -> UioNode:
    """Return the node of an interrupt of the PS, one for the whole process: pynq opens it once and keeps it."""
    return UioNode()
