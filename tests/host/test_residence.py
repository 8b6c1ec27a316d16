"""Where states live: sessions are kept, devices are shared in turns, and nobody reads another's arena."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from strop.host.checkpoint import state_digest
from strop.host.cursor import TrainingSettings
from strop.host.model import Model
from strop.host.residence import Residence
from strop.runtime.device import Device, open_device
from strop.runtime.errors import DeviceBusy, MemoryPlanError
from strop.runtime.hyperparameters import Hyperparameters
from strop.runtime.session import Minibatch
from tiny_models import tiny_dataset, tiny_graph, tiny_model

DATA = tiny_dataset(100)


@pytest.fixture
def device() -> Iterator[Device]:
    """An open emulator that the tests share out."""
    opened = open_device("emulator", 1)
    yield opened
    opened.close()


def test_a_session_is_kept_until_something_else_is_asked_of_it(device: Device) -> None:
    """Protects the speed of small calls: programs are compiled once."""
    model = tiny_model(device)
    home = Residence(model.graph, model.state(), device)
    first = home.session(TrainingSettings(16))
    assert home.session(TrainingSettings(16)) is first
    assert home.any_session(TrainingSettings(99)) is first
    for other in (
        TrainingSettings(8),
        TrainingSettings(8, Hyperparameters(0.5)),
        TrainingSettings(8, frozen=frozenset(["conv1"])),
    ):
        assert home.session(other) is not home.session(TrainingSettings(16))


def test_a_model_that_got_another_state_is_asked_in_no_more_memory(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects little memory: a learner that goes back, or a failed step, asks under the settings that it trains by."""
    allocations: list[int] = []
    allocate = device.allocate
    monkeypatch.setattr(device, "allocate", lambda nbytes: (allocations.append(nbytes), allocate(nbytes)))
    model = tiny_model(device)
    for settings in (TrainingSettings(8), TrainingSettings(8, frozen=frozenset({"conv1"}))):
        model.train_on([Minibatch(DATA.images[:8], DATA.labels[:8], 0.1)], settings)
        model.load_state(model.state(), steps=model.steps)
        model.evaluate(DATA)
    first, asked, frozen, asked_frozen = allocations
    assert first == asked and frozen == asked_frozen < first


def test_fit_evaluate_and_predict_use_one_session(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the board: validation within fit, and questions after it, open nothing and allocate nothing."""
    allocations: list[int] = []
    allocate = device.allocate
    monkeypatch.setattr(device, "allocate", lambda nbytes: (allocations.append(nbytes), allocate(nbytes)))
    model = tiny_model(device)
    model.fit(DATA, epochs=2, batch=16, validation=DATA)
    model.fit(DATA, epochs=1, batch=16)
    model.evaluate(DATA)
    model.predict(DATA.images)
    model.partial_fit(DATA.images[:20], DATA.labels[:20])
    assert len(allocations) == 1


def test_a_change_of_minibatch_carries_the_state_over(device: Device) -> None:
    """Protects the state when the session is made anew."""
    model = tiny_model(device)
    model.fit(DATA, steps=3, batch=16)
    before = model.digest()
    logits = model.predict(DATA.images).logits
    model._residence.session(TrainingSettings(8))
    assert model.digest() == before
    assert np.array_equal(model.predict(DATA.images).logits, logits)


def test_what_the_device_has_trained_is_fetched_before_a_new_session(device: Device) -> None:
    """Protects the last steps: a session that makes room for another first gives its state back."""
    model = tiny_model(device)
    home = Residence(model.graph, model.state(), device)
    session = home.session(TrainingSettings(16))
    home.will_change()
    list(session.train([Minibatch(DATA.images[:16], DATA.labels[:16], 0.1)]))
    trained = session.state()
    home.session(TrainingSettings(8))
    assert state_digest(home.state()) == state_digest(trained) != model.digest()


def test_models_that_share_a_device_do_not_mix(device: Device) -> None:
    """Protects two models on the one accelerator of a board: taking turns equals being alone."""
    a, b = tiny_model(device, seed=1), tiny_model(device, features=9, seed=2)
    for _ in range(2):
        a.fit(DATA, steps=2, batch=16)
        b.fit(DATA, steps=3, batch=8)
        a.partial_fit(DATA.images[:30], DATA.labels[:30])
        b.evaluate(DATA)
    alone_a, alone_b = tiny_model(seed=1), tiny_model(features=9, seed=2)
    for _ in range(2):
        alone_a.fit(DATA, steps=2, batch=16)
        alone_a.partial_fit(DATA.images[:30], DATA.labels[:30])
        alone_b.fit(DATA, steps=3, batch=8)
    assert (a.digest(), b.digest()) == (alone_a.digest(), alone_b.digest())


def test_a_model_that_is_gone_is_no_obstacle(device: Device) -> None:
    """Protects long-lived devices: a model that nobody holds any more gives its place up."""
    a = tiny_model(device)
    a.fit(DATA, steps=1, batch=16)
    del a
    tiny_model(device).fit(DATA, steps=1, batch=16)


def test_at_the_same_time_is_refused(device: Device) -> None:
    """Protects the arena: nothing that needs the device begins from a callback or another thread, on any model."""
    model, other = tiny_model(device), tiny_model(device)
    model.fit(DATA, steps=1, batch=16)
    refused: list[str] = []

    def attempt(*_: object) -> None:
        for name, call in {
            "fit": lambda: model.fit(DATA),
            "resume": lambda: model.resume(DATA),
            "partial_fit": lambda: model.partial_fit(DATA.images, DATA.labels),
            "evaluate": lambda: model.evaluate(DATA),
            "predict": lambda: model.predict(DATA.images),
            "save": lambda: model.save("nowhere"),
            "digest": lambda: model.digest(),
            "other": lambda: other.fit(DATA),
        }.items():
            try:
                call()
            except DeviceBusy as error:
                assert "while fit is under way" in str(error)
                refused.append(name)

    expected = ["fit", "resume", "partial_fit", "evaluate", "predict", "save", "digest", "other"]
    model.fit(DATA, steps=1, batch=16, on_step=attempt)
    assert refused == expected
    refused.clear()

    def from_a_thread(*_: object) -> None:
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join(20)

    model.fit(DATA, steps=1, batch=16, on_step=from_a_thread)
    assert refused == expected
    model.fit(DATA, steps=1, batch=16)


@pytest.mark.usefixtures("one_step_a_start")
def test_a_plan_that_does_not_fit_harms_nothing(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the state where memory is short; inference takes a smaller mini-batch, and so does "auto"."""
    model = tiny_model(device)
    model.fit(DATA, steps=3, batch=16)
    digest, room, allocate = model.digest(), model.memory.peak, device.allocate

    def small(nbytes: int) -> None:
        if nbytes > room:
            raise MemoryPlanError(f"no room for {nbytes} bytes")
        allocate(nbytes)

    monkeypatch.setattr(device, "allocate", small)
    with pytest.raises(MemoryPlanError):
        model.fit(DATA, batch=100)
    assert (model.digest(), model.steps) == (digest, 3)
    copy = Model(model.graph, model.state(), classes=model.classes, device=device, steps=3)
    assert copy.evaluate(DATA) == model.evaluate(DATA)
    history = model.fit(tiny_dataset(600), batch="auto")
    assert history.hyperparameters["batch"] == 16 and "memory" in history.reasons["batch"]


def test_the_graph_of_the_tests_is_what_it_says() -> None:
    """Protects the tests: they freeze and name these layers."""
    assert [node.name for node in tiny_graph().nodes] == [
        *("conv1", "bn1", "relu1", "pool1", "flatten1", "fc1", "bn2", "relu2", "fc2")
    ]
