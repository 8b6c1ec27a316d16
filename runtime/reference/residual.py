"""Residual sums (NUMERICS 1.11): two maps added and activated, the mask on the way back, two gradients of one map."""

from __future__ import annotations

import numpy as np

from strop.runtime.contract import C
from strop.runtime.reference.arithmetic import Integers, dsh, rsh, sat
from strop.runtime.reference.l1bn import masked


def add_forward(a8: Integers, ea: int, b8: Integers, eb: int, ey: int, lo: int) -> Integers:
    """Return y8 of two summands of one shape with exponents ea and eb; `lo` is the activation's lower bound."""
    y8: Integers = np.clip(rsh(a8, ea - ey) + rsh(b8, eb - ey), lo, 127)
    return y8


def add_backward(e8: Integers, y8: Integers, lo: int) -> Integers:
    """Return the error of both summands: that of the sum y8 where its activation has cut nothing."""
    return masked(e8, y8, lo)


def add_gradient(a8: Integers, ea: int, b8: Integers, eb: int, r: Integers) -> tuple[Integers, int]:
    """Return the sum of two gradients of one map and its exponent, the smaller of ea and eb; r is the dither."""
    coarse, fine = (a8, b8) if ea <= eb else (b8, a8)
    return sat(coarse + dsh(fine, min(abs(ea - eb), C.MAX_SHIFT), r)), min(ea, eb)
