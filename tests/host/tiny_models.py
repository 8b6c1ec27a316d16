"""A network and data small enough that even the reference trains them in a moment, and a history made up by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from strop.host.data import Dataset
from strop.host.history import EpochRecord, History, StepRecord
from strop.host.model import Model
from strop.runtime.arena_plan import MemoryReport
from strop.runtime.graph import L1BN, Conv2d, Flatten, Layer, Linear, MaxPool2d, NetworkGraph, ReLU
from strop.runtime.session import StepResult

CLASSES = ("left", "right", "both")
HISTORY = History(
    steps=(
        StepRecord(1, 1, 0.1, StepResult(65536 * 4, 1, 2)),
        StepRecord(2, 1, 0.1, StepResult(65536 * 2, 2, 2)),
        StepRecord(3, 2, 0.01, StepResult(2**40 + 1, 0, 2)),
    ),
    epochs=(
        EpochRecord(1, 2, StepResult(65536 * 6, 3, 4), StepResult(65536 * 5, 4, 10)),
        EpochRecord(2, 1, StepResult(2**40 + 1, 0, 2), None),
    ),
    hyperparameters={"batch": 2},
    requested={"batch": "auto"},
    reasons={"batch": "because"},
    seconds=3.5,
    training_seconds=2.0,
    memory=MemoryReport(1, 2, 3, 4),
    device="a device",
    modelled={"a board": 0.25},
)


def tiny_graph(features: int = 8) -> NetworkGraph:
    """conv1, bn1, pool1, fc1, bn2, fc2 on images of 1 x 8 x 8; 3 classes."""
    layers: tuple[Layer, ...] = (
        *(Conv2d(4, (3, 3)), L1BN(), ReLU(), MaxPool2d(), Flatten()),
        *(Linear(features), L1BN(), ReLU(), Linear(3)),
    )
    return NetworkGraph("tiny", (1, 8, 8), layers)


def tiny_dataset(count: int = 60, seed: int = 0, name: str = "tiny") -> Dataset:
    """Noise, brighter in the left half, the right half, or both: learned within a few steps."""
    noise = np.random.Generator(np.random.PCG64(seed)).integers(0, 120, (count, 1, 8, 8))
    labels = np.arange(count) % 3
    noise[labels != 1, :, :, :4] += 110
    noise[labels != 0, :, :, 4:] += 110
    return Dataset.from_arrays(noise.astype(np.uint8), labels, classes=CLASSES, name=name)


def tiny_model(device: Any = "emulator", threads: int | None = None, features: int = 8, seed: int = 0) -> Model:
    """A new model of `tiny_graph`."""
    if device == "emulator" and threads is None:
        threads = 1
    return Model.create(tiny_graph(features), classes=CLASSES, seed=seed, device=device, threads=threads)
