"""How a board is driven: by argument, or by the environment where somebody else opens it."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from strop.runtime.errors import InputError

TIMEOUT_SECONDS = 10.0  # without progress; the longest command of the networks that strop knows takes less than one
INTERRUPTS, TIMEOUT = "STROP_BOARD_INTERRUPTS", "STROP_BOARD_TIMEOUT"


@dataclass(frozen=True)
class BoardOptions:
    """How a board is driven; no choice changes a byte.

    interrupts: wait for the kernel's interrupt instead of polling. timeout_seconds: how long the kernel may make no
    progress. cacheable: map the arena with the processor's caches (and sync it), or without.
    """

    interrupts: bool = False
    timeout_seconds: float = TIMEOUT_SECONDS
    cacheable: bool = True

    @classmethod
    def from_environment(cls) -> BoardOptions:
        """Return what STROP_BOARD_INTERRUPTS (0 or 1) and STROP_BOARD_TIMEOUT (seconds) say. Raises `InputError`."""
        interrupts, timeout = os.environ.get(INTERRUPTS, "0"), os.environ.get(TIMEOUT, str(TIMEOUT_SECONDS))
        if interrupts not in ("0", "1"):
            raise InputError(f"{INTERRUPTS} is {interrupts!r}; allowed: 0 (polling) and 1")
        try:
            seconds = float(timeout)
        except ValueError:
            seconds = math.nan
        if not 0 < seconds < math.inf:
            raise InputError(f"{TIMEOUT} is {timeout!r}; allowed: seconds without progress, more than 0")
        return cls(interrupts == "1", seconds)
