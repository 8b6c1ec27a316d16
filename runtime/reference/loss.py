"""Softmax cross-entropy and its error, from integer logits [K, N] (NUMERICS 1.6).

Answers are labels [N], or soft targets [K, N] of which those of a sample sum to 32768.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from strop.runtime.contract import C
from strop.runtime.reference.arithmetic import Integers, bitlens, dsh, rsh, sat

EXP: Integers = np.round(2.0**15 * np.exp(-np.arange(256) / 16)).astype(np.int64)
LN: Integers = np.round(2.0**16 * np.log1p(np.arange(257) / 256)).astype(np.int64)
LN2 = 45426  # round(2^16 ln 2)


def sixteenths(logits: Integers, e: int) -> Integers:
    """Return z4 [K, N], the logits in units of 1/16."""
    return np.clip(rsh(logits, e - C.LOGIT_FRACTION), -32767, 32767)


def _exponentials(z4: Integers) -> Integers:
    """Return E [K, N] = 2^15 exp(z - max z), from the table."""
    result: Integers = EXP[np.minimum(255, z4.max(axis=0) - z4)]
    return result


def error(logits: Integers, e: int, labels: NDArray[np.int32], r: Integers) -> Integers:
    """Return the logit error e8 [K, N], exponent 7: softmax minus one-hot, rounded by the dither r [K, N]."""
    return soft_error(logits, e, 32768 * (np.arange(len(logits))[:, None] == labels), r)


def soft_error(logits: Integers, e: int, targets: Integers, r: Integers) -> Integers:
    """Return the logit error from soft targets: softmax minus those."""
    exponentials = _exponentials(sixteenths(logits, e))
    total = exponentials.sum(axis=0)
    p = ((exponentials << 15) + (total >> 1)) // total
    return rounded(clipped(p - targets), r)


def clipped(difference: Integers) -> Integers:
    """Return e15 of answers less targets, both in 2^-15."""
    return np.clip(difference, -32767, 32767)


def rounded(e15: Integers, r: Integers) -> Integers:
    """Return the error e8, exponent 7, of e15 [K, N], rounded by the dither r [K, N]."""
    return sat(dsh(e15, 8, r))


def cross_entropy(logits: Integers, e: int, labels: NDArray[np.int32]) -> Integers:
    """Return the loss of each sample [N] in units of 2^-16 nat."""
    z4 = sixteenths(logits, e)
    distance = z4.max(axis=0) - np.take_along_axis(z4, labels[None].astype(np.int64), axis=0)[0]
    result: Integers = (distance << 12) + logarithm(_exponentials(z4).sum(axis=0))
    return result


def soft_cross_entropy(logits: Integers, e: int, targets: Integers) -> Integers:
    """Return the loss of each sample [N] from soft targets."""
    z4 = sixteenths(logits, e)
    return rsh((targets * (z4.max(axis=0) - z4)).sum(axis=0), 3) + logarithm(_exponentials(z4).sum(axis=0))


def logarithm(total: Integers) -> Integers:
    """Return the logarithm of sums of exponentials E, less that of 2^15, in units of 2^-16 nat."""
    b = bitlens(total) - 1
    u = (total << 16) >> b
    i, t = (u >> 8) & 255, u & 255
    result: Integers = LN2 * (b - 15) + LN[i] + (((LN[i + 1] - LN[i]) * t) >> 8)
    return result


def correct(logits: Integers, labels: NDArray[np.int32]) -> int:
    """Return how many samples have their label at the first of the largest logits."""
    return int(np.count_nonzero(np.argmax(logits, axis=0) == labels))
