"""Waiting for the kernel's interrupt: pynq's asyncio code on a thread of its own.

pynq ties an interrupt line to the event loop of the thread that first asks for it, and keeps it for the life of the
process. A notebook's loop is busy and a worker thread has none, so there is one loop for this, which never ends.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Coroutine
from functools import cache
from threading import Thread
from typing import Any

import pynq

SECONDS_TO_SET_UP = 10.0  # of register accesses; a board that does not answer them is hung


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    Thread(target=loop.run_forever, name="strop-interrupts", daemon=True).start()
    return loop


def _on_loop(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run_coroutine_threadsafe(coroutine, _loop()).result(SECONDS_TO_SET_UP)


class InterruptLine:
    """The interrupt at `pin` ("strop_kernel_0/interrupt"). Raises `ValueError` where Linux offers none.

    To be made anew after the overlay was loaded again.
    """

    def __init__(self, pin: str) -> None:
        self._armed: concurrent.futures.Future[Any] | None = None
        self._interrupt: Any = _on_loop(self._make(pin))

    def arm(self) -> None:
        """Begin to listen: to be called before the start whose end is waited for."""
        if self._armed is None:
            self._armed = asyncio.run_coroutine_threadsafe(self._interrupt.wait(), _loop())
            _on_loop(asyncio.sleep(0))  # wait() has enabled the line when its turn is over

    def wait(self, seconds: float) -> bool:
        """Return whether the interrupt came within `seconds`. `arm` again before the next start."""
        assert self._armed is not None, "arm() comes first"
        try:
            self._armed.result(seconds)
        except concurrent.futures.TimeoutError:
            return False
        self._armed = None
        return True

    def close(self) -> None:
        """Listen no more. May be repeated."""
        if self._armed is not None:
            self._armed.cancel()
            self._armed = None
            _on_loop(self._forget())

    async def _forget(self) -> None:
        """Take pynq's view of axi_intc off the list of those whom Linux wakes.

        Once the overlay is loaded again it would still answer there, and acknowledge what the new one waits for.
        """
        controller = self._interrupt.parent()
        if controller is not None and controller in controller.parent.wait_events:
            controller.parent.wait_events.remove(controller)

    @staticmethod
    async def _make(pin: str) -> Any:
        return pynq.Interrupt(pin)
