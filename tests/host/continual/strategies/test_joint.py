"""Joint training: after each experience what one training on everything so far would have given."""

from __future__ import annotations

import numpy as np
import pytest

from strop.host.continual import GDumb, Joint, Learner, LearnerSettings, Strategy
from strop.host.data import Dataset
from strop.host.model import Model
from strop.runtime.graph import L1BN, Conv2d, Flatten, Linear, MaxPool2d, NetworkGraph, ReLU
from tiny_models import tiny_dataset, tiny_model
from tiny_streams import assert_equal_parts, stream

SETTINGS = LearnerSettings(batch=4, momentum=0.5, epochs=2, seed=3)


@pytest.mark.parametrize("momenta", [False, True])
def test_one_experience_is_plain_training(momenta: bool) -> None:
    """Protects the bound: it is reached by the learner's own training, to the byte, from the same state."""
    plain, joint = tiny_model(), tiny_model()
    if momenta:  # a state that comes with momenta is begun with as it is, as plain training does
        for model in (plain, joint):
            model.fit(tiny_dataset(20, seed=5), batch=4, epochs=1)
    Learner(plain, settings=SETTINGS).learn(stream()[0])
    found = Learner(joint, Joint(2), settings=SETTINGS)
    learned = found.learn(stream()[0])
    assert plain.digest() == joint.digest()
    assert plain.steps == joint.steps and found.steps == 2 * 7
    assert learned.samples == 26 and learned.training.samples == 0, "the experience itself is not trained on"


def test_later_experiences_begin_afresh_with_everything() -> None:
    """Protects the bound from forgetting: nothing of the earlier training is left, and no sample is missing."""
    found = Learner(tiny_model(), Joint(), settings=SETTINGS)
    for dataset in stream():
        found.learn(dataset)
    parts = stream()
    everything = Dataset.from_arrays(
        np.concatenate([p.images for p in parts]), np.concatenate([p.labels for p in parts]), classes=parts[0].classes
    )
    by_hand = Learner(tiny_model(), settings=SETTINGS)
    by_hand.experiences = 2  # so that the order is the third experience's
    by_hand.train_afresh(everything, 1, by_hand.model.state())
    assert by_hand.model.digest() == found.model.digest()
    arrays = found.strategies[0].arrays()
    np.testing.assert_array_equal(arrays["images"], everything.images)
    np.testing.assert_array_equal(arrays["labels"], everything.labels)
    assert found.strategies[0].facts() == {"samples": [26, 26, 26]}


def test_restored_at_any_time_it_is_the_same() -> None:
    """Protects resume, also before the first experience."""
    found, other = (Learner(tiny_model(), Joint(), settings=SETTINGS) for _ in range(2))
    for dataset in [None, *stream()]:
        if dataset is not None:
            found.learn(dataset)
        other.become(found.parts())
        assert_equal_parts(found.parts(), other.parts())
        assert other.strategies[0].nbytes == found.strategies[0].nbytes


@pytest.mark.parametrize("strategy", [Joint(3), GDumb(30, 6)], ids=["joint", "gdumb"])
def test_a_class_that_came_later_is_trained(strategy: Strategy) -> None:
    """Protects training afresh: the first state had a spare output where there is a class by now."""
    graph = NetworkGraph("two", (1, 8, 8), (Conv2d(4, (3, 3)), L1BN(), ReLU(), MaxPool2d(), Flatten(), Linear(2)))
    first, names = stream()[0], ("left", "right")
    model = Model.create(graph, classes=names, spare_classes=1, device="emulator", threads=1)
    found = Learner(model, strategy, settings=LearnerSettings(batch=4, learning_rate=0.1, seed=3))
    found.learn(Dataset.from_arrays(first.images, first.labels, classes=names))
    model.add_class("both")
    found.learn(tiny_dataset(60))
    test = tiny_dataset(30, seed=1)
    answers = found.predict(test.images).labels
    assert np.mean(answers[test.labels == 2] == 2) > 0.5
