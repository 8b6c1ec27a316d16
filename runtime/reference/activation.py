"""Activations by table (NUMERICS 1.15): a word for each int8 value, of the function's value and its slope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.runtime.contract import C
from strop.runtime.reference.arithmetic import Integers, dsh, sat


@dataclass(frozen=True)
class Table:
    """What the words hold: f(x) and slope(x), LSB 2^-8, for x from -128 to 127; int64 [256] each."""

    values: Integers
    slopes: Integers

    @staticmethod
    def of(words: NDArray[np.int32]) -> Table:
        """Return the table of words int32 [256]: f in bits 0 to 7, the slope in bits 16 to 31."""
        parts = words.astype("<i4").view("<i2").reshape(-1, 2)
        return Table(parts[:, 0].astype(np.int8).astype(np.int64), parts[:, 1].astype(np.int64))

    def forward(self, x8: NDArray[Any]) -> Integers:
        """Return f of each element of x8."""
        found: Integers = self.values[x8.astype(np.int64) + 128]
        return found

    def backward(self, e8: Integers, x8: Integers, r: Integers) -> Integers:
        """Return the error of the input x8 from that of the output, e8; r is the dither."""
        return sat(dsh(e8 * self.slopes[x8 + 128], C.SLOPE_FRACTION, r))
