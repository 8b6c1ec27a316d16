"""Protects the learners on features: the front stays as it was frozen, SLDA is the closed form over the stream."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from float_features import SHRINKAGE, SLDA, LatentReplay, features  # noqa: E402
from float_learners import Naive  # noqa: E402
from test_float_learners import GRAPH, PROTOCOL, assert_same, parameters, samples  # noqa: E402

AFTER = "pool1"
FRONT = ("conv1", "bn1")


def front_of(learner: Naive) -> list[torch.Tensor]:
    """Return copies of what the layers in front of the cut hold."""
    state = learner.network.state_dict()
    return [tensor.clone() for name, tensor in state.items() if name.split(".")[1] in FRONT]


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_the_front_is_frozen_after_experience_1(norm: str) -> None:
    """Experience 1 is naive; experience 2 leaves the front's weights and statistics to the bit, and trains the rear."""
    learner, naive = (
        make(GRAPH, norm, PROTOCOL, 1, *more) for make, more in ((LatentReplay, (20, AFTER)), (Naive, ()))
    )
    for either in (learner, naive):
        either.learn(*samples(0))
    assert_same(parameters(learner), parameters(naive))
    front, whole = front_of(learner), parameters(learner)
    assert len(front) > 3
    learner.learn(*samples(2))
    assert_same(front_of(learner), front)
    assert sum(not torch.equal(*pair) for pair in zip(whole, parameters(learner), strict=True)) >= 5


def test_maps_of_the_old_experience_are_replayed() -> None:
    """Experience 1 is offered to the reservoir when the front freezes, then each new sample, as the front's maps."""
    learner = LatentReplay(GRAPH, "l2", PROTOCOL, 1, 20, AFTER)
    images, labels = samples(0)
    learner.learn(images, labels)
    maps, kept_labels = learner.memory.draw(20)
    given = {values.tobytes(): label for values, label in zip(features(learner, images, AFTER), labels, strict=True)}
    assert learner.memory.seen == 32 and len(maps) == 20
    assert [given[values.tobytes()] for values in maps] == kept_labels.tolist()
    learner.learn(*samples(2))
    assert learner.memory.seen == 64 and len(set(learner.memory.draw(20)[1].tolist())) == 4
    assert learner.kept_bytes == 20 * (4 * 4 * 9 + 1)


@pytest.mark.parametrize("front", ["trained", "random"])
def test_slda_is_the_closed_form_over_everything_seen(front: str) -> None:
    """Two experiences give what means and pooled within-class covariance of all samples give, computed plainly."""
    learner = SLDA(GRAPH, "l2", PROTOCOL, 6, AFTER, front)
    stream = [samples(0), samples(2)]
    for images, labels in stream:
        learner.learn(images, labels)
    images, labels = (np.concatenate(arrays) for arrays in zip(*stream, strict=True))
    x = features(learner, images, AFTER).reshape(len(images), -1).astype(np.float64)
    means = np.stack([x[labels == label].mean(0) for label in range(4)])
    centered = x - means[labels]
    covariance = (1 - SHRINKAGE) * centered.T @ centered / len(x) + SHRINKAGE * np.eye(x.shape[1])
    weight = np.linalg.solve(covariance, means.T).T
    np.testing.assert_allclose(learner._weight, weight, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(learner._bias, -(weight * means).sum(1) / 2, rtol=1e-6)
    assert np.mean(learner.predict(images) == labels) > 0.9


def test_slda_names_only_classes_it_has_seen() -> None:
    """An unseen class has mean 0, and would win where all others score below 0; before any, the network answers."""
    learner, naive = SLDA(GRAPH, "l2", PROTOCOL, 6, AFTER), Naive(GRAPH, "l2", PROTOCOL, 6)
    np.testing.assert_array_equal(learner.predict(samples(2)[0]), naive.predict(samples(2)[0]))
    learner.learn(*samples(0))
    assert set(learner.predict(samples(2)[0]).tolist()) <= {0, 1}


def test_the_front_of_slda_learns_from_experience_1_alone() -> None:
    """Trained: the epochs asked for, then frozen. Random: the first weights, but statistics that fit the images."""
    trained, naive = SLDA(GRAPH, "l2", PROTOCOL, 6, AFTER, front_epochs=2), Naive(GRAPH, "l2", PROTOCOL, 6)
    trained.learn(*samples(0))
    naive._fit(*samples(0), epochs=2)
    assert_same(front_of(trained), front_of(naive))
    trained.learn(*samples(2))
    assert_same(front_of(trained), front_of(naive))
    random, untouched = SLDA(GRAPH, "l2", PROTOCOL, 6, AFTER, "random"), Naive(GRAPH, "l2", PROTOCOL, 6)
    random.learn(*samples(0))
    assert torch.equal(random.network.layers["conv1"].weight, untouched.network.layers["conv1"].weight)
    assert not torch.equal(random.network.layers["bn1"].running_mean, untouched.network.layers["bn1"].running_mean)
