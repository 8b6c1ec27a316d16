"""What a fine-tuning job does: from a parent's file and samples to a trained model, going on where it was stopped.

The same function serves the worker and the verification of a version: everything that the bytes depend on is in its
arguments.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from strop.host import EpochRecord, Model, Progress
from strop.host.data import Dataset
from strop.runtime.device import Device
from strop.runtime.errors import CheckpointError

LOG = logging.getLogger("strop.training")
FIT_WORDS = ("steps", "epochs", "batch", "learning_rate", "schedule", "momentum", "weight_decay", "frozen", "seed")
DEFAULT_STEPS = 300


def fit_words(request: dict[str, Any]) -> dict[str, Any]:
    """Return the words of `Model.fit` that a request makes."""
    words = {name: request.get(name) for name in FIT_WORDS}
    if words["steps"] is None and words["epochs"] is None:
        words["steps"] = DEFAULT_STEPS
    return words


def finetune(
    parent: Path,
    checkpoint: Path,
    dataset: Dataset,
    validation: Dataset | None,
    words: dict[str, Any],
    checkpoint_every: int,
    device: Device,
    *,
    on_step: Callable[[Progress], None] | None = None,
    on_epoch: Callable[[EpochRecord], None] | None = None,
) -> Model:
    """Train the model at `parent` on `dataset`, or go on from `checkpoint`; return it, on `device`.

    The final state is the same whether the run was interrupted or not, and on any device. What a callback raises comes
    out after the checkpoint was written.
    """
    model = _resumed(checkpoint, device)
    if model is not None:
        model.resume(dataset, validation=validation, checkpoint=checkpoint, on_step=on_step, on_epoch=on_epoch)
        return model
    model = Model.load(parent, device=device)
    model.fit(
        dataset,
        **words,
        validation=validation,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        on_step=on_step,
        on_epoch=on_epoch,
    )
    return model


def _resumed(checkpoint: Path, device: Device) -> Model | None:
    """Return the model of a checkpoint; None where there is none, or one that is damaged: then from the beginning."""
    if not checkpoint.exists():
        return None
    try:
        model = Model.load(checkpoint, device=device)
    except CheckpointError as error:
        LOG.warning("a checkpoint is of no use; training starts again", extra={"fields": {"reason": str(error)}})
        return None
    return model if model.cursor is not None else None
