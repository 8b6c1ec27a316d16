"""What a fine-tuning job does with a parent, samples and a checkpoint: the same bytes, however it comes to its end."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from job_folders import request, uninterrupted
from strop.host import Model, Progress, load_dataset, read_checkpoint
from strop.host.pretrained import pretrained_path
from strop.runtime.device import Device, open_device
from strop.runtime.errors import CheckpointMismatch
from strop.service.schemas.jobs import DEFAULT_MODEL, FinetuneRequest
from strop.service.training import DEFAULT_STEPS, finetune, fit_words

ASKED = request(steps=20, batch=32, seed=9, schedule="cosine", weight_decay=0.001)
TRAIN = load_dataset("fashion-mnist-subset")


@pytest.fixture(scope="module")
def emulator() -> Iterator[Device]:
    """An emulator that the tests share."""
    device = open_device("emulator", 1)
    yield device
    device.close()


def train(
    checkpoint: Path, device: Device, stop_after: int | None = None, words: dict[str, Any] = ASKED
) -> tuple[str, int]:
    """Run a job, perhaps up to a step; return the state's digest and how many steps this took."""
    steps = 0

    def on_step(progress: Progress) -> None:
        nonlocal steps
        steps += 1
        if progress.step == stop_after:
            raise KeyboardInterrupt

    request = FinetuneRequest(**words).model_dump()
    parent = pretrained_path(DEFAULT_MODEL)
    model = finetune(parent, checkpoint, TRAIN, None, fit_words(request), 8, device, on_step=on_step)
    return model.digest(), steps


def test_it_is_a_fit_of_the_model(emulator: Device, tmp_path: Path) -> None:
    """Protects the promise that a service adds nothing: the bytes are those of `Model.fit`."""
    assert train(tmp_path / "checkpoint", emulator) == (uninterrupted(ASKED), 20)


@pytest.mark.parametrize("stop_after", [1, 8, 13, 20])
def test_it_goes_on_from_its_checkpoint(stop_after: int, emulator: Device, tmp_path: Path) -> None:
    """Protects exact resumption, after any step: the same end, and no step twice."""
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "checkpoint", emulator, stop_after)
    cursor = read_checkpoint(tmp_path / "checkpoint").cursor
    assert cursor is not None and cursor.done >= stop_after  # the steps that were under way are done, too
    assert train(tmp_path / "checkpoint", emulator) == (uninterrupted(ASKED), 20 - cursor.done)


@pytest.mark.parametrize("place", [0.0, 0.02, 0.5, 0.999])
def test_a_damaged_checkpoint_is_not_gone_on_from(
    place: float, emulator: Device, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Protects from a disk's errors: training starts again, to the right bytes, and the log says why."""
    checkpoint = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        train(checkpoint, emulator, 13)
    data = bytearray(checkpoint.read_bytes())
    data[int(place * len(data))] ^= 0x40
    checkpoint.write_bytes(data)
    with caplog.at_level(logging.WARNING, "strop.training"):
        assert train(checkpoint, emulator) == (uninterrupted(ASKED), 20)
    assert "training starts again" in caplog.text


def test_a_file_without_a_fit_is_no_checkpoint_to_go_on_from(emulator: Device, tmp_path: Path) -> None:
    """Protects from a checkpoint that says nothing of how far it is."""
    model = Model.create("lenet5", input=(1, 28, 28), classes=10, device=emulator)
    model.save(tmp_path / "checkpoint")
    assert train(tmp_path / "checkpoint", emulator) == (uninterrupted(ASKED), 20)


def test_other_samples_are_refused(emulator: Device, tmp_path: Path) -> None:
    """Protects reproducibility: a job does not go on with samples that are not those it began with."""
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "checkpoint", emulator, 5)
    words, parent = fit_words(FinetuneRequest(**ASKED).model_dump()), pretrained_path(DEFAULT_MODEL)
    with pytest.raises(CheckpointMismatch):
        finetune(
            parent, tmp_path / "checkpoint", load_dataset("fashion-mnist-subset", "test"), None, words, 8, emulator
        )


def test_a_length_is_chosen_where_none_was_asked() -> None:
    """Protects small requests: without steps or epochs a job has a length, and one that was asked stays."""
    asked = FinetuneRequest(data="fashion-mnist-subset").model_dump()
    assert (fit_words(asked)["steps"], fit_words(asked)["epochs"]) == (DEFAULT_STEPS, None)
    assert (fit_words({**asked, "epochs": 2})["steps"], fit_words({**asked, "epochs": 2})["epochs"]) == (None, 2)
    assert fit_words({**asked, "steps": 7})["steps"] == 7
