"""Latent replay: kept feature maps train to the bytes of kept images, and the front stays as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from strop.host.continual import (
    LatentReplay,
    Learner,
    LearnerSettings,
    LearningWithoutForgetting,
    Replay,
    Strategy,
    StreamingLda,
)
from strop.host.continual.strategies.latent_replay import encoded, feature_layer
from strop.host.model import Model
from strop.host.models import network_for
from strop.runtime.cut import cut
from strop.runtime.errors import InputError
from strop.runtime.graph import L1BN, Flatten, Linear, NetworkGraph, ReLU
from tiny_models import tiny_dataset, tiny_model
from tiny_streams import SETTINGS, stream


def trained(device: str = "emulator") -> Model:
    """Return a model that a few steps have trained: its front has shifts to infer with."""
    model = tiny_model(device)
    Learner(model, settings=SETTINGS).learn(tiny_dataset(40))
    return model


@pytest.mark.parametrize("policy", ["reservoir", "balanced"])
@pytest.mark.parametrize("after", ["relu1", "pool1", "relu2"])
@pytest.mark.parametrize(
    "settings",
    [
        LearnerSettings(batch=4, seed=3),
        LearnerSettings(batch=5, seed=3, momentum=0.875, weight_decay=0.001, epochs=2),
        LearnerSettings(batch=1, learning_rate=0.01, statistics="running"),
    ],
    ids=["plain", "momentum", "running"],
)
def test_kept_maps_train_to_the_bytes_of_kept_images(settings: LearnerSettings, after: str, policy: str) -> None:
    """Protects what latent replay claims, wherever a network is cut: with the same draws, images and a frozen front
    give the same network, and the maps in memory are those of the images in the other."""
    graph = tiny_model().graph
    images, maps = Replay(9, 4, policy, seed=1), LatentReplay(9, 4, after, 0, policy, seed=1)  # type: ignore[arg-type]
    digests, results = [], []
    for strategy, frozen in ((images, cut(graph, after).frozen), (maps, frozenset())):
        found = Learner(trained(), strategy, settings=replace(settings, frozen=frozen))
        results.append([found.learn(dataset).training for dataset in stream()])
        digests.append(found.model.digest())
        last = found
    assert digests[0] == digests[1] and results[0] == results[1]
    assert digests[0] != trained().digest()
    assert images.facts() == maps.facts()["memory"]
    np.testing.assert_array_equal(images.arrays()["labels"], maps.arrays()["labels"])
    of_images = encoded(last.model, images.arrays()["samples"], after)
    np.testing.assert_array_equal(maps.arrays()["samples"], of_images)
    assert of_images.std() > 0


def test_kept_maps_with_a_teacher() -> None:
    """Protects the combination: targets follow their samples through the cut."""
    digests = []
    for strategy, frozen in ((Replay(9, 4), {"conv1"}), (LatentReplay(9, 4, "pool1", 0), set())):
        settings = replace(SETTINGS, frozen=frozenset(frozen))
        found = Learner(trained(), LearningWithoutForgetting(), strategy, settings=settings)
        for dataset in stream():
            found.learn(dataset)
        digests.append(found.model.digest())
    assert digests[0] == digests[1]


def test_the_front_is_trained_first_and_then_stays() -> None:
    """Protects kept maps: once one is kept, what makes them changes no more. Until then nothing is replayed."""
    strategy = LatentReplay(9, 4, whole_experiences=2)
    found = Learner(tiny_model(), strategy, settings=SETTINGS)
    fronts = []
    for index, dataset in enumerate(stream()):
        assert strategy.frozen == (index == 2)
        assert found.learn(dataset).training.samples == (26 if index < 2 else 26 + 4 * 7)
        fronts.append({n: a for n, a in found.model.state().items() if n.startswith(("conv1", "bn1"))})
        assert strategy.memory is not None and len(strategy.memory) == (9 if index else 0)
    first, second, third = fronts
    assert any(not np.array_equal(array, first[name]) for name, array in second.items())
    assert second.keys() == third.keys() and len(second) > 5
    assert all(np.array_equal(array, third[name]) for name, array in second.items())


def test_the_last_whole_experience_fills_the_memory() -> None:
    """Protects the start of replay: what is kept when the front is frozen are maps of the samples before."""
    strategy = LatentReplay(9, 4, "pool1")
    found = Learner(tiny_model(), strategy, settings=SETTINGS)
    first = stream()[0]
    found.learn(first)
    kept, maps = strategy.arrays(), encoded(found.model, first.images, "pool1")
    for sample, label in zip(kept["samples"], kept["labels"], strict=True):
        where = np.flatnonzero((maps == sample).all(axis=(1, 2, 3)))
        assert label in first.labels[where]


def test_maps_as_bytes_are_the_feature_maps() -> None:
    """Protects the coding: a byte is the int8 value and 128, for every value."""
    model, data = trained(), tiny_dataset(5)
    for after in ("relu1", "pool1", "relu2"):
        maps = encoded(model, data.images, after)
        assert maps.dtype == np.uint8 and maps.shape[1:] == cut(model.graph, after).rear.input
        np.testing.assert_array_equal(maps.astype(int) - 128, model.features(data.images, after))


def test_a_network_that_was_never_trained_has_no_front_to_freeze() -> None:
    """Protects from maps of a first draw: the network comes trained, or trains whole first."""
    found = Learner(tiny_model(), LatentReplay(9, 4, whole_experiences=0), settings=SETTINGS)
    with pytest.raises(InputError, match="never trained"):
        found.learn(stream()[0])
    assert not found.steps


def test_where_networks_are_cut_by_default() -> None:
    """Protects the usual place: below the first fully-connected layer, whatever the network."""
    assert feature_layer(tiny_model().graph) == "pool1"
    lenet = network_for("lenet5", (1, 28, 28), 10)
    names = [node.name for node in lenet.nodes]
    linear = next(node.name for node in lenet.nodes if isinstance(node.layer, Linear))
    assert names.index(feature_layer(lenet)) < names.index(linear)
    found = Learner(Model.create(lenet, device="emulator", threads=1), LatentReplay(9))
    assert found.strategies[0].options["after"] == feature_layer(lenet)


def test_a_network_without_a_usual_place_is_refused_with_the_others() -> None:
    """Protects networks of fully-connected layers alone, and those that cannot be cut, from a traceback."""
    dense = (Flatten(), Linear(6), L1BN(), ReLU(), Linear(3))
    only = (Flatten(), Linear(3))
    for name, layers, allowed in (("dense", dense, "relu1"), ("only", only, "nowhere")):
        graph = NetworkGraph(name, (1, 8, 8), layers)
        for kind in (LatentReplay, StreamingLda):
            with pytest.raises(InputError, match=f"{name} cannot be cut below its first .*pass after=.*{allowed}"):
                Learner(Model.create(graph, classes=3, device="emulator", threads=1), kind())
    graph = NetworkGraph("dense", (1, 8, 8), dense)
    found = Learner(Model.create(graph, device="emulator", threads=1), LatentReplay(9, 4, "relu1"))
    for dataset in stream(2):
        found.learn(dataset)


def test_without_any_strategy_a_frozen_front_is_the_same_network() -> None:
    """Protects the comparison above from being one of nothing: replay changes the bytes, the cut alone does not."""
    frozen = Learner(trained(), Strategy(), settings=replace(SETTINGS, frozen=frozenset({"conv1"})))
    replayed = Learner(trained(), LatentReplay(9, 4, "pool1", 0), settings=SETTINGS)
    for run in (frozen, replayed):
        run.learn(stream()[0])
    assert frozen.model.digest() != replayed.model.digest()
