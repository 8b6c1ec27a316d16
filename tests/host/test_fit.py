"""The training loop: what it trains on, what it records, and how it stops."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from strop.host.checkpoint import read_manifest
from strop.host.fit import DeferredInterrupt
from strop.host.history import EpochRecord, Progress
from strop.host.model import Model
from strop.host.order import epoch_order
from strop.host.schedules import Cosine
from strop.runtime.device import open_device
from strop.runtime.errors import CheckpointError, DeviceError
from strop.runtime.estimate import boards, estimate
from strop.runtime.session import Minibatch, Session
from tiny_models import tiny_dataset, tiny_model

DATA, VALIDATION = tiny_dataset(100), tiny_dataset(30, seed=1)


@pytest.fixture
def model() -> Iterator[Model]:
    """A new tiny model on the emulator."""
    with tiny_model() as made:
        yield made


def stop_at(step: int, error: BaseException) -> Any:
    """An on_step that raises `error` after step `step`."""

    def on_step(progress: Progress) -> None:
        if progress.step == step:
            raise error

    return on_step


def test_fit_is_the_session_fed_in_order(model: Model) -> None:
    """Protects what fit means: nothing but mini-batches in the order of (seed, epoch), at the schedule's rates."""
    session = Session(model.graph, open_device("emulator", 1), batch=16)
    session.load_state(model.state())

    def minibatches() -> Iterator[Minibatch]:
        for step in range(15):
            rows = epoch_order(100, 5, step // 6)[step % 6 * 16 :][:16]
            yield Minibatch(DATA.images[rows], DATA.labels[rows], Cosine()(step, 15, 0.2))

    expected = list(session.train(minibatches()))
    history = model.fit(DATA, steps=15, batch=16, learning_rate=0.2, schedule="cosine", seed=5)
    assert [record.result for record in history.steps] == expected
    state = session.state()
    assert all(np.array_equal(array, state[name]) for name, array in model.state().items())
    session.close()


def test_history_of_a_fit(model: Model) -> None:
    """Protects the records: numbers from 1, an epoch's figures are the sums of its steps, validation is evaluation."""
    seen: list[EpochRecord] = []
    history = model.fit(DATA, steps=15, batch=16, validation=VALIDATION, on_epoch=seen.append)
    assert [record.step for record in history.steps] == list(range(1, 16))
    assert [record.epoch for record in history.steps] == [1] * 6 + [2] * 6 + [3] * 3
    assert [(record.epoch, record.steps) for record in history.epochs] == [(1, 6), (2, 6), (3, 3)]
    for record in history.epochs:
        steps = [r.result for r in history.steps if r.epoch == record.epoch]
        assert record.training.loss_sum_q16 == sum(r.loss_sum_q16 for r in steps)
        assert record.training.correct == sum(r.correct for r in steps)
        assert record.training.samples == 16 * len(steps)
    last = model.evaluate(VALIDATION)
    assert (history.epochs[-1].validation_loss, history.epochs[-1].validation_accuracy) == (last.loss, last.accuracy)
    assert tuple(seen) == history.epochs
    assert history.hyperparameters["batch"] == 16 and history.hyperparameters["steps_per_epoch"] == 6
    assert 0 < history.training_seconds <= history.seconds
    assert history.device.startswith("emulator") and history.memory.peak > 0
    assert model.steps == 15 and model.history is history


def test_progress(model: Model) -> None:
    """Protects progress bars: one call a step, in order, with figures that end where the history ends."""
    seen: list[Progress] = []
    history = model.fit(DATA, epochs=2, batch=16, on_step=seen.append)
    assert [(p.step, p.steps, p.epoch, p.epochs) for p in seen] == [
        (step, 12, 1 + (step - 1) // 6, 2) for step in range(1, 13)
    ]
    assert [p.loss for p in seen] == [record.loss for record in history.steps]
    assert (seen[-1].epoch_loss, seen[-1].epoch_accuracy) == (history.epochs[1].loss, history.epochs[1].accuracy)
    assert seen[6].epoch_loss == seen[6].loss
    assert all(p.images_per_second > 0 for p in seen)
    assert seen[0].eta_seconds > 0 and seen[-1].eta_seconds == 0


def test_validation_and_checkpoints_change_nothing(model: Model, tmp_path: Path) -> None:
    """Protects equal bytes: looking at a run and saving it does not alter it."""
    model.fit(DATA, epochs=2, batch=16)
    with tiny_model() as other:
        other.fit(DATA, epochs=2, batch=16, validation=VALIDATION, checkpoint=tmp_path / "file", checkpoint_every=5)
        assert other.digest() == model.digest()


@pytest.mark.usefixtures("one_step_a_start")
@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), ValueError("from the callback")])
def test_a_callback_stops_the_fit(model: Model, error: BaseException, tmp_path: Path) -> None:
    """Protects cancelling: the step under way is done and counted, all is saved, then the callback's error goes on."""
    calls: list[int] = []

    def on_step(progress: Progress) -> None:
        calls.append(progress.step)
        if progress.step >= 4:
            raise error

    with pytest.raises(type(error)) as caught:
        model.fit(DATA, epochs=3, batch=16, checkpoint=tmp_path / "file", on_step=on_step)
    assert caught.value is error
    assert calls == [1, 2, 3, 4], "a callback that raised is not called again"
    assert model.steps == 5 and model.cursor is not None and model.cursor.done == 5
    assert model.history is not None and len(model.history.steps) == 5
    with Model.load(tmp_path / "file", threads=1) as loaded:
        assert (loaded.digest(), loaded.steps, loaded.cursor) == (model.digest(), 5, model.cursor)
    with tiny_model() as other:
        other.fit(DATA, steps=5, batch=16)
        assert other.digest() == model.digest()


def test_a_callback_of_an_epoch_stops_the_fit_too(model: Model) -> None:
    """Protects early stopping: the epoch is recorded, its callback's error goes on."""

    def on_epoch(record: EpochRecord) -> None:
        if record.epoch == 2:
            raise StopIteration("good enough")

    with pytest.raises(StopIteration, match="good enough"):
        model.fit(DATA, epochs=5, batch=16, validation=VALIDATION, on_epoch=on_epoch)
    assert model.history is not None and (len(model.history.epochs), model.steps) == (2, 12)


def test_who_wants_to_stop_does_not_wait_for_validation(model: Model) -> None:
    """Protects Ctrl-C at the end of an epoch: the validation is left to who resumes."""
    seen: list[EpochRecord] = []
    with pytest.raises(KeyboardInterrupt):
        model.fit(DATA, batch=16, validation=VALIDATION, on_step=stop_at(6, KeyboardInterrupt()), on_epoch=seen.append)
    assert seen == [] and model.steps == 6
    history = model.resume(DATA, validation=VALIDATION, on_epoch=seen.append)
    assert tuple(seen) == history.epochs and history.epochs[0].validation is not None and model.steps == 6


@pytest.mark.usefixtures("one_step_a_start")
def test_ctrl_c_ends_the_step_and_saves(model: Model, tmp_path: Path) -> None:
    """Protects Ctrl-C: a signal ends the fit as a callback does, and Python's handler is back afterwards."""
    calls: list[int] = []

    def on_step(progress: Progress) -> None:
        calls.append(progress.step)
        if progress.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        model.fit(DATA, epochs=50, batch=16, checkpoint=tmp_path / "file", on_step=on_step)
    assert model.steps == len(calls) == 4, "the step under way is trained, counted and reported; no other is begun"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with Model.load(tmp_path / "file", threads=1) as loaded:
        assert loaded.digest() == model.digest()


@pytest.mark.usefixtures("one_step_a_start")
def test_a_hard_interrupt_falls_back_to_the_last_checkpoint(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the impatient: where nobody can say what is trained, state, counts and history go back together."""
    write, armed = model.device.write, threading.Event()

    def interrupted(offset: int, data: Any) -> None:
        if armed.is_set():
            raise KeyboardInterrupt
        write(offset, data)

    def on_step(progress: Progress) -> None:
        if progress.step == 8:
            armed.set()

    monkeypatch.setattr(model.device, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(DATA, epochs=3, batch=16, checkpoint=tmp_path / "file", checkpoint_every=5, on_step=on_step)
    monkeypatch.undo()
    assert model.steps == 5 and model.cursor is not None and model.cursor.done == 5
    assert model.history is not None and len(model.history.steps) == 5
    history = model.resume(DATA)
    with tiny_model() as other:
        other.fit(DATA, epochs=3, batch=16)
        assert other.digest() == model.digest() and len(history.steps) == 18


def test_a_failing_device_leaves_the_model_as_it_was(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects a model from a step that was done by half."""
    model.fit(DATA, steps=3, batch=16)
    before, cursor, history = model.digest(), model.cursor, model.history
    run, runs = model.device.run, []

    def fail(registers: Any) -> Any:
        runs.append(registers)
        if len(runs) == 4:
            raise DeviceError("the cable is out")
        return run(registers)

    monkeypatch.setattr(model.device, "run", fail)
    with pytest.raises(DeviceError, match="cable"):
        model.fit(DATA, epochs=5, batch=16)
    monkeypatch.undo()
    assert (model.digest(), model.cursor, model.history, model.steps) == (before, cursor, history, 3)
    with tiny_model() as other:
        other.fit(DATA, steps=3, batch=16)
        assert other.fit(DATA, steps=2, batch=16).steps == model.fit(DATA, steps=2, batch=16).steps
        assert other.digest() == model.digest()


def test_a_failed_checkpoint_stops_the_fit_and_loses_nothing(model: Model, tmp_path: Path) -> None:
    """Protects from training on for hours with nowhere to save: the fit stops, and goes on once there is room."""
    (tmp_path / "place").mkdir()
    path = tmp_path / "place" / "file"

    def on_step(progress: Progress) -> None:
        if progress.step == 7:
            path.unlink()
            path.parent.rmdir()

    with pytest.raises(CheckpointError, match="does not exist"):
        model.fit(DATA, epochs=3, batch=16, checkpoint=path, checkpoint_every=5, on_step=on_step)
    assert model.steps == 10
    model.resume(DATA)
    with tiny_model() as other:
        other.fit(DATA, epochs=3, batch=16)
        assert other.digest() == model.digest()


def test_a_checkpoint_that_cannot_be_written_is_refused_before_training(model: Model, tmp_path: Path) -> None:
    """Protects hours of training: the destination is looked at first."""
    with pytest.raises(CheckpointError, match="mkdir -p"):
        model.fit(DATA, checkpoint=tmp_path / "missing" / "file", on_step=stop_at(1, AssertionError()))
    assert model.steps == 0


@pytest.mark.parametrize(("every", "expected"), [(None, [0, 6, 12]), (4, [0, 4, 8, 12, 16])])
def test_checkpoints_come_when_they_are_due(
    every: int | None, expected: list[int], model: Model, tmp_path: Path
) -> None:
    """Protects against a power cut: what is on the disk is at most `checkpoint_every` steps, or an epoch, old."""
    path, on_disk = tmp_path / "file", []

    def look(progress: Progress) -> None:
        done = read_manifest(path)["steps"] if path.exists() else 0
        if done not in on_disk:
            on_disk.append(done)

    model.fit(DATA, epochs=3, batch=16, checkpoint=path, checkpoint_every=every, on_step=look)
    assert on_disk == expected
    assert read_manifest(path)["steps"] == 18
    assert read_manifest(path)["state_digest"] == model.digest()


def test_interrupts_outside_the_main_thread_are_left_alone() -> None:
    """Protects services that train in a thread: signals are none of its business there."""
    handlers: list[Any] = []

    def work() -> None:
        with DeferredInterrupt():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert handlers == [signal.default_int_handler]


def test_a_program_keeps_its_own_handler() -> None:
    """Protects programs that handle SIGINT themselves."""

    def handler(number: int, frame: Any) -> None:
        """Do nothing."""

    signal.signal(signal.SIGINT, handler)
    try:
        with DeferredInterrupt():
            assert signal.getsignal(signal.SIGINT) is handler
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_the_second_ctrl_c_interrupts_at_once() -> None:
    """Protects the way out of something that hangs."""
    with pytest.raises(KeyboardInterrupt), DeferredInterrupt() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.pending
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("not reached")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_fit_says_what_a_step_would_take_on_boards(tmp_path: Path) -> None:
    """Protects the estimate in histories and checkpoints: that of the fit's own mini-batch, on every board."""
    with tiny_model() as model:
        history = model.fit(tiny_dataset(), epochs=1, batch=20, checkpoint=tmp_path / "x.safetensors")
        expected = {name: estimate(model.graph, name, 20).step_seconds for name in boards()}
    assert dict(history.modelled) == expected and min(expected.values()) > 0
    assert read_manifest(tmp_path / "x.safetensors")["history"]["modelled_step_seconds"] == expected
