"""`strop evaluate`: the library's figures on the part of the data that is meant."""

from __future__ import annotations

import numpy as np
import pytest

from strop.host import Model, load_dataset
from strop.host.data import shift_dataset


@pytest.mark.parametrize("device", ["emulator", "reference"])
def test_it_is_the_librarys_evaluation(device, cli, tiny_checkpoint, tiny_data):
    """By default the test part, on any device to the last digit; the file is not touched."""
    before = tiny_checkpoint.read_bytes()
    ran = cli("evaluate", tiny_checkpoint, "--data", tiny_data, "--device", device, "--json")
    with Model.load(tiny_checkpoint) as model:
        expected = model.evaluate(load_dataset(str(tiny_data), "test"))
    found = ran.document
    assert ran.code == 0 and found["schema"] == "strop.evaluate/1" and found["device"].split(":")[0].endswith(device)
    assert (found["loss"], found["accuracy"], found["error"]) == (expected.loss, expected.accuracy, expected.error)
    assert found["samples"] == 30 and tiny_checkpoint.read_bytes() == before


def test_split_and_shift(cli, tiny_checkpoint, tiny_data):
    """What is measured is said: the part and the drift."""
    words = ("evaluate", tiny_checkpoint, "--data", tiny_data, "--split", "train", "--shift", "invert")
    with Model.load(tiny_checkpoint) as model:
        expected = model.evaluate(shift_dataset(load_dataset(str(tiny_data), "train"), "invert"))
    assert cli(*words, "--json").document["loss"] == expected.loss
    ran = cli(*words)
    assert ran.code == 0 and "tiny/train+invert, 60 images" in ran.out and f"{expected.accuracy:.2%}" in ran.out


def test_data_without_splits_is_measured_whole(cli, tiny_checkpoint, tiny_data, tmp_path):
    """Naming it for evaluation says that it is for testing; a damaged one is still an error."""
    test = load_dataset(str(tiny_data), "test")
    np.savez(tmp_path / "whole.npz", x=test.images, y=test.labels)
    assert cli("evaluate", tiny_checkpoint, "--data", "whole.npz", "--json").document["samples"] == 30
    (tmp_path / "damaged.npz").write_bytes(b"PK")
    ran = cli("evaluate", tiny_checkpoint, "--data", "damaged.npz")
    assert ran.code == 4 and "damaged.npz" in ran.err


@pytest.mark.parametrize("content", [None, b"", b"not a checkpoint"])
def test_what_is_no_checkpoint_is_refused(content, cli, tiny_data, tmp_path):
    """A missing file names the pre-trained checkpoints that there are."""
    if content is not None:
        (tmp_path / "x.safetensors").write_bytes(content)
    ran = cli("evaluate", "x.safetensors", "--data", tiny_data, "--json")
    assert ran.code == 4 and "x.safetensors" in ran.document["error"]["message"]
    assert content is not None or "lenet5-fashion-mnist" in ran.err


def test_a_damaged_checkpoint_is_refused(cli, tiny_checkpoint, tiny_data, tmp_path):
    """One flipped bit in the weights is an error and not another accuracy."""
    damaged = bytearray(tiny_checkpoint.read_bytes())
    damaged[-5] ^= 1
    (tmp_path / "x.safetensors").write_bytes(damaged)
    ran = cli("evaluate", "x.safetensors", "--data", tiny_data, "--json")
    assert ran.code == 4 and ran.document["error"]["type"] == "CheckpointCorrupt"


def test_a_test_batch_that_is_missing_is_named(cli, tmp_path):
    """Protects who has half of CIFAR: the split that lacks is told, not that there is none of everything."""
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    (folder / "batches.meta.txt").write_text("".join(f"class{i}\n" for i in range(10)))
    for number in range(1, 6):
        (folder / f"data_batch_{number}.bin").write_bytes(bytes(3073))
    ran = cli("evaluate", "lenet5-fashion-mnist", "--data", folder, "--json")
    assert ran.code != 0 and "no version of CIFAR for the test split" in ran.err
