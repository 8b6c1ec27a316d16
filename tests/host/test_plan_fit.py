"""What fit does with what it was asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from strop.host.data import Dataset
from strop.host.plan_fit import FitRequest, plan_fit
from strop.host.schedules import Constant
from strop.runtime.errors import InputError
from strop.runtime.hyperparameters import Hyperparameters
from tiny_models import tiny_dataset

PLAIN = FitRequest(
    epochs=None,
    steps=None,
    batch=16,
    learning_rate=0.1,
    schedule="constant",
    momentum=0.9,
    weight_decay=0.0,
    frozen=(),
    seed=0,
    checkpoint_every=None,
)


def plan(dataset: Dataset | None = None, largest_auto_batch: int = 128, **changes: Any) -> Any:
    """Plan a fit that differs from the plain one in `changes`."""
    request = replace(PLAIN, **changes)
    return plan_fit(request, dataset or tiny_dataset(60), Hyperparameters(), largest_auto_batch)


def test_epochs_are_full_minibatches() -> None:
    """Protects the count of steps: what is left over at the end of an epoch is dropped."""
    assert (plan().steps_per_epoch, plan().steps, plan().epochs) == (3, 3, 1)
    assert (plan(epochs=4).steps, plan(epochs=4).epochs) == (12, 4)
    assert (plan(steps=7).steps, plan(steps=7).epochs) == (7, 3)


def test_a_small_data_set_is_one_minibatch() -> None:
    """Protects fine-tuning on a few samples: fewer than a mini-batch are one, and the reason is told."""
    cursor = plan(tiny_dataset(5))
    assert (cursor.settings.batch, cursor.steps_per_epoch) == (5, 1)
    assert "only 5 samples" in cursor.reasons["batch"]


@pytest.mark.parametrize(("samples", "batch"), [(60_000, 128), (2048, 128), (2000, 64), (300, 16), (9, 9)])
def test_auto_batch(samples: int, batch: int) -> None:
    """Protects what "auto" promises: enough steps in an epoch, the usual size where there are."""
    blank = Dataset.from_arrays(np.zeros((samples, 2, 2), np.uint8), np.zeros(samples, int))
    cursor = plan(blank, batch="auto")
    assert cursor.settings.batch == batch
    assert cursor.requested["batch"] == "auto" and "batch" in cursor.reasons


def test_auto_batch_fits_the_memory() -> None:
    """Protects small boards: what has no room is not planned, and the reason is told."""
    cursor = plan(tiny_dataset(60), largest_auto_batch=8, batch="auto")
    assert cursor.settings.batch == 8 and "memory" in cursor.reasons["batch"]


def test_auto_learning_rate_goes_with_the_minibatch() -> None:
    """Protects training with small mini-batches: a tenth of the size, a tenth of the rate."""
    assert plan(tiny_dataset(600), batch=128, learning_rate="auto").learning_rate == 0.1
    assert plan(tiny_dataset(600), batch=512, learning_rate="auto").learning_rate == 0.1
    cursor = plan(batch=32, learning_rate="auto")
    assert cursor.learning_rate == 0.025
    assert "learning_rate" in cursor.reasons and cursor.hyperparameters()["learning_rate"] == 0.025


def test_what_fixed_point_makes_of_the_momentum_is_told() -> None:
    """Protects experiments: 0.9 is trained with as 230/256, and the record says both."""
    words = plan(momentum=0.9).hyperparameters()
    assert (words["momentum"], words["effective_momentum"]) == (0.9, 230 / 256)


def test_numpy_numbers_become_plain_ones() -> None:
    """Protects the manifest: numbers from arrays can be written as JSON."""
    cursor = plan(batch=np.int64(16), seed=np.uint8(3), learning_rate=np.float32(0.5), steps=np.int32(2))
    kinds = [type(v) for v in (cursor.settings.batch, cursor.seed, cursor.learning_rate, cursor.steps)]
    assert kinds == [int, int, float, int]
    assert {type(v) for v in cursor.requested.values()} <= {int, float, str, type(None)}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 1, "steps": 1}, "both given"),
        ({"epochs": 0}, "epochs is 0"),
        ({"steps": 2.5}, "steps is 2.5"),
        ({"steps": True}, "steps is True"),
        ({"batch": 1}, "batch is 1"),
        ({"batch": "large"}, "batch is 'large'"),
        ({"batch": 5000}, "allowed: 2 to 4096"),
        ({"learning_rate": "fast"}, 'a number or "auto"'),
        ({"learning_rate": -0.1}, "learning_rate is -0.1"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"learning_rate": 2.0**-39, "schedule": "paper", "steps": 9}, "learning rate of step 9"),
        ({"learning_rate": 2.0**-38, "schedule": Constant(warmup=50)}, "learning rate of step 1"),
        ({"schedule": "papre"}, "schedule 'papre'"),
        ({"momentum": 1.5}, "momentum is 1.5"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0"),
        ({"frozen": "conv1"}, r'pass a list of layer names, as \["conv1"\]'),
        ({"seed": -1}, "seed is -1"),
        ({"checkpoint_every": 0}, "checkpoint_every is 0"),
    ],
)
def test_what_cannot_be_done_is_refused(changes: dict[str, Any], words: str) -> None:
    """Protects the first step: every argument is checked before it, and the message names it."""
    with pytest.raises(InputError, match=words):
        plan(**changes)


def test_one_sample_is_refused() -> None:
    """Protects against a deviation of nothing."""
    with pytest.raises(InputError, match="at least 2"):
        plan(tiny_dataset(1))
