"""strop's host: networks to choose from, data sets, training, checkpoints.

A first run:

    from strop.host import Model, load_dataset

    train, test = load_dataset("fashion-mnist-subset", "train"), load_dataset("fashion-mnist-subset", "test")
    model = Model.create("lenet5", input=train.image_shape, classes=train.classes)
    history = model.fit(train, epochs=3, validation=test, checkpoint="lenet5.safetensors")
    print(model.evaluate(test).accuracy, model.digest())
"""

from __future__ import annotations

from strop.host.answers import Evaluation, Prediction
from strop.host.checkpoint import Checkpoint, read_checkpoint, read_manifest, state_digest
from strop.host.cursor import FitCursor, TrainingSettings
from strop.host.data import Dataset, load_dataset
from strop.host.history import EpochRecord, History, Progress, StepRecord
from strop.host.model import Model
from strop.host.schedules import SCHEDULES, Constant, Cosine, Schedule, Step

__all__ = [
    "SCHEDULES",
    "Checkpoint",
    "Constant",
    "Cosine",
    "Dataset",
    "EpochRecord",
    "Evaluation",
    "FitCursor",
    "History",
    "Model",
    "Prediction",
    "Progress",
    "Schedule",
    "Step",
    "StepRecord",
    "TrainingSettings",
    "load_dataset",
    "read_checkpoint",
    "read_manifest",
    "state_digest",
]
