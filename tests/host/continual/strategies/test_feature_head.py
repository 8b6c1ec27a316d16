"""Classifiers on frozen features: sums that are exact in any order, scores by their formulas, no unseen class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from strop.host.continual import Learner, NearestMean, StreamingLda
from strop.host.continual.strategies.feature_head import FeatureHead, features_of
from strop.host.data import Dataset
from strop.host.model import Model
from strop.host.order import raw_bits
from strop.runtime.errors import InputError
from strop.runtime.graph import L1BN, Conv2d, Flatten, Linear, MaxPool2d, NetworkGraph, ReLU
from tiny_models import tiny_dataset, tiny_model
from tiny_streams import SETTINGS, stream

MODEL = tiny_model()
Learner(MODEL, settings=SETTINGS).learn(tiny_dataset(40))
HEADS = (NearestMean, StreamingLda)
DATA, TEST = tiny_dataset(45), tiny_dataset(30, seed=1)


def head_on(dataset: Dataset, kind: type[FeatureHead], model: Model = MODEL) -> Learner:
    """Return a learner whose head has the sums of `dataset`; its network was trained before."""
    found = Learner(model, kind("pool1", 0), settings=SETTINGS)
    found.learn(dataset)
    return found


def features(dataset: Dataset) -> NDArray[np.int64]:
    """Return the features, whole numbers [n, d]."""
    maps = MODEL.features(dataset.images, "pool1")
    return maps.reshape(len(maps), -1).astype(np.int64)


def test_sums_are_those_of_whole_numbers() -> None:
    """Protects exactness: counts, sums and second moment equal int64 arithmetic on the int8 features."""
    f = features(DATA)
    assert f.std() > 4, "features that say something"
    for kind in HEADS:
        arrays = head_on(DATA, kind).strategies[0].arrays()
        assert arrays["counts"].tolist() == [15, 15, 15]
        np.testing.assert_array_equal(arrays["sums"], [f[DATA.labels == label].sum(axis=0) for label in range(3)])
        assert arrays["sums"].dtype == np.int64
    np.testing.assert_array_equal(arrays["moment"], f.T @ f)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(45)), st.integers(1, 44), st.sampled_from(HEADS))
def test_the_order_of_samples_changes_no_byte(order: list[int], cut: int, kind: type[FeatureHead]) -> None:
    """Protects streams: in any order and cut anywhere into experiences, what is learned is the same to the byte."""
    expected = head_on(DATA, kind)
    found = Learner(MODEL, kind("pool1", 0), settings=SETTINGS)
    for part in (order[:cut], order[cut:]):
        found.learn(DATA.subset(np.array(part)))
    for name, array in expected.strategies[0].arrays().items():
        np.testing.assert_array_equal(array, found.strategies[0].arrays()[name], err_msg=name)
    np.testing.assert_array_equal(expected.predict(TEST.images).logits, found.predict(TEST.images).logits)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.integers(0, 2**32))
def test_extreme_features_are_summed_exactly(count: int, seed: int) -> None:
    """Protects the step over float64: products of int8 at their ends, summed, are whole numbers it holds exactly."""
    bits = raw_bits(seed, 1, count=37 * count) % 3
    found = StreamingLda("pool1", 0)
    Learner(MODEL, found, settings=SETTINGS)
    f = np.array([-128, -127, 127])[bits[count:]].reshape(count, 36)
    labels = bits[:count].astype(np.int32)
    found._add(f.astype(np.float64), labels)
    np.testing.assert_array_equal(found.arrays()["moment"], f.T @ f)
    np.testing.assert_array_equal(found.arrays()["sums"].sum(axis=0), f.sum(axis=0))
    assert found.arrays()["counts"].sum() == count


@pytest.mark.parametrize("shrinkage", [1e-4, 0.3, 1.0])
def test_streaming_lda_is_linear_discriminant_analysis(shrinkage: float) -> None:
    """Protects the formula: the scores are those of LDA by the book, from centred samples instead of sums."""
    strategy = StreamingLda("pool1", 0, shrinkage)
    found = Learner(MODEL, strategy, settings=SETTINGS)
    for part in (slice(0, 20), slice(20, 45)):
        found.partial_fit(DATA.images[part], DATA.labels[part])
    x, test = features(DATA) / 8, features(TEST) / 8
    means = np.stack([x[DATA.labels == label].mean(axis=0) for label in range(3)])
    centred = x - means[DATA.labels]
    covariance = (1 - shrinkage) * (centred.T @ centred) / len(x) + shrinkage * np.eye(x.shape[1])
    inverse = np.linalg.inv(covariance)
    by_the_book = test @ inverse @ means.T - 0.5 * np.array([m @ inverse @ m for m in means])
    scores = found.predict(TEST.images).logits
    np.testing.assert_allclose(scores, by_the_book, rtol=1e-6, atol=1e-6 * np.abs(by_the_book).max())
    assert found.evaluate(TEST) > 0.8


def test_nearest_mean_is_nearest() -> None:
    """Protects the formula: the best score is that of the class whose mean is the least distance away."""
    found = head_on(DATA, NearestMean)
    x, test = features(DATA), features(TEST)
    means = np.stack([x[DATA.labels == label].mean(axis=0) for label in range(3)])
    distances = ((test[:, None, :] - means[None]) ** 2).sum(axis=2)
    answers = found.predict(TEST.images)
    np.testing.assert_array_equal(answers.labels, distances.argmin(axis=1))
    np.testing.assert_allclose(answers.logits, 0.5 * ((test**2).sum(axis=1)[:, None] - distances), rtol=1e-9)
    assert found.evaluate(TEST) == np.mean(answers.labels == TEST.labels) > 0.8


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("seen", [(0,), (1,), (2,), (0, 2)])
def test_classes_without_samples_are_never_answered(kind: type[FeatureHead], seen: tuple[int, ...]) -> None:
    """Protects class-incremental streams: a class that has not come yet wins nothing, however negative the scores."""
    found = head_on(DATA.subset(np.flatnonzero(np.isin(DATA.labels, seen))), kind)
    answers = found.predict(TEST.images)
    assert set(answers.labels.tolist()) <= set(seen)
    assert np.isfinite(answers.logits).all()
    unseen = [label for label in range(3) if label not in seen]
    assert answers.probabilities[:, unseen].max() < 1e-100
    assert answers.probabilities.sum(axis=1) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", HEADS)
def test_the_network_is_trained_first_and_then_stays(kind: type[FeatureHead]) -> None:
    """Protects the sums: while the front moves nothing is summed and the network answers, and afterwards it stays."""
    strategy = kind(whole_experiences=2)
    found = Learner(tiny_model(), strategy, settings=SETTINGS)
    digests = []
    for index, dataset in enumerate(stream()):
        assert strategy.streams() == (index < 2)
        found.learn(dataset)
        digests.append(found.model.digest())
        assert strategy.arrays()["counts"].sum() == (0, 26, 52)[index]
        if index == 0:
            np.testing.assert_array_equal(found.predict(TEST.images).logits, found.model.predict(TEST.images).logits)
    assert digests[0] != digests[1] == digests[2]
    np.testing.assert_array_equal(found.predict(TEST.images[:0]).logits.shape, (0, 3))


def test_an_added_class_is_learned() -> None:
    """Protects growing: spare outputs have no score, and one that gets a name is learned without any training."""
    names = ("left", "right")
    pick = np.flatnonzero(DATA.labels < 2)
    two = Dataset.from_arrays(DATA.images[pick], DATA.labels[pick], classes=names)
    graph = NetworkGraph("two", (1, 8, 8), (Conv2d(4, (3, 3)), L1BN(), ReLU(), MaxPool2d(), Flatten(), Linear(2)))
    for kind in HEADS:
        model = Model.create(graph, classes=names, spare_classes=1, device="emulator", threads=1)
        Learner(model, settings=SETTINGS).learn(two)
        found = head_on(two, kind, model)
        assert found.predict(TEST.images).logits.shape == (30, 2)
        assert model.add_class("both") == 2
        found.learn(DATA)
        assert found.predict(TEST.images).logits.shape == (30, 3) and found.evaluate(TEST) > 0.6


def test_features_need_a_trained_network() -> None:
    """Protects from features of a first draw."""
    found = Learner(tiny_model(), NearestMean("pool1", 0), settings=SETTINGS)
    with pytest.raises(InputError, match="never trained"):
        found.learn(DATA)
    with pytest.raises(InputError, match="never trained"):
        found.predict(TEST.images)


def test_features_are_the_int8_values() -> None:
    """Protects the unit: a feature is the whole number that the kernel gives."""
    found = features_of(MODEL, DATA.images, "pool1")
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, features(DATA))
