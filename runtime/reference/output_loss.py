"""Losses without softmax, from integer logits [K, N] and targets [K, N] in 2^-15 (NUMERICS 1.17).

Each returns error e15 [K, N] before it is rounded, loss of each output [K, N] in units of 2^-16, and which are right.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from strop.runtime.contract import C
from strop.runtime.reference.arithmetic import Integers, bitlens, dsh, rsh, sat
from strop.runtime.reference.loss import EXP, LN, LN2

ONE = 1 << C.TARGET_FRACTION


class Outputs(NamedTuple):
    """What a loss says of each output, all [K, N]."""

    e15: Integers
    loss: Integers
    right: NDArray[np.bool_]


def sigmoid_cross_entropy(logits: Integers, e: int, targets: Integers) -> Outputs:
    """Return binary cross-entropy: a target is the probability of the output's being on."""
    z4 = np.clip(rsh(logits, e - C.LOGIT_FRACTION), -32767, 32767)
    exponential = EXP[np.minimum(255, np.abs(z4))]
    total = ONE + exponential
    q = (2**30 + (total >> 1)) // total
    p = np.where(z4 >= 0, q, ONE - q)
    b = bitlens(total) - 1
    u = (total << 16) >> b
    i, t = (u >> 8) & 255, u & 255
    logarithm = LN2 * (b - 15) + LN[i] + (((LN[i + 1] - LN[i]) * t) >> 8)
    wrong_way = targets * np.maximum(0, -z4) + (ONE - targets) * np.maximum(0, z4)
    return Outputs(_clipped(p - targets), rsh(wrong_way, 3) + logarithm, (z4 >= 0) == (targets >= ONE // 2))


def squared_error(logits: Integers, e: int, targets: Integers) -> Outputs:
    """Return half the squared distance; an output is right within half of the target."""
    y15 = np.clip(rsh(logits, e - C.TARGET_FRACTION), -(2**20), 2**20)
    distance = y15 - targets
    return Outputs(_clipped(distance), rsh(distance * distance, 15), np.abs(distance) < ONE // 2)


def error(e15: Integers, r: Integers) -> Integers:
    """Return the error e8 [K, N], exponent 7, rounded by the dither r [K, N]."""
    return sat(dsh(e15, 8, r))


def _clipped(difference: Integers) -> Integers:
    return np.clip(difference, -32767, 32767)
