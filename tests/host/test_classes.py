"""Spare output rows: inert while they are spare, and classes once they are named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from strop.host import Model, load_dataset, state_digest
from strop.host.classes import SPARE_BIAS, numbered, wider, with_named_row, with_spare_rows
from strop.host.cursor import TrainingSettings
from strop.host.data import Dataset
from strop.host.models import initial_state
from strop.host.networks import resnet8
from strop.host.pretrained import pretrained_path
from strop.runtime.cut import cut, cut_points
from strop.runtime.device import Device, open_device
from strop.runtime.errors import InputError, LimitError
from strop.runtime.graph import Flatten, Linear, NetworkGraph
from strop.runtime.hyperparameters import Hyperparameters
from strop.runtime.reference.loss import EXP
from strop.runtime.session import Minibatch, Session, StepResult
from tiny_models import CLASSES, tiny_dataset, tiny_graph, tiny_model

DATA = tiny_dataset(96)
ROWS = ("fc2.weight", "fc2.weight.momentum", "fc2.bias", "fc2.bias.momentum")
State = dict[str, NDArray[Any]]


def assert_inert(plain: State, spared: State, last: str = "fc2") -> None:
    """The named rows and all other arrays are equal to the byte, and the spare rows are as they were made."""
    assert plain.keys() == spared.keys()
    for name, array in plain.items():
        theirs = spared[name]
        if not name.startswith(f"{last}.") or name.endswith("_site"):
            assert theirs.tobytes() == array.tobytes(), name
            continue
        assert theirs[: len(array)].tobytes() == array.tobytes(), name
        assert (theirs[len(array) :] == (SPARE_BIAS if name == f"{last}.bias" else 0)).all(), name


def trained(
    graph: NetworkGraph,
    state: State,
    device: Device,
    minibatches: list[Minibatch],
    hyper: Hyperparameters,
    frozen: frozenset[str] = frozenset(),
) -> tuple[State, list[StepResult]]:
    """The state after the mini-batches, and what each step reported."""
    session = Session(graph, device, batch=32, hyper=hyper, frozen=frozen)
    session.load_state(state)
    results = list(session.train(minibatches))
    return session.state(), results


@pytest.mark.parametrize("name", ["emulator", "reference"])
@settings(max_examples=15, deadline=None)
@given(
    spare=st.integers(1, 40),
    batches=st.lists(st.integers(2, 32), min_size=2, max_size=5),
    rate=st.sampled_from([0.003, 0.1, 1.0]),
    momentum=st.sampled_from([0.0, 0.9, 0.99]),
    weight_decay=st.sampled_from([0.0, 0.0005, 0.1]),
    shift=st.sampled_from([0, 4, 10, 24]),
    frozen=st.sampled_from([(), ("conv1",), ("fc2",)]),
    seed=st.integers(0, 2**16),
)
def test_spare_rows_change_no_byte_of_training(
    name: str,
    spare: int,
    batches: list[int],
    rate: float,
    momentum: float,
    weight_decay: float,
    shift: int,
    frozen: tuple[str, ...],
    seed: int,
) -> None:
    """Protects the promise: losses, answers, momenta, shifts and dither are those of the network without spare rows.

    `shift` makes the last layer's weights smaller, down to 0, and the exponent of the logits larger. Layers can be
    frozen once they have been trained, so a step without comes first.
    """
    graph, state = tiny_graph(), initial_state(tiny_graph(), seed)
    state["fc2.weight"] >>= shift
    larger, spared = with_spare_rows(graph, state, spare)
    data = tiny_dataset(128, seed)
    starts = np.cumsum([0, *batches]) % 96
    parts = [slice(start, start + size) for start, size in zip(starts.tolist(), batches, strict=False)]
    minibatches = [Minibatch(data.images[part], data.labels[part], rate) for part in parts]
    hyper = Hyperparameters(momentum, weight_decay)
    device = open_device(name, 1 if name == "emulator" else None)
    try:
        ours, theirs = [
            trained(net, trained(net, start, device, minibatches[:1], hyper)[0], device, minibatches[1:], hyper, held)
            for net, start, held in ((graph, state, frozenset(frozen)), (larger, spared, frozenset(frozen)))
        ]
    finally:
        device.close()
    assert ours[1] == theirs[1]
    assert_inert(ours[0], theirs[0])
    assert not np.array_equal(ours[0]["fc2.bias"], state["fc2.bias"]), "there was something to compare"


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_spare_rows_change_no_byte_of_fits(device: Device, momentum: float) -> None:
    """Protects whole fits: mini-batches from an order, momenta made new, validation, a second fit, partial_fit."""
    plain, spared = (
        Model.create(tiny_graph(), classes=CLASSES, spare_classes=n, seed=3, device=device) for n in (0, 5)
    )
    for model in (plain, spared):
        model.fit(DATA, epochs=2, batch=16, momentum=momentum, weight_decay=0.01, validation=DATA)
        model.fit(DATA, epochs=1, batch=20, momentum=momentum)
        model.partial_fit(DATA.images[:7], DATA.labels[:7])
    assert_inert(plain.state(), spared.state())
    assert plain.history is not None and spared.history is not None
    assert plain.history.steps == spared.history.steps and plain.history.epochs == spared.history.epochs
    assert plain.evaluate(DATA) == spared.evaluate(DATA)
    mine, theirs = plain.predict(DATA.images), spared.predict(DATA.images)
    assert theirs.logits.shape == (96, 3)
    for one, other in ((mine.logits, theirs.logits), (mine.probabilities, theirs.probabilities)):
        assert one.tobytes() == other.tobytes()


def test_spare_rows_change_no_byte_behind_residual_blocks_and_cuts() -> None:
    """Protects other last layers: one behind a global average pooling, and one that trains on kept feature maps."""
    data = Dataset.from_arrays(np.repeat(np.repeat(DATA.images, 2, 2), 2, 3), DATA.labels, classes=CLASSES)
    graph = resnet8((1, 16, 16), 3)
    with (
        Model.create(graph, classes=CLASSES, device="emulator", threads=1) as plain,
        Model.create(graph, classes=CLASSES, spare_classes=9, device="emulator", threads=1) as spared,
    ):
        for model in (plain, spared):
            model.fit(data, steps=4, batch=16)
            after = cut_points(model.graph)[-1]
            maps = model.features(data.images, after)
            bytes_of = (maps.astype(np.int16) + 128).astype(np.uint8)
            parts = [Minibatch(bytes_of[a : a + 16], data.labels[a : a + 16], 0.1) for a in range(0, 96, 16)]
            model.train_on(parts, TrainingSettings(16, after=after))
        assert cut(spared.graph, after).rear.classes == 12
        assert_inert(plain.state(), spared.state(), "fc1")


def test_what_probabilities_are_zero() -> None:
    """Protects the figure that classes.py gives: from 178 sixteenths of a nat below the largest, a class is nothing."""
    assert EXP[177] > 0 and not EXP[178:].any()


@pytest.mark.parametrize(("largest", "inert"), [(1 << 10, True), (0, False)])
def test_where_spare_rows_are_not_inert(device: Device, largest: int, inert: bool) -> None:
    """Protects the limit that classes.py states: a layer of zeros on the images themselves saturates the logits."""
    graph = NetworkGraph("images alone", (1, 8, 8), (Flatten(), Linear(3)))
    state = initial_state(graph, 0)
    state["fc1.weight"].flat[:] = 0
    state["fc1.weight"].flat[0] = largest
    parts = [Minibatch(DATA.images[:32], DATA.labels[:32], 0.0)]
    plain, _ = trained(graph, state, device, parts, Hyperparameters())
    spared, _ = trained(*with_spare_rows(graph, state, 2), device, parts, Hyperparameters())
    assert inert == (not spared["fc1.weight.momentum"][3:].any())
    if inert:
        assert_inert(plain, spared, "fc1")


def test_a_wider_network_has_more_rows_and_else_the_same() -> None:
    """Protects the network itself, and the limits on it."""
    assert wider(tiny_graph(), 4).layers == (*tiny_graph().layers[:-1], Linear(7))
    assert wider(tiny_graph(), 0) == tiny_graph()
    for wrong in (-1, 1.5, True, "2"):
        with pytest.raises(InputError, match="spare_classes is"):
            wider(tiny_graph(), wrong)
    with pytest.raises(LimitError, match="4097 classes; allowed: 1 to 4096"):
        wider(tiny_graph(), 4094)


def test_new_rows_leave_the_old_state_alone() -> None:
    """Protects who holds the smaller network's state: all is copied."""
    state = initial_state(tiny_graph(), 0)
    before = {name: array.copy() for name, array in state.items()}
    graph, spared = with_spare_rows(tiny_graph(), state, 2)
    named = with_named_row(graph, spared, 3)
    for array in (*spared.values(), *named.values()):
        if array.flags.writeable:
            array[...] = 1
    assert all(np.array_equal(state[name], array) for name, array in before.items())


def test_a_named_row_begins_with_nothing_learned() -> None:
    """Protects the first step of a new class: whatever the row held, zeros, and the smallest bias of the others."""
    graph, state = with_spare_rows(tiny_graph(), initial_state(tiny_graph(), 0), 2)
    state["fc2.bias"][:3] = (5, -7, 6)
    for name in ROWS:
        state[name][3] = 9
    named = with_named_row(graph, state, 3)
    assert named["fc2.bias"].tolist() == [5, -7, 6, -7, SPARE_BIAS]
    assert not any(named[name][3].any() for name in ROWS if name != "fc2.bias")


@pytest.fixture
def model() -> Iterator[Model]:
    """A tiny model with two spare outputs, trained a little."""
    with Model.create(tiny_graph(), classes=CLASSES, spare_classes=2, device="emulator", threads=1) as made:
        made.fit(DATA, epochs=4, batch=16)
        yield made


def with_fourth(dataset: Dataset) -> Dataset:
    """The data set with a fourth class: images inverted."""
    images = np.concatenate([dataset.images, 255 - dataset.images[::3]])
    labels = np.concatenate([dataset.labels, np.full(len(images) - len(dataset), 3)])
    return Dataset.from_arrays(images, labels, classes=(*CLASSES, "inverted"))


def test_a_class_is_added_and_learned(model: Model) -> None:
    """Protects the point of it all: a label, predictions that stay, and a class that is learned beside the others."""
    before = model.predict(DATA.images).labels
    assert (model.classes, model.spare_classes) == (CLASSES, 2)
    assert model.add_class("inverted") == 3
    assert (model.classes, model.spare_classes) == ((*CLASSES, "inverted"), 1)
    after = model.predict(DATA.images)
    assert after.logits.shape == (96, 4) and np.array_equal(after.labels, before)
    wider_data = with_fourth(DATA)
    assert model.evaluate(wider_data).accuracy < 0.8
    model.fit(wider_data, epochs=12, batch=16)
    assert model.evaluate(wider_data).accuracy > 0.9
    assert (model.predict(wider_data.images[96:]).labels == 3).mean() > 0.8
    assert (model.state()["fc2.bias"][4:] == SPARE_BIAS).all()


def test_spare_outputs_never_win(model: Model) -> None:
    """Protects evaluations, where the device counts by the largest of all rows: however small the named logits."""
    state = model.state()
    state["fc2.bias"][:3] -= 900 << 20
    model.load_state(state, steps=model.steps)
    answers = model.predict(DATA.images)
    assert answers.logits.max() < -800
    assert model.evaluate(DATA).accuracy == float((answers.labels == DATA.labels).mean()) > 0.5


def test_classes_that_cannot_be_added_are_told(model: Model) -> None:
    """Protects the names: no double, no number, none without an output; the model is as before."""
    before = model.digest()
    with pytest.raises(InputError, match="'both' already, with the label 2"):
        model.add_class("both")
    for name in (7, ""):
        with pytest.raises(InputError, match=f"the new class is {name!r}; its name is a string, and not empty"):
            model.add_class(name)  # type: ignore[arg-type]
    assert model.digest() == before and model.classes == CLASSES and model.cursor is not None
    model.add_class("a")
    model.add_class("b")
    with pytest.raises(InputError, match=r"5 output rows.*with_spare_classes\(n\).*'c'"):
        model.add_class("c")
    assert model.classes == (*CLASSES, "a", "b")


def test_a_fit_cannot_be_resumed_after_a_new_class(model: Model) -> None:
    """Protects the promise of resume: after a new class there are no "same next bytes"."""
    model.add_class("more")
    with pytest.raises(InputError, match="no fit to go on with.*or add_class has changed the model since"):
        model.resume(DATA)


def test_labels_of_spare_outputs_are_refused(model: Model) -> None:
    """Protects spare outputs from being trained without a name, whichever way samples come."""
    with pytest.raises(InputError, match="add_class"):
        model.fit(with_fourth(DATA))
    with pytest.raises(InputError, match="is 3; 3 classes allow 0 to 2"):
        model.partial_fit(DATA.images[:2], [0, 3])
    before = model.digest()
    with pytest.raises(InputError, match="the label 3; the model has 3 classes"):
        model.train_on([Minibatch(DATA.images[:2], np.array([0, 3], np.int32), 0.1)], TrainingSettings(16))
    assert model.digest() == before


def test_more_spare_outputs_for_a_trained_model() -> None:
    """Protects models that were made without: the bundled one answers to the byte as before, and takes a class."""
    images = load_dataset("fashion-mnist-subset", "test").images[:200]
    with Model.load(pretrained_path("lenet5-fashion-mnist"), device="emulator", threads=1) as plain:
        larger = plain.with_spare_classes(3, device=plain.device)
        assert larger.device is plain.device and larger.steps == plain.steps
        assert (larger.classes, larger.spare_classes, plain.spare_classes) == (plain.classes, 3, 0)
        assert larger.predict(images).logits.tobytes() == plain.predict(images).logits.tobytes()
        assert larger.add_class("hat") == 10
        assert larger.predict(images).logits[:, :10].tobytes() == plain.predict(images).logits.tobytes()
        assert np.array_equal(larger.predict(images).labels, plain.predict(images).labels)
        assert larger.with_spare_classes(1, device=plain.device).spare_classes == 3


def test_training_goes_on_alike_in_the_larger_model(model: Model) -> None:
    """Protects momentum, weight decay and mini-batch: partial_fit has them of the model that it came from."""
    larger = model.with_spare_classes(4, device="emulator", threads=1)
    for each in (model, larger):
        each.partial_fit(DATA.images[:40], DATA.labels[:40])
    assert_inert(tiny_without_spare(model), larger.state())
    larger.close()


def tiny_without_spare(model: Model) -> State:
    """The state without the spare rows."""
    return {name: array[:3] if name in ROWS else array for name, array in model.state().items()}


def test_files_hold_names_and_spare_outputs(model: Model, tmp_path: Path) -> None:
    """Protects checkpoints: what was named and what was spare come back, also after a class was added."""
    for names in (CLASSES, (*CLASSES, "more")):
        with Model.load(model.save(tmp_path / "file"), device="emulator", threads=1) as loaded:
            assert loaded.classes == names and loaded.spare_classes == 5 - len(names)
            assert loaded.digest() == model.digest()
            if len(names) == 3:
                assert loaded.cursor == model.cursor
        if len(names) == 3:
            model.add_class("more")


def test_a_name_that_was_left_out_is_noticed(model: Model) -> None:
    """Protects against a class that nobody can name: only rows that are spare may be without one."""
    state = model.state()
    for wrong in (CLASSES[:2], ()):
        with pytest.raises(InputError, match="row 2 is not spare|classes are"):
            Model(model.graph, state, classes=wrong, device=model.device)
    with pytest.raises(InputError, match="row 3 is not spare"):
        model.load_state({**state, "fc2.bias": np.zeros(5, np.int32)}, steps=1)
    assert Model(model.graph, state, classes=CLASSES, device=model.device).spare_classes == 2
    with pytest.raises(InputError, match="row 3 is not spare"):
        Model(tiny_wide(), initial_state(tiny_wide(), 0), classes=CLASSES, device=model.device)


def test_a_spare_output_cannot_be_named_by_hand(model: Model) -> None:
    """Protects a new class: in a state of before it was added its output could never win, and never learn."""
    before = model.state()
    model.add_class("more")
    digest = model.digest()
    with pytest.raises(InputError, match="4 classes are named, but row 3 of tiny is spare in this state"):
        model.load_state(before, steps=1)
    assert model.digest() == digest
    with pytest.raises(InputError, match="row 3 of tiny is spare"):
        Model(model.graph, before, device=model.device)


def tiny_wide() -> NetworkGraph:
    """The tiny network with 5 outputs."""
    return wider(tiny_graph(), 2)


def test_a_model_without_names_has_none_spare() -> None:
    """Protects the usual model: numbers for names, one for each output."""
    with Model.create(tiny_graph(), spare_classes=1, device="emulator", threads=1) as numbers:
        assert (numbers.classes, numbers.spare_classes) == (numbered(3), 1)
    with tiny_model() as plain:
        assert plain.spare_classes == 0 and plain.digest() == state_digest(initial_state(tiny_graph(), 0))
