"""Exact resumption: interrupted anywhere, by anything, and gone on with anywhere else, a fit ends in the same bytes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from strop.host import Model, load_dataset
from strop.host.history import Progress
from strop.runtime.errors import CheckpointMismatch
from tiny_models import tiny_dataset, tiny_model

DATA, VALIDATION = tiny_dataset(100), tiny_dataset(30, seed=1)
ARGUMENTS: dict[str, Any] = {
    "epochs": 3,
    "batch": 16,
    "learning_rate": 0.1,
    "schedule": "cosine",
    "seed": 11,
    "weight_decay": 0.0005,
}

RESUME = """
import sys
from strop.host import Model, load_dataset
path, device, threads = sys.argv[1:]
model = Model.load(path, device=device, threads=int(threads))
history = model.resume(load_dataset("fashion-mnist-subset"), validation=load_dataset("fashion-mnist-subset", "test"))
print(model.digest(), len(history.steps), history.epochs[-1].validation.correct)
"""

TRAIN = """
import sys
sys.path.insert(0, sys.argv[2])
from test_resume import *
from pathlib import Path
path = Path(sys.argv[1])
if path.exists():
    Model.load(path, device="emulator", threads=1).resume(DATA, checkpoint=path)
else:
    tiny_model().fit(DATA, **LONG, checkpoint=path, checkpoint_every=1)
"""
LONG: dict[str, Any] = {**ARGUMENTS, "epochs": 200}


def interrupt_at(step: int) -> Any:
    """An on_step that interrupts after `step`."""

    def on_step(progress: Progress) -> None:
        if progress.step == step:
            raise KeyboardInterrupt

    return on_step


def test_resumed_in_a_new_process_with_other_threads(tmp_path: Path) -> None:
    """Protects the headline: LeNet-5 interrupted in the middle of an epoch ends elsewhere in the bytes of one go."""
    train, test = load_dataset("fashion-mnist-subset"), load_dataset("fashion-mnist-subset", "test")
    arguments: dict[str, Any] = {**ARGUMENTS, "epochs": 2, "batch": 100}

    def new() -> Model:
        return Model.create("lenet5", input=train.image_shape, classes=train.classes, device="emulator", threads=1)

    with new() as whole, new() as broken:
        expected = whole.fit(train, **arguments, validation=test)
        with pytest.raises(KeyboardInterrupt):
            broken.fit(train, **arguments, validation=test, on_step=interrupt_at(26))
        broken.save(tmp_path / "file")
        assert broken.digest() != whole.digest()
        validated = expected.epochs[-1].validation
        assert validated is not None
        command = [sys.executable, "-c", RESUME, str(tmp_path / "file"), "emulator", "2"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        assert done.stdout.split() == [whole.digest(), "40", str(validated.correct)]


@pytest.mark.parametrize("step", [1, 4, 5, 6, 11, 16, 17, 18])
def test_resumed_from_every_kind_of_place(step: int, tmp_path: Path) -> None:
    """Protects the edges: the first step, the last before and the first after an epoch's end, the very end."""
    with tiny_model() as whole, tiny_model() as broken:
        expected = whole.fit(DATA, **ARGUMENTS, validation=VALIDATION)
        with pytest.raises(KeyboardInterrupt):
            broken.fit(
                DATA, **ARGUMENTS, validation=VALIDATION, on_step=interrupt_at(step), checkpoint=tmp_path / "file"
            )
        with Model.load(tmp_path / "file", device="emulator", threads=2) as resumed:
            history = resumed.resume(DATA, validation=VALIDATION, checkpoint=tmp_path / "file")
            assert resumed.digest() == whole.digest() and resumed.steps == whole.steps
            assert (history.steps, history.epochs) == (expected.steps, expected.epochs)
            assert resumed.resume(DATA).steps == expected.steps, "a finished fit is returned as it is"
            assert resumed.digest() == whole.digest()


@pytest.mark.parametrize("step", [2, 6])
def test_resumed_with_augmentation(step: int, tmp_path: Path) -> None:
    """Protects augmented fits: images vary by epoch and sample, not by where a run was broken off."""
    with tiny_model() as plain, tiny_model() as whole, tiny_model() as broken:
        plain.fit(DATA, **ARGUMENTS)
        whole.fit(DATA, **ARGUMENTS, augment="crop-flip")
        with pytest.raises(KeyboardInterrupt):
            broken.fit(DATA, **ARGUMENTS, augment="crop-flip", on_step=interrupt_at(step), checkpoint=tmp_path / "file")
        with Model.load(tmp_path / "file", device="emulator", threads=1) as resumed:
            assert resumed.resume(DATA).hyperparameters["augment"] == "crop-flip"
            assert resumed.digest() == whole.digest() != plain.digest()


def test_resumed_on_another_device(tmp_path: Path) -> None:
    """Protects moving between machines: begun on the emulator, ended on the reference, and the other way round."""
    arguments = {**ARGUMENTS, "epochs": 1, "batch": 20}
    with tiny_model() as whole:
        whole.fit(DATA, **arguments)
        for first, then in (("emulator", "reference"), ("reference", "emulator")):
            broken = tiny_model(first)
            with pytest.raises(KeyboardInterrupt):
                broken.fit(DATA, **arguments, on_step=interrupt_at(2))
            resumed = Model.load(broken.save(tmp_path / "file"), device=then)
            resumed.resume(DATA)
            assert resumed.digest() == whole.digest()


@pytest.mark.usefixtures("one_step_a_start")
def test_interrupted_again_and_again() -> None:
    """Protects a job on a shaky machine: any number of interruptions, in the same process."""
    with tiny_model() as whole, tiny_model() as broken:
        expected = whole.fit(DATA, **ARGUMENTS)
        with pytest.raises(KeyboardInterrupt):
            broken.fit(DATA, **ARGUMENTS, on_step=interrupt_at(2))
        for step in (5, 9, 12):
            with pytest.raises(KeyboardInterrupt):
                broken.resume(DATA, on_step=interrupt_at(step))
            assert broken.evaluate(VALIDATION).samples == 30
        assert broken.resume(DATA).steps == expected.steps
        assert broken.digest() == whole.digest()


def test_killed_again_and_again(tmp_path: Path) -> None:
    """Protects against a power cut: SIGKILL at any moment leaves a checkpoint, from which the same bytes follow."""
    path, dice = tmp_path / "file", random.Random(4)
    command = [sys.executable, "-c", TRAIN, str(path), str(Path(__file__).parent)]
    kills = 0
    while kills < 3:
        worker = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        before = path.stat().st_ino if path.exists() else None
        limit = time.monotonic() + 60
        while worker.poll() is None and (not path.exists() or path.stat().st_ino == before):
            assert time.monotonic() < limit
            time.sleep(0.002)
        time.sleep(dice.uniform(0.0, 0.1))
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        kills += 1
    with Model.load(path, device="emulator", threads=1) as resumed, tiny_model() as whole:
        assert 3 <= resumed.steps < 1200
        whole.fit(DATA, **LONG)
        resumed.resume(DATA)
        assert resumed.digest() == whole.digest() and resumed.steps == 1200
        resumed.save(path)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.usefixtures("one_step_a_start")
def test_other_data_are_refused(tmp_path: Path) -> None:
    """Protects the promise of equal bytes: another data set is named beside the one of the fit, and nothing changes."""
    with tiny_model() as model:
        with pytest.raises(KeyboardInterrupt):
            model.fit(DATA, **ARGUMENTS, on_step=interrupt_at(2))
        digest = model.digest()
        with pytest.raises(CheckpointMismatch, match=r"tiny \(100 samples.*other \(100 samples"):
            model.resume(tiny_dataset(100, seed=9, name="other"))
        assert (model.digest(), model.steps) == (digest, 3)
