"""Models: what they are made from, what changes them, and what they refuse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from strop.host import Model, load_dataset
from strop.host.models import initial_state
from strop.runtime.device import open_device
from strop.runtime.errors import CheckpointMismatch, DeviceError, InputError
from tiny_models import CLASSES, tiny_dataset, tiny_graph, tiny_model

DATA = tiny_dataset(100)


@pytest.fixture
def model() -> Iterator[Model]:
    """A tiny model on the emulator, trained a little."""
    with tiny_model() as made:
        made.fit(DATA, epochs=3, batch=16, weight_decay=0.001, momentum=0.8)
        yield made


def test_it_learns(model: Model) -> None:
    """Protects the point of it all."""
    result = model.evaluate(tiny_dataset(99, seed=5))
    assert result.accuracy > 0.9 and result.loss < 0.6 and result.samples == 99
    assert model.predict(DATA.images).labels[:3].tolist() == [0, 1, 2]


def test_the_first_screen_of_the_readme() -> None:
    """Protects newcomers: a network of the zoo on the bundled data learns within an epoch."""
    train, test = load_dataset("fashion-mnist-subset", "train"), load_dataset("fashion-mnist-subset", "test")
    with Model.create("lenet5", input=train.image_shape, classes=train.classes, device="emulator", threads=1) as lenet:
        history = lenet.fit(train, epochs=1, batch="auto", learning_rate="auto", validation=test)
        assert history.epochs[0].validation_accuracy == lenet.evaluate(test).accuracy > 0.5
        assert history.requested["batch"] == "auto" and history.hyperparameters["batch"] == 64


def test_asking_changes_nothing(model: Model) -> None:
    """Protects the state: evaluate, predict, save and all that is read leave it as it is."""
    before = model.digest()
    model.evaluate(DATA)
    model.predict(DATA.images[:7])
    model.predict(DATA.images[:0])
    assert (model.memory.peak > 0, model.steps, repr(model)) == (
        True,
        18,
        "Model(tiny, 3 classes, 18 steps, on emulator)",
    )
    model.state()["conv1.weight"][:] = 0
    assert model.digest() == before


def test_predictions_do_not_depend_on_company(model: Model) -> None:
    """Protects predictions: an image has the same logits alone, among others, and after a reload."""
    together = model.predict(DATA.images).logits
    assert np.array_equal(model.predict(DATA.images[40:41]).logits, together[40:41])
    copy = Model(model.graph, model.state(), classes=model.classes, device="reference", steps=model.steps)
    assert np.array_equal(copy.predict(DATA.images[:5]).logits, together[:5])


def test_save_and_load(model: Model, tmp_path: Path) -> None:
    """Protects what a checkpoint is for: the loaded model is the saved one, in all that can be seen."""
    with Model.load(model.save(tmp_path / "file"), device="emulator", threads=2) as loaded:
        for name in ("graph", "classes", "steps", "history", "cursor", "memory"):
            assert getattr(loaded, name) == getattr(model, name), name
        assert loaded.digest() == model.digest()
        for trained in (model, loaded):
            trained.partial_fit(DATA.images[:50], DATA.labels[:50])
        assert loaded.digest() == model.digest(), "momentum, weight decay and mini-batch hold on"
    with pytest.raises(CheckpointMismatch):
        Model.load(tmp_path / "file", graph=tiny_graph(9))


def without_momenta(state: dict[str, Any]) -> dict[str, Any]:
    """A copy of a state in which nothing is under way."""
    return {name: np.zeros_like(a) if name.endswith(".momentum") else a.copy() for name, a in state.items()}


def test_a_new_fit_starts_from_zero_momenta(model: Model) -> None:
    """Protects what a fit means: a second one is one of a model with the first one's weights, not its impetus."""
    words: dict[str, Any] = {"epochs": 1, "batch": 16, "seed": 4}
    start = model.state()
    with (
        Model(model.graph, without_momenta(start), classes=CLASSES, device="emulator", threads=1) as cleared,
        Model(model.graph, start, classes=CLASSES, device="emulator", threads=1) as loaded,
    ):
        assert cleared.digest() != loaded.digest() == model.digest(), "there was something to forget"
        for fitted in (cleared, loaded, model):
            fitted.fit(DATA, **words)
        assert model.digest() == loaded.digest() == cleared.digest()


def test_a_fit_that_fails_forgets_nothing(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the momenta of before: they are gone only once the new fit has trained."""
    before = model.digest()

    def fail(*_: object) -> None:
        raise DeviceError("unplugged")

    with monkeypatch.context() as patched:
        patched.setattr(model.device, "run", fail)
        with pytest.raises(DeviceError, match="unplugged"):
            model.fit(DATA, steps=2, batch=16)
    assert model.digest() == before


def test_partial_fit_is_the_split_that_it_says(model: Model) -> None:
    """Protects streaming: any number from 2 on, evenly split, momentum kept, the result that of all samples."""
    with tiny_model() as other:
        other.fit(DATA, epochs=3, batch=16, weight_decay=0.001, momentum=0.8)
        result = model.partial_fit(DATA.images[:34], DATA.labels[:34].tolist(), learning_rate=0.02)
        parts = [
            other.partial_fit(DATA.images[a:b], DATA.labels[a:b], learning_rate=0.02)
            for a, b in ((0, 11), (11, 22), (22, 34))
        ]
        assert result == parts[0] + parts[1] + parts[2]
        assert (result.samples, model.steps, other.steps) == (34, 21, 21)
        assert model.digest() == other.digest()


@pytest.mark.parametrize("count", [2, 3, 4, 5, 7])
def test_partial_fit_never_leaves_one_sample(count: int) -> None:
    """Protects the smallest splits, also after a fit with mini-batches of 2."""
    with tiny_model() as small:
        small.fit(DATA, steps=2, batch=2)
        assert small.partial_fit(DATA.images[:count], DATA.labels[:count]).samples == count


def test_partial_fit_trains_a_new_model() -> None:
    """Protects learning from a stream alone, without any fit."""
    with tiny_model() as new:
        for start in range(0, 100, 10):
            new.partial_fit(DATA.images[start:][:10], DATA.labels[start:][:10], learning_rate=0.05)
        assert new.steps == 10 and new.evaluate(DATA).accuracy > 0.6


def test_partial_fit_ends_what_could_be_resumed(model: Model) -> None:
    """Protects the promise of resume: after other training there are no "same next bytes"."""
    model.partial_fit(DATA.images[:4], DATA.labels[:4])
    with pytest.raises(InputError, match="partial_fit has trained past it"):
        model.resume(DATA)


def test_frozen_layers_stay(model: Model) -> None:
    """Protects transfer: a frozen layer's arrays do not change, the others do, and partial_fit keeps to it."""
    before = without_momenta(model.state())
    model.fit(DATA, steps=4, batch=16, frozen=(name for name in ["conv1"]))
    model.partial_fit(DATA.images[:10], DATA.labels[:10])
    after = model.state()
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert not {name for name in changed if name.startswith(("conv1.weight", "bn1.gamma", "bn1.beta", "bn1.running"))}
    assert {"fc1.weight", "fc2.bias", "bn2.gamma"} <= changed


def test_create() -> None:
    """Protects the ways to a new model: by name, by graph, with names or a number of classes."""
    with Model.create("lenet5", input=(1, 28, 28), classes=4) as lenet:
        assert (lenet.classes, lenet.graph.name, lenet.steps) == (("0", "1", "2", "3"), "lenet5", 0)
        assert lenet.history is None and lenet.cursor is None and lenet.memory.peak > 0
    with tiny_model(seed=3) as one, tiny_model(seed=3) as same, tiny_model(seed=4) as another:
        assert one.digest() == same.digest() != another.digest()
    for arguments in (
        {"network": "lenet5"},
        {"network": "lenet6", "input": (1, 28, 28), "classes": 10},
        {"network": tiny_graph(), "classes": 4},
        {"network": tiny_graph(), "input": (1, 9, 9)},
        {"network": tiny_graph(), "classes": ("a", "a", "b")},
    ):
        with pytest.raises(InputError):
            Model.create(**arguments)  # type: ignore[arg-type]


def test_a_state_of_another_network_is_refused() -> None:
    """Protects the device from arrays that do not belong there."""
    with pytest.raises(CheckpointMismatch, match="fc1.weight"):
        Model(tiny_graph(), initial_state(tiny_graph(9), 0))
    with pytest.raises(InputError, match="2 classes are named, but tiny has 3 output rows.*name all classes"):
        Model(tiny_graph(), initial_state(tiny_graph(), 0), classes=CLASSES[:2])
    with pytest.raises(InputError, match="3 different names"):
        Model(tiny_graph(), initial_state(tiny_graph(), 0), classes="abc")  # type: ignore[arg-type]


def test_a_state_that_was_passed_in_is_copied() -> None:
    """Protects the model from what its maker does with the arrays afterwards."""
    state = initial_state(tiny_graph(), 0)
    with Model(tiny_graph(), state, device="emulator", threads=1) as model:
        before = model.digest()
        state["conv1.weight"][:] = 0
        assert model.digest() == before


def test_what_was_never_trained_is_not_asked() -> None:
    """Protects newcomers from an error deep in the device: the remedy is to train."""
    with tiny_model() as new:
        for ask in (lambda: new.evaluate(DATA), lambda: new.predict(DATA.images)):
            with pytest.raises(InputError, match="never trained.*train it first"):
                ask()
        with pytest.raises(InputError, match="frozen: conv1 was never trained"):
            new.fit(DATA, frozen=["conv1"])
        with pytest.raises(InputError, match="there is no fit to go on with"):
            new.resume(DATA)


@pytest.mark.parametrize(
    "call",
    [
        lambda model: model.fit(tiny_dataset(1)),
        lambda model: model.fit(DATA, checkpoint_every=3),
        lambda model: model.fit(DATA, frozen=["conv7"]),
        lambda model: model.fit(DATA, frozen=["conv1", "fc1", "fc2"]),
        lambda model: model.fit(load_dataset("fashion-mnist-subset")),
        lambda model: model.fit(DATA, validation=load_dataset("fashion-mnist-subset")),
        lambda model: model.evaluate(load_dataset("fashion-mnist-subset")),
        lambda model: model.predict(DATA.images.astype(float)),
        lambda model: model.predict(DATA.images[0]),
        lambda model: model.partial_fit(DATA.images[:1], DATA.labels[:1]),
        lambda model: model.partial_fit(DATA.images[:0], DATA.labels[:0]),
        lambda model: model.partial_fit(DATA.images[:4], [0, 1, 2, 3]),
        lambda model: model.partial_fit(DATA.images[:4], [0, 1, 2]),
        lambda model: model.partial_fit(DATA.images[:4] / 255.0, DATA.labels[:4]),
        lambda model: model.partial_fit(DATA.images[:4], DATA.labels[:4], learning_rate=-1.0),
        lambda model: Model(model.graph, model.state(), device="abacus"),
        lambda model: Model(model.graph, model.state(), device=5),
        lambda model: Model(model.graph, model.state(), device=None),
        lambda model: Model(model.graph, model.state(), threads="a"),
        lambda model: Model(model.graph, model.state(), device="reference", threads=10**30),
        lambda model: Model(model.graph, model.state(), threads=10**30),
        lambda model: Model(model.graph, model.state(), threads=0),
        lambda model: Model.create(model.graph, seed=-1),
        lambda model: Model.create(model.graph, seed=None),
        lambda model: Model.create(model.graph, classes=2.5),
        lambda model: Model.create(5),
        lambda model: Model.load(None),
        lambda model: model.save(None),
        lambda model: model.fit(DATA, momentum=None),
        lambda model: model.fit(DATA, momentum=0.999),
        lambda model: model.fit(DATA, weight_decay="0"),
        lambda model: model.fit(DATA, learning_rate=None),
        lambda model: model.fit(DATA, frozen=None),
        lambda model: model.fit(DATA, frozen=[1]),
        lambda model: model.fit(DATA, validation=(DATA.images, DATA.labels)),
        lambda model: model.fit(DATA, checkpoint=5),
        lambda model: model.predict([[1], [2, 3]]),
        lambda model: model.partial_fit([[1], [2, 3]], [0, 1]),
        lambda model: model.partial_fit(DATA.images[:2], [0, [1]]),
        lambda model: model.partial_fit(DATA.images[:2], [0, 1], learning_rate=None),
    ],
)
def test_what_is_not_acceptable_changes_nothing(call: Any, model: Model) -> None:
    """Protects the model from bad input: it is refused at the door."""
    before = (model.digest(), model.steps, model.cursor, model.history)
    with pytest.raises(InputError):
        call(model)
    assert (model.digest(), model.steps, model.cursor, model.history) == before


def test_what_is_expected_is_told(model: Model) -> None:
    """Protects newcomers: for the likely mistakes the message says what to pass instead."""
    for ask in (lambda: model.fit((DATA.images, DATA.labels)), lambda: model.evaluate(None)):  # type: ignore[arg-type]
        with pytest.raises(InputError, match=r"expected a Dataset: make one by Dataset.from_arrays\(images, labels\)"):
            ask()
    with pytest.raises(InputError, match=r"uint8 \[n, channels, height, width\], got int64 \[\]"):
        model.predict(5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="pass a string or a pathlib.Path"):
        Model.load(None)  # type: ignore[arg-type]


def test_a_device_that_was_passed_in_stays_open() -> None:
    """Protects who shares a device: closing a model closes only what it opened."""
    device = open_device("emulator", 1)
    with tiny_model(device) as first:
        first.fit(DATA, steps=1, batch=16)
    with tiny_model(device) as second:
        second.fit(DATA, steps=1, batch=16)
        assert second.device is device
    device.close()


def test_a_closed_model_says_so() -> None:
    """Protects from strange errors of a device that is gone; closing twice is no mistake."""
    for device in ("emulator", "reference"):
        model = tiny_model(device)
        model.fit(DATA, steps=1, batch=4)
        model.close()
        model.close()
        for ask in (
            lambda model=model: model.fit(DATA),
            lambda model=model: model.predict(DATA.images),
            lambda model=model: model.digest(),
        ):
            with pytest.raises(DeviceError, match="was closed; load it again"):
                ask()
