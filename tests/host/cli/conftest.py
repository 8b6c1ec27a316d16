"""The `strop` command called in-process, and small checkpoints and data for it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from strop.host.cli import main
from strop.host.cli.progress import ProgressDisplay
from strop.host.data import Dataset, load_fashion_mnist_subset
from tiny_models import tiny_dataset, tiny_model


@dataclass(frozen=True)
class Ran:
    """What a command did: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout; anything else there makes this fail."""
        found: dict[str, Any] = json.loads(self.out)
        return found


Cli = Callable[..., Ran]


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """`cli("info", "lenet5")` runs the command in an empty working folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Ran:
        capfd.readouterr()
        code = main([str(word) for word in words])
        return Ran(code, *capfd.readouterr())

    return run


def _save(path: Path, train: Dataset, test: Dataset | None) -> Path:
    parts = {"x_train": train.images, "y_train": train.labels, "classes": np.array(train.classes)}
    if test is not None:
        parts |= {"x_test": test.images, "y_test": test.labels}
    np.savez(path, **parts)
    return path


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 training and 30 test images of the tiny network, .npz."""
    return _save(tmp_path_factory.mktemp("data") / "tiny.npz", tiny_dataset(60), tiny_dataset(30, seed=1))


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network after 12 steps, which it answers well after."""
    with tiny_model() as model:
        model.fit(tiny_dataset(60), steps=12, batch=10)
        return model.save(tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors")


@pytest.fixture(scope="session")
def fashion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 training and 20 test images of Fashion-MNIST, .npz: what lenet5 takes."""
    train, test = (load_fashion_mnist_subset(split) for split in ("train", "test"))
    return _save(tmp_path_factory.mktemp("fashion") / "fashion.npz", train.take(48, 0), test.take(20, 0))


@pytest.fixture(scope="session")
def fashion_without_test(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 images of Fashion-MNIST in an .npz without a test part."""
    return _save(
        tmp_path_factory.mktemp("fashion") / "train_only.npz", load_fashion_mnist_subset("train").take(48, 0), None
    )


@pytest.fixture
def nothing_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a training fail loudly: for what must be refused before one begins."""

    def fit(*_: object, **__: object) -> None:
        raise AssertionError("a training began")

    monkeypatch.setattr("strop.host.model.Model.fit", fit)
    monkeypatch.setattr("strop.host.model.Model.resume", fit)


@pytest.fixture
def interrupt_at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`interrupt_at(3)` sends this process a Ctrl-C, or another signal, when step 3 is reported; 0 for no longer."""
    original = ProgressDisplay.__call__
    at, sent = 0, signal.SIGINT

    def call(self: ProgressDisplay, progress: Any) -> None:
        original(self, progress)
        if progress.step == at:
            os.kill(os.getpid(), sent)

    monkeypatch.setattr(ProgressDisplay, "__call__", call)

    def arm(step: int, with_signal: signal.Signals = signal.SIGINT) -> None:
        nonlocal at, sent
        at, sent = step, with_signal

    return arm
