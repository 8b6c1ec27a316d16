"""A learner under river's names: dictionaries and names in, the learner's own answers out."""

from __future__ import annotations

import numpy as np
import pytest

from strop.host.continual import Learner, LearnerSettings, Replay, StreamingLda
from strop.host.continual.river import RiverClassifier
from strop.host.data import Dataset
from strop.host.model import Model
from strop.runtime.errors import InputError
from tiny_models import tiny_dataset, tiny_graph, tiny_model
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


def test_answers_are_in_the_words_of_the_samples() -> None:
    """Protects river's metrics, which compare by equality: labels for labels, names for names."""
    dataset = tiny_dataset(30)
    named, unnamed = tiny_model(), Model.create(tiny_graph(), device="emulator", threads=1)
    settings = LearnerSettings(batch=1, learning_rate=0.01, statistics="running")
    for model, first in ((named, dataset.classes), (unnamed, (0, 1, 2))):
        Learner(model, settings=SETTINGS).learn(Dataset.from_arrays(dataset.images, dataset.labels))
        river = RiverClassifier(Learner(model, settings=settings))
        image = dataset.images[4]
        assert river.predict_one(image) == first[1] and tuple(river.predict_proba_one(image)) == first
        for words in ((0, 1, 2), model.classes, (np.int64(0), np.int64(1), np.int64(2))):
            river.learn_one(image, words[1])
            assert river.predict_one(image) == words[1] and river.predict_proba_one(image).keys() == set(words)
            with pytest.raises(InputError):
                river.learn_one(image, "nowhere")
            assert river.predict_one(image) == words[1]


@pytest.mark.parametrize("answers", ["names", "labels", "a head"])
def test_rivers_own_evaluation_takes_it(answers: str) -> None:
    """Protects the adapter against what river really calls."""
    evaluate = pytest.importorskip("river.evaluate", reason="river is not installed: pip install strop[river]")
    metrics = pytest.importorskip("river.metrics", reason="river is not installed: pip install strop[river]")
    dataset = tiny_dataset(60)
    first = Learner(tiny_model(), settings=SETTINGS)
    first.learn(dataset)
    settings = LearnerSettings(batch=1, learning_rate=0.01, statistics="frozen")
    heads = (StreamingLda(whole_experiences=0),) if answers == "a head" else ()
    words = (0, 1, 2) if answers == "labels" else dataset.classes
    river = RiverClassifier(Learner(first.model, *heads, settings=settings))
    stream = [
        ({i: int(v) for i, v in enumerate(image.ravel())}, words[label])
        for image, label in zip(dataset.images, dataset.labels.tolist(), strict=True)
    ]
    score = evaluate.progressive_val_score(stream, river, metrics.Accuracy())
    assert score.get() > 0.8
    loss = list(evaluate.iter_progressive_val_score(stream, river, metrics.CrossEntropy(), step=20))
    assert [state["Step"] for state in loss] == [20, 40, 60]
    assert loss[-1]["CrossEntropy"].get() < 1.0, "probabilities, by the same words"
