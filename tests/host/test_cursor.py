"""The fit cursor: whether a data set is the same, and a way through JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from strop.host.cursor import FitCursor, TrainingSettings, mark
from strop.host.data import Dataset
from strop.host.schedules import Cosine
from strop.runtime.errors import CheckpointMismatch, InputError
from strop.runtime.hyperparameters import LOSSES, Hyperparameters
from tiny_models import tiny_dataset

CURSOR = FitCursor(
    settings=TrainingSettings(16, Hyperparameters(0.5, 0.001, False), frozenset({"conv1"})),
    learning_rate=0.1,
    schedule=Cosine(0.1, warmup=2),
    seed=7,
    steps=10,
    steps_per_epoch=3,
    dataset=mark(tiny_dataset()),
    checkpoint_every=4,
    requested={"batch": "auto"},
    reasons={"batch": "because"},
    done=5,
)


def test_survives_json() -> None:
    """Protects resumption: nothing of a fit is lost on the way through a manifest."""
    assert FitCursor.from_dict(json.loads(json.dumps(CURSOR.to_dict()))) == CURSOR


def test_augmentation_is_said_only_where_there_is_one() -> None:
    """Protects manifests of other fits, which stay what they were, and refuses one that this strop does not have."""
    changed = replace(CURSOR, augment="crop-flip")
    assert FitCursor.from_dict(json.loads(json.dumps(changed.to_dict()))) == changed != CURSOR
    assert set(changed.to_dict()) - set(CURSOR.to_dict()) == {"augment"}
    assert changed.hyperparameters()["augment"] == "crop-flip" and "augment" not in CURSOR.hyperparameters()
    with pytest.raises(InputError, match="augment is 'mixup'"):
        FitCursor.from_dict({**CURSOR.to_dict(), "augment": "mixup"})


def test_settings_of_a_stream_survive_and_plain_ones_say_what_they_said() -> None:
    """Protects old checkpoints, which lack what came later, and the bytes of plain ones, which lack it, too."""
    plain = CURSOR.settings.to_dict()
    assert set(plain) == {"batch", "momentum", "weight_decay", "per_channel_weights", "frozen"}
    assert TrainingSettings.from_dict(plain) == CURSOR.settings
    stream = TrainingSettings(1, Hyperparameters(statistics="running", soft_targets=True, elastic=True))
    assert set(stream.to_dict()) - set(plain) == {"statistics", "soft_targets", "elastic"}
    for loss in LOSSES:
        settings = TrainingSettings(8, Hyperparameters(loss=loss))
        assert TrainingSettings.from_dict(settings.to_dict()) == settings
    assert TrainingSettings.from_dict(json.loads(json.dumps(stream.to_dict()))) == stream
    with pytest.raises(InputError, match="statistics is 'none'"):
        TrainingSettings.from_dict({**plain, "statistics": "none"})


def test_says_where_it_is() -> None:
    """Protects the counts that people and services read."""
    assert (CURSOR.epochs, CURSOR.finished, replace(CURSOR, done=10).finished) == (4, False, True)
    assert (CURSOR.to_dict()["epoch"], CURSOR.to_dict()["step_in_epoch"]) == (1, 2)
    assert CURSOR.rate(1) == pytest.approx(0.1 * 2 / 3)


@pytest.mark.parametrize(
    "wrong", [{"done": 11}, {"done": -1}, {"steps": 0, "done": 0}, {"steps_per_epoch": 0}, {"seed": -1}]
)
def test_fits_that_cannot_be_are_refused(wrong: dict[str, int]) -> None:
    """Protects loading from manifests that somebody edited."""
    with pytest.raises(InputError):
        replace(CURSOR, **wrong)


def test_the_same_samples_have_the_same_mark() -> None:
    """Protects resumption in a new process: equal bytes are the same data set, whatever its name."""
    mark(tiny_dataset()).check(tiny_dataset(name="renamed"))


def test_other_samples_have_another_mark() -> None:
    """Protects the promise of equal bytes: a pixel, a label, the order or the shape makes another data set."""
    base = tiny_dataset()
    pixel, label = base.images.copy(), base.labels.copy()
    pixel[3, 0, 2, 1] += 1
    label[3] = (label[3] + 1) % 3
    others = [
        Dataset.from_arrays(pixel, base.labels, name="pixel"),
        Dataset.from_arrays(base.images, label, name="label"),
        base.subset(np.roll(np.arange(len(base)), 1)),
        base.subset(np.arange(len(base) - 1)),
        Dataset.from_arrays(base.images.reshape(-1, 1, 4, 16), base.labels, name="shape"),
    ]
    assert len({mark(other).digest for other in [base, *others]}) == 6
    for other in others:
        with pytest.raises(CheckpointMismatch, match=f"tiny .*but was given {other.name} "):
            mark(base).check(other)
