"""SGD with momentum and weight decay on the int32 masters, and the int8 view of the weights (NUMERICS 1.8).

Before it, where parameters have anchors, the elastic pull towards them (1.13).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from strop.runtime.contract import C
from strop.runtime.reference.arithmetic import Integers, bitlens, rsh, sat, sat32


@dataclass(frozen=True)
class Factor:
    """The real factor mantissa * 2^-shift."""

    mantissa: int
    shift: int


def update(
    master: Integers,
    momentum: Integers,
    gradient: Integers,
    exponent: Integers,
    *,
    fraction: int,
    reciprocal: Factor,
    decay: int,
    weight_decay: Factor,
    learning_rate: Factor,
) -> tuple[Integers, Integers]:
    """Return master and momentum [rows, columns] after one step; `exponent` of the gradient is [rows, 1] or [1, 1].

    `fraction` is f, `reciprocal` 1/N, `decay` 256 * (1 - momentum).
    """
    w, v = master, momentum
    g = rsh(gradient * reciprocal.mantissa, exponent + reciprocal.shift - fraction)
    v = sat32(v - rsh(decay * v, 8) + g + rsh(weight_decay.mantissa * w, weight_decay.shift))
    w = sat32(w - rsh(learning_rate.mantissa * v, learning_rate.shift))
    return w, v


def pulled(master: Integers, anchor: Integers, importance: Integers) -> Integers:
    """Return the master after the pull by 2^-k of its distance from the anchor; k = 0 pulls nothing."""
    k = importance & 31
    return sat32(master - np.where(k > 0, rsh(master - anchor, k), 0))


def weight_view(master: Integers, per_row: bool) -> tuple[Integers, Integers]:
    """Return w8 [rows, columns] and its exponents ew [rows]; one exponent for all rows unless `per_row`."""
    largest = np.abs(master).max(axis=1)
    if not per_row:
        largest = np.full_like(largest, largest.max())
    s = np.maximum(0, bitlens(largest) - 7)
    return sat(rsh(master, s[:, None])), C.WEIGHT_FRACTION - s
