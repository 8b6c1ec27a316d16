"""Soft targets: what a sample should be answered with, class by class, instead of a label (NUMERICS.md 1.6).

Distillation and label smoothing train with them. They are integers, so that the bytes of a training do not depend on
how a machine rounds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.runtime.contract import C
from strop.runtime.errors import InputError

ONE = 1 << C.TARGET_FRACTION  # what the targets of a sample sum to
EXP = np.rint(2.0**15 * np.exp(-np.arange(256) / (1 << C.LOGIT_FRACTION))).astype(np.int64)  # NUMERICS.md 1.6


def one_hot(labels: NDArray[np.int32], classes: int) -> NDArray[np.int32]:
    """Return targets int32 [N, classes] that say what labels int32 [N] say."""
    return np.where(labels[:, None] == np.arange(classes), ONE, 0).astype(np.int32)


def softmax(logits: NDArray[np.float64], temperature: int = 1) -> NDArray[np.int64]:
    """Return the probabilities, in units of 1/32768, int64 [N, K], of logits float64 [N, K] as `Session.logits` gives.

    By the integers of NUMERICS.md 1.6; temperature: a power of two, which divides the logits. Logits are whole
    multiples of a power of two, so nothing here depends on how a machine rounds. Sums are 32768 but for rounding.
    """
    index = np.floor(logits * ((1 << C.LOGIT_FRACTION) / temperature) + 0.5).astype(np.int64)
    powers = EXP[np.minimum(index.max(axis=1, keepdims=True) - index, len(EXP) - 1)]
    total = powers.sum(axis=1, keepdims=True)
    found: NDArray[np.int64] = ((powers << C.TARGET_FRACTION) + (total >> 1)) // total
    return found


def check_targets(targets: NDArray[Any], samples: int, classes: int) -> None:
    """Raise `InputError` unless `targets` is int32 [samples, classes], none negative, each row 32768 in sum."""
    if targets.dtype != np.int32 or targets.shape != (samples, classes):
        raise InputError(
            f"targets are {targets.dtype}{list(targets.shape)}; expected int32{[samples, classes]}: for each sample a "
            f"number for each class, in units of 1/{ONE}"
        )
    sums = targets.sum(axis=1, dtype=np.int64)
    bad = np.flatnonzero((targets.min(axis=1) < 0) | (sums != ONE))
    if bad.size:
        row = int(bad[0])
        raise InputError(
            f"the targets of sample {row} sum to {int(sums[row])}, the least is {int(targets[row].min())}; allowed: "
            f"whole numbers from 0 on that sum to {ONE}, which stands for 1"
        )


def check_output_targets(targets: NDArray[Any], samples: int, outputs: int, least: int) -> None:
    """Raise `InputError` unless `targets` is int32 [samples, outputs] from `least` to 32768 (NUMERICS.md 1.17)."""
    if targets.dtype != np.int32 or targets.shape != (samples, outputs):
        raise InputError(
            f"targets are {targets.dtype}{list(targets.shape)}; expected int32{[samples, outputs]}: for each sample a "
            f"number for each output, in units of 1/{ONE}"
        )
    bad = np.flatnonzero((targets.min(axis=1) < least) | (targets.max(axis=1) > ONE))
    if bad.size:
        row = int(bad[0])
        raise InputError(
            f"the targets of sample {row} are {targets[row].min()} to {targets[row].max()}; allowed: {least} to {ONE}, "
            "which stands for 1"
        )


def target_rows(targets: NDArray[np.int32], plane: int) -> NDArray[np.int32]:
    """Return targets [N, K] as a slot holds them, int32 [K, plane / 4]: a class's samples in a row of `plane` bytes."""
    rows = np.zeros((targets.shape[1], plane // 4), np.int32)
    rows[:, : len(targets)] = targets.T
    return rows
