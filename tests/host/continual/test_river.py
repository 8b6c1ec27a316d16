"""A learner under river's names: dictionaries and names in, the learner's own answers out."""

from __future__ import annotations

import numpy as np
import pytest

from strop.host.continual import Learner, LearnerSettings, Replay
from strop.host.continual.river import RiverClassifier
from strop.runtime.errors import InputError
from tiny_models import tiny_dataset, tiny_model
from tiny_streams import SETTINGS


def test_dictionaries_and_names() -> None:
    """Protects river's calls: the same bytes as the learner's own learn_one, names instead of labels."""
    dataset = tiny_dataset(30)
    first = Learner(tiny_model(), settings=SETTINGS)
    first.learn(dataset)
    settings = LearnerSettings(batch=1, learning_rate=0.01, statistics="frozen")
    models = []
    for _ in range(2):
        models.append(tiny_model())
        models[-1].load_state(first.model.state(), steps=first.model.steps)
    one, other = Learner(models[0], settings=settings), Learner(models[1], settings=settings)
    river = RiverClassifier(other)
    for image, label in zip(dataset.images[:5], dataset.labels[:5].tolist(), strict=True):
        one.learn_one(image, label)
        river.learn_one({f"pixel {i}": int(v) for i, v in enumerate(image.ravel())}, dataset.classes[label])
    assert models[0].digest() == models[1].digest()
    image = dataset.images[7]
    assert river.predict_one(image) == dataset.classes[one.predict_one(image)]
    assert set(river.predict_proba_one(image)) == set(dataset.classes)
    assert sum(river.predict_proba_one(image).values()) == pytest.approx(1.0)


def test_nothing_is_predicted_before_anything_was_learned() -> None:
    """As river's own classifiers do; a network that no step has trained cannot be asked."""
    river = RiverClassifier(Learner(tiny_model(), Replay(5), settings=SETTINGS))
    assert river.predict_one(tiny_dataset(3).images[0]) is None
    assert river.predict_proba_one(tiny_dataset(3).images[0]) == {}


@pytest.mark.parametrize(
    ("x", "y"), [({"a": 1}, "left"), (np.full(64, 0.5), "left"), (np.zeros(64), "nowhere"), (np.zeros(64), 3)]
)
def test_what_is_no_image_or_no_class_is_refused(x: object, y: object) -> None:
    """At the door, with what is allowed."""
    river = RiverClassifier(Learner(tiny_model(), settings=SETTINGS))
    with pytest.raises(InputError):
        river.learn_one(x, y)  # type: ignore[arg-type]


def test_rivers_own_evaluation_takes_it() -> None:
    """Protects the adapter against what river really calls."""
    evaluate = pytest.importorskip("river.evaluate", reason="river is not installed")
    metrics = pytest.importorskip("river.metrics", reason="river is not installed")
    dataset = tiny_dataset(60)
    first = Learner(tiny_model(), settings=SETTINGS)
    first.learn(dataset)
    learner = Learner(first.model, settings=LearnerSettings(batch=1, learning_rate=0.01, statistics="frozen"))
    stream = [
        ({i: int(v) for i, v in enumerate(image.ravel())}, dataset.classes[label])
        for image, label in zip(dataset.images, dataset.labels.tolist(), strict=True)
    ]
    score = evaluate.progressive_val_score(stream, RiverClassifier(learner), metrics.Accuracy())
    assert score.get() > 0.8
