"""Hyperparameters and their fixed-point form (NUMERICS.md 1.8)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from strop.runtime.errors import InputError

MAX_MOMENTUM = 255 / 256  # beyond, 256 * (1 - momentum) would round towards 0: a momentum of 1, which never forgets
STATISTICS = ("batch", "running", "frozen")
LOSSES = ("cross_entropy", "binary_cross_entropy", "squared_error")


def mantissa_and_shift(value: float, what: str = "value") -> tuple[int, int]:
    """Return (m, k) with value ~ m * 2^-k and 128 <= m <= 255; (0, 0) for 0. 0.1 is (205, 11).

    Raises `InputError` unless 0 <= value < 256, and for values under 2^-40, which no master weight could feel.
    """
    if not (0.0 <= value < 256.0) or 0.0 < value < 2.0**-40:
        raise InputError(f"{what} is {value}; allowed: 0, or 2^-40 to 256")
    if value == 0.0:
        return 0, 0
    fraction, exponent = math.frexp(value)
    mantissa, shift = round(fraction * 256), 8 - exponent
    return (128, shift - 1) if mantissa == 256 else (mantissa, shift)


def batch_mantissa_and_shift(batch: int) -> tuple[int, int]:
    """Return (bm, bk) with 1/batch ~ bm * 2^-bk: exact, with bm = 1, for a power of two, else bm >= 2^14."""
    if batch & (batch - 1) == 0:
        return 1, batch.bit_length() - 1
    shift = 14
    while round(2**shift / batch) < 2**14:
        shift += 1
    return round(2**shift / batch), shift


@dataclass(frozen=True)
class Hyperparameters:
    """What a training program is compiled with. The learning rate is not here: each mini-batch carries its own.

    momentum: 0 to 255/256; kept as 256 * (1 - momentum), rounded: `effective_momentum` is what that amounts to.
    weight_decay: on weights, not on gamma, beta or bias. per_channel_weights: an exponent for each output channel of
    the int8 weights (before L1BN), else one a layer.
    statistics: what L1BN normalizes by while it trains: "batch", those of the mini-batch, of at least 2 samples;
    "running", the running ones, which go on learning (NUMERICS.md 1.12), for mini-batches that are small or not mixed;
    "frozen", the running ones as they are, while gamma, beta and the weights train.
    soft_targets: mini-batches may carry targets instead of labels alone (runtime/soft_targets.py). elastic: parameters
    are pulled towards anchors, once they are loaded (`Session.load_anchors`); NUMERICS.md 1.13.
    loss: "cross_entropy", softmax over the classes; "binary_cross_entropy", a sigmoid for each output, or
    "squared_error", half the squared distance, whose mini-batches must carry targets (NUMERICS.md 1.17).
    """

    momentum: float = 0.9
    weight_decay: float = 0.0
    per_channel_weights: bool = True
    statistics: str = "batch"
    soft_targets: bool = False
    elastic: bool = False
    loss: str = "cross_entropy"

    def __post_init__(self) -> None:
        if not 0.0 <= self.momentum <= MAX_MOMENTUM:
            raise InputError(
                f"momentum is {self.momentum}; allowed: 0 to {MAX_MOMENTUM} (255/256): it is kept as "
                "256 * (1 - momentum), a whole number from 256 down to 1"
            )
        mantissa_and_shift(self.weight_decay, "weight_decay")
        if self.statistics not in STATISTICS:
            raise InputError(f"statistics is {self.statistics!r}; allowed: {', '.join(STATISTICS)}")
        if self.loss not in LOSSES:
            raise InputError(f"loss is {self.loss!r}; allowed: {', '.join(LOSSES)}")

    @property
    def has_targets(self) -> bool:
        """Whether a mini-batch has a target for each output, beside its labels."""
        return self.soft_targets or self.loss != "cross_entropy"

    @property
    def least_batch(self) -> int:
        """The fewest samples of a mini-batch: 2 where L1BN needs their deviation from each other, else 1."""
        return 2 if self.statistics == "batch" else 1

    @property
    def momentum_decay(self) -> int:
        """256 * (1 - momentum), rounded."""
        return round(256 * (1.0 - self.momentum))

    @property
    def effective_momentum(self) -> float:
        """The momentum that training has: 0.9 is 230/256 = 0.8984375."""
        return 1.0 - self.momentum_decay / 256
