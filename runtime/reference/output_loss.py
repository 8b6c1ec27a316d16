"""Losses without softmax, from integer logits [K, N] and targets [K, N] in 2^-15 (NUMERICS 1.17).

Each returns error e15 [K, N] before it is rounded, loss of each output [K, N] in units of 2^-16, and which are right.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from strop.runtime.contract import C
from strop.runtime.reference.arithmetic import Integers, rsh
from strop.runtime.reference.loss import EXP, clipped, logarithm, sixteenths

ONE = 1 << C.TARGET_FRACTION


class Outputs(NamedTuple):
    """What a loss says of each output, all [K, N]."""

    e15: Integers
    loss: Integers
    right: NDArray[np.bool_]


def sigmoid_cross_entropy(logits: Integers, e: int, targets: Integers) -> Outputs:
    """Return binary cross-entropy: a target is the probability of the output's being on."""
    z4 = sixteenths(logits, e)
    total = ONE + EXP[np.minimum(255, np.abs(z4))]
    q = (2**30 + (total >> 1)) // total
    p = np.where(z4 >= 0, q, ONE - q)
    wrong_way = targets * np.maximum(0, -z4) + (ONE - targets) * np.maximum(0, z4)
    return Outputs(clipped(p - targets), rsh(wrong_way, 3) + logarithm(total), (z4 >= 0) == (targets >= ONE // 2))


def squared_error(logits: Integers, e: int, targets: Integers) -> Outputs:
    """Return half the squared distance; an output is right within half of the target."""
    y15 = np.clip(rsh(logits, e - C.TARGET_FRACTION), -(2**20), 2**20)
    distance = y15 - targets
    return Outputs(clipped(distance), rsh(distance * distance, 15), np.abs(distance) < ONE // 2)
