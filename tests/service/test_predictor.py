"""Predictions of versions: exact, from many threads, with few of them held, and never from a damaged file."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from model_files import change_a_bit, predicted, tiny_file, tiny_versions
from strop.host import Model
from strop.runtime.errors import DeviceUnavailable
from strop.service import predictor as module
from strop.service.imports import import_version
from strop.service.predictor import Predictor
from strop.service.problems import Problem
from strop.service.settings import Settings
from strop.service.store.database import Database
from strop.service.store.models import Version
from tiny_models import tiny_dataset

IMAGES = tiny_dataset(16, seed=3).images


@pytest.fixture
def versions(settings: Settings, tmp_path: Path) -> list[Version]:
    """Six versions of one model."""
    return tiny_versions(settings, Database(settings.data / "strop.db"), tmp_path, 6)


def test_answers_are_those_of_the_file(settings: Settings, versions: list[Version]) -> None:
    """Protects the promise that a version is its file: the same logits as the model that is loaded from it."""
    predictor = Predictor(settings.data)
    for version in versions[:2]:
        with predicted(settings.data / version.path) as model:
            expected = model.predict(IMAGES)
        found = predictor.predict(version, IMAGES)
        assert np.array_equal(found.logits, expected.logits)
        assert np.array_equal(found.labels, expected.labels)


def test_predictions_change_nothing(settings: Settings, versions: list[Version]) -> None:
    """Protects versions: after predictions file and state are what they were."""
    predictor, path = Predictor(settings.data), settings.data / versions[0].path
    before = path.read_bytes()
    for count in (1, 16):
        predictor.predict(versions[0], IMAGES[:count])
    held = predictor._held[versions[0].id].model
    assert held is not None and held.digest() == versions[0].sha256
    assert path.read_bytes() == before


def test_the_longest_unasked_version_is_let_go(settings: Settings, versions: list[Version]) -> None:
    """Protects memory: no more versions are held than allowed, the last asked stay, and the others come back."""
    predictor = Predictor(settings.data, capacity=2)
    for which in (0, 1, 0, 2):
        predictor.predict(versions[which], IMAGES)
    assert predictor.held == (versions[0].id, versions[2].id)
    predictor.predict(versions[1], IMAGES)
    assert predictor.held == (versions[2].id, versions[1].id)


def test_a_version_in_use_is_not_let_go(
    settings: Settings, versions: list[Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects a prediction under way: others push its version out only when it has answered."""
    predictor = Predictor(settings.data, capacity=1)
    inside, go_on = threading.Event(), threading.Event()
    predict = Model.predict

    def slow(self: Model, images: np.ndarray) -> object:  # type: ignore[type-arg]
        if len(images) == 7:
            inside.set()
            assert go_on.wait(10)
        return predict(self, images)

    monkeypatch.setattr(Model, "predict", slow)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(predictor.predict, versions[0], IMAGES[:7])
        assert inside.wait(10)
        predictor.predict(versions[1], IMAGES)
        assert predictor.held == (versions[0].id,)  # the other one went at once: there is room for one
        go_on.set()
        assert len(answer.result(10).labels) == 7
    predictor.predict(versions[2], IMAGES)
    assert predictor.held == (versions[2].id,)


def test_many_threads_get_right_answers(settings: Settings, versions: list[Version]) -> None:
    """Protects requests side by side: with room for two of six versions, each answer is the asked version's own."""
    predictor = Predictor(settings.data, capacity=2)
    expected = {}
    for version in versions:
        with predicted(settings.data / version.path) as model:
            expected[version.id] = model.predict(IMAGES).logits

    def ask(number: int) -> bool:
        version, count = versions[number * 7 % 6], 1 + number % 16
        return np.array_equal(predictor.predict(version, IMAGES[:count]).logits, expected[version.id][:count])

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(300)))
    assert len(predictor.held) == 2
    assert all(held.users == 0 for held in predictor._held.values())


def test_a_version_is_loaded_once(settings: Settings, versions: list[Version], monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the moment after a promotion: of many requests for a version that is not held, one loads it."""
    loads = []
    load = Predictor._load

    def counted(self: Predictor, version: Version) -> Model:
        loads.append(version.id)
        return load(self, version)

    monkeypatch.setattr(Predictor, "_load", counted)
    predictor = Predictor(settings.data)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: predictor.predict(versions[0], IMAGES), range(40)))
    assert loads == [versions[0].id]


@pytest.mark.parametrize("how", ["missing", "one byte", "other weights"])
def test_a_damaged_file_answers_nothing(settings: Settings, versions: list[Version], how: str) -> None:
    """Protects from wrong answers: a file that is gone, broken or replaced is told, and healed by bringing it back."""
    path = settings.data / versions[0].path
    good = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "one byte":
        path.write_bytes(good[:-3] + bytes([good[-3] ^ 1]) + good[-2:])
    else:
        change_a_bit(path, "fc2.weight")
    predictor = Predictor(settings.data)
    with pytest.raises(Problem, match=r"version 1") as caught:
        predictor.predict(versions[0], IMAGES)
    assert caught.value.code == "version_damaged"
    assert str(settings.data) not in caught.value.detail
    assert predictor.held == ()
    path.write_bytes(good)
    assert len(predictor.predict(versions[0], IMAGES).labels) == 16


def test_a_network_that_was_never_trained_is_told(settings: Settings, tmp_path: Path) -> None:
    """Protects who imports a new network: not an error of the service, but what to do first."""
    database = Database(settings.data / "strop.db")
    file = tiny_file(tmp_path / "new", steps=0)
    _, version, _ = import_version(settings, database, "new", file, "a test")
    with pytest.raises(Problem, match="never trained") as caught:
        Predictor(settings.data).try_out(version)
    assert caught.value.code == "model_untrained"


def test_without_a_kernel_the_reference_answers(
    settings: Settings, versions: list[Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects boards where no emulator was compiled: the same answers, slowly."""
    with predicted(settings.data / versions[0].path) as model:
        expected = model.predict(IMAGES).logits
    opened = []
    open_device = module.open_device

    def without_kernel(name: str, threads: int | None = None) -> object:
        opened.append(name)
        if name == "emulator":
            raise DeviceUnavailable("not compiled")
        return open_device(name, threads)

    monkeypatch.setattr(module, "open_device", without_kernel)
    assert np.array_equal(Predictor(settings.data).predict(versions[0], IMAGES).logits, expected)
    assert opened == ["emulator", "reference"]
