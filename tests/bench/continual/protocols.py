"""The protocols' settings in one place, for the int8 and the float32 runs alike."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """How a benchmark is learned: what a step sees, how fast, how often.

    `batch` new samples a step, with `replay_batch` kept ones joined to them where a learner keeps any; SGD with a
    constant `learning_rate` and `momentum`; `epochs` over each experience, full mini-batches only. `benchmark` is
    strop's name for the data (`strop.host.continual.load_benchmark`), `per_experience` how many training samples each
    experience has, None for all there are.
    """

    name: str
    benchmark: str
    batch: int
    replay_batch: int
    learning_rate: float
    momentum: float
    epochs: int
    per_experience: int | None


SPLIT = Protocol("split", "split-fashion-mnist", 32, 32, 0.05, 0.0, 1, None)  # 5 pairs of classes, one head of 10
ROTATED = Protocol("rotated", "rotated-fashion-mnist", 32, 32, 0.05, 0.0, 1, 10_000)  # 0, 36, 72, 108, 144 degrees
PROTOCOLS = {protocol.name: protocol for protocol in (SPLIT, ROTATED)}
