"""`strop train`: the bytes of `Model.fit`, an interruption that loses nothing, and refusals before any work."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from PIL import Image

from strop.host import Model, load_dataset
from strop.runtime.errors import DeviceUnavailable

WORDS = ("--steps", 3, "--batch", 16)


def test_it_trains_what_the_library_trains(cli, fashion):
    """The command adds nothing to the arithmetic: its checkpoint has the digest of the same fit in Python."""
    options = ("--lr", 0.05, "--schedule", "cosine", "--momentum", 0.8, "--weight-decay", 0.001, "--seed", 7)
    ran = cli("train", "lenet5", "--data", fashion, *WORDS, *options, "--output", "x.safetensors", "--json")
    assert ran.code == 0, ran.err
    data = load_dataset(str(fashion), "train")
    with Model.create("lenet5", input=data.image_shape, classes=data.classes, seed=7) as model:
        model.fit(
            data, steps=3, batch=16, learning_rate=0.05, schedule="cosine", momentum=0.8, weight_decay=0.001, seed=7
        )
        assert ran.document["digest"] == model.digest()
    with Model.load("x.safetensors") as saved:
        assert saved.digest() == ran.document["digest"] and saved.classes == data.classes
    found = ran.document
    assert found["schema"] == "strop.train/1" and found["output"] == "x.safetensors" and found["plot"] is None
    assert len(found["history"]["steps"]) == 3 and found["steps_in_all"] == 3
    assert found["history"]["epochs"][-1]["validation_accuracy"] is not None  # the test part, without being asked
    assert found["peak_memory_bytes"] > 0 and found["images_per_second"] > 0


def test_the_report_for_people(cli, fashion, tmp_path):
    """Epochs, data, device, memory, and the files with their paths; the plot is there."""
    files = ("--output", "x.safetensors", "--plot", "x.png")
    ran = cli("train", "lenet5", "--data", fashion, "--epochs", 2, "--batch", 16, *files)
    assert ran.code == 0, ran.err
    for word in (
        "validation accuracy",
        "48 images",
        "emulator",
        "images/s",
        "MiB",
        "modelled",
        "x.safetensors",
        "x.png",
    ):
        assert word in ran.out
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_auto_is_explained(cli, fashion):
    """What "auto" became, and why, is said."""
    auto = ("--steps", 1, "--batch", "auto", "--lr", "auto")
    ran = cli("train", "lenet5", "--data", fashion, *auto, "--output", "x.safetensors")
    assert ran.code == 0 and "batch is 16: " in ran.out and "learning_rate is 0.0125: " in ran.out


def test_validation_can_be_left_out_named_or_missing(cli, fashion, fashion_without_test):
    """A source without a test part trains all the same, with a remark; a named validation set is taken whole."""
    words = ("train", "lenet5", *WORDS, "--json", "--force", "--output", "x.safetensors", "--data")
    for options, known, remark in (
        ((fashion, "--validation", "none"), False, ""),
        ((fashion_without_test,), False, "no validation: "),
        ((fashion_without_test, "--validation", fashion), True, ""),
    ):
        ran = cli(*words, *options)
        assert ran.code == 0 and ran.err.startswith(remark) and bool(ran.err) == bool(remark)
        assert (ran.document["history"]["epochs"][-1]["validation_loss"] is not None) == known


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("every", [(), ("--checkpoint-every", 2)])
def test_an_interrupted_training_goes_on_to_the_same_bytes(every, sent, cli, fashion, interrupt_at):
    """Ctrl-C and SIGTERM are 130, keep the steps done; the same command with --resume ends as if nothing happened."""
    words = ("train", "lenet5", "--data", fashion, "--steps", 8, "--batch", 16, *every, "--json", "--output")
    whole = cli(*words, "whole.safetensors")
    interrupt_at(3, sent)
    broken = cli(*words, "x.safetensors")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert broken.code == 130 and broken.document["error"]["type"] == "Interrupted"
    assert "kept in x.safetensors" in broken.err and "--resume" in broken.err
    interrupt_at(0)
    resumed = cli(*words, "x.safetensors", "--resume")
    assert resumed.code == 0 and resumed.document["digest"] == whole.document["digest"]
    assert len(resumed.document["history"]["steps"]) == 8
    again = cli(*words, "x.safetensors", "--resume")  # finished: nothing is left to do, and nothing changes
    assert again.code == 0 and again.document["digest"] == whole.document["digest"]


def test_resume_refuses_another_training(cli, fashion, fashion_without_test, interrupt_at, tmp_path):
    """Bytes "as if never interrupted" need the same words and data; a changed option is named and the file stays."""
    interrupt_at(3)
    words = ("train", "lenet5", "--data", fashion, "--batch", 16, "--output", "x.safetensors")
    assert cli(*words, "--steps", 8).code == 130
    interrupt_at(0)
    kept = (tmp_path / "x.safetensors").read_bytes()
    for options, message in (
        (("--steps", 9), "--steps is 9, but this training began with 8"),
        (("--lr", 0.2), "--lr is 0.2"),
        (("--seed", 1), "--seed is 1"),
        (("--shift", "invert"), "this fit was started on"),
    ):
        ran = cli(*words, "--resume", *options)
        assert ran.code == 4 and message in ran.err, ran.err
    other = cli("train", "vgg-small", *words[2:], "--resume")
    assert other.code == 4 and "lenet5" in other.err and "vgg-small" in other.err
    assert cli(*words[:-1], "none.safetensors", "--resume").code == 4
    assert (tmp_path / "x.safetensors").read_bytes() == kept


@pytest.mark.usefixtures("nothing_trains")
def test_results_that_cannot_be_written_are_refused_before_training(cli, fashion, tmp_path, monkeypatch):
    """Hours of training must not end at a folder that is not there, or on an earlier checkpoint."""
    (tmp_path / "old.safetensors").write_bytes(b"precious")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for output, options, message in (
        ("none/x.safetensors", (), "mkdir -p"),
        ("folder", (), "is a folder"),
        ("old.safetensors", (), "pass --force to replace it"),
        ("pipe", ("--force",), "no regular file"),
        ("x.safetensors", ("--plot", "none/x.png"), "mkdir -p"),
        ("x.safetensors", ("--plot", "x.gif"), "PNG"),
        ("x.png", ("--plot", "x.png"), "name another file"),
    ):
        ran = cli("train", "lenet5", "--data", fashion, "--output", output, *options)
        assert ran.code == 4 and message in ran.err, (output, ran.err)
    monkeypatch.setattr("strop.host.cli.sources.can_plot", lambda: False)
    ran = cli("train", "lenet5", "--data", fashion, "--output", "x.safetensors", "--plot", "x.png")
    assert ran.code == 4 and "pip install matplotlib" in ran.err
    assert (tmp_path / "old.safetensors").read_bytes() == b"precious"


def test_force_replaces(cli, fashion, tmp_path):
    """An old file goes only when told so."""
    (tmp_path / "x.safetensors").write_bytes(b"old")
    assert cli("train", "lenet5", "--data", fashion, *WORDS, "--output", "x.safetensors", "--force").code == 0
    assert len((tmp_path / "x.safetensors").read_bytes()) > 1000


@pytest.mark.usefixtures("nothing_trains")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("nonet", "--data", "fashion-mnist-subset"), "allowed: lenet5"),
        (("lenet5", "--data", "none.npz"), "none.npz"),
        (("lenet5", "--data", "fashion-mnist-subset", "--layout", "NHWC"), "layout"),
        (("lenet5", "--data", "fashion-mnist-subset", "--device", "toaster"), "allowed: auto, board, emulator"),
        (("lenet5", "--data", "fashion-mnist-subset", "--validation", "none.npz"), "none.npz"),
    ],
)
def test_what_is_not_acceptable_is_4(options, message, cli):
    """The message names what is wrong and what is allowed."""
    ran = cli("train", *options, "--output", "x.safetensors")
    assert ran.code == 4 and message in ran.err


def test_no_device_is_5(cli, fashion, monkeypatch):
    """Without a compiled kernel the emulator is missing, and the remedy is said."""

    def missing() -> None:
        raise DeviceUnavailable("was not compiled: install g++")

    monkeypatch.setattr("strop.runtime.emulator.kernel_library", missing)
    ran = cli("train", "lenet5", "--data", fashion, *WORDS, "--device", "emulator", "--output", "x.safetensors")
    assert ran.code == 5 and "install g++" in ran.err


def test_photos_of_different_sizes_need_a_size(cli, tmp_path):
    """--image-size reads a folder of images that a camera made."""
    random = np.random.default_rng(0)
    for label in ("cat", "dog"):
        for index in range(4):
            (tmp_path / "photos" / label).mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 255, (30 + index, 40, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{index}.png")
    words = ("train", "lenet5", "--data", "photos", "--steps", 1, "--output", "x.safetensors")
    assert cli(*words).code == 4
    ran = cli(*words, "--image-size", "28x28", "--json")
    assert ran.code == 0 and ran.document["classes"] == ["cat", "dog"] and "no validation" in ran.err


def test_a_second_ctrl_c_claims_nothing(cli, fashion, tiny_checkpoint, tmp_path, monkeypatch):
    """Where the steps were not written, the message must not point to what an earlier training left at that path."""
    (tmp_path / "x.safetensors").write_bytes(tiny_checkpoint.read_bytes())

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("strop.host.model.Model.fit", interrupted)
    ran = cli("train", "lenet5", "--data", fashion, "--output", "x.safetensors", "--force")
    assert ran.code == 130 and "nothing was kept" in ran.err and "--resume" not in ran.err


def test_spare_outputs_change_nothing_and_are_resumed(cli, fashion, interrupt_at):
    """--spare-classes gives more outputs and the same answers; --resume knows how many there are."""
    words = ("train", "lenet5", "--data", fashion, *WORDS, "--json", "--output")
    plain = cli(*words, "plain.safetensors").document
    whole = cli(*words, "whole.safetensors", "--spare-classes", 3).document
    assert (whole["spare_classes"], plain["spare_classes"], whole["classes"]) == (3, 0, plain["classes"])
    assert whole["history"]["steps"] == plain["history"]["steps"]
    interrupt_at(1)
    assert cli(*words, "x.safetensors", "--spare-classes", 3).code == 130
    interrupt_at(0)
    refused = cli(*words, "x.safetensors", "--resume", "--spare-classes", 2)
    assert refused.code == 4 and "--spare-classes is 2, but this training began with 3" in refused.err
    assert cli(*words, "x.safetensors", "--resume").document["digest"] == whole["digest"]


def test_augmentation(cli, fashion, interrupt_at):
    """It is part of the fit: recorded, gone on with, and not to be changed on the way."""
    words = ("train", "lenet5", "--data", fashion, "--steps", 3, "--batch", 16, "--validation", "none")
    whole = cli(*words, "--augment", "crop-flip", "--output", "whole.safetensors", "--json").document
    assert whole["history"]["hyperparameters"]["augment"] == "crop-flip"
    interrupt_at(2)
    assert cli(*words, "--augment", "crop-flip", "--output", "broken.safetensors").code == 130
    interrupt_at(0)
    plain = cli(*words, "--output", "plain.safetensors", "--json").document
    assert plain["digest"] != whole["digest"] and "augment" not in plain["history"]["hyperparameters"]
    refused = cli(*words, "--augment", "crop-flip", "--output", "plain.safetensors", "--resume")
    assert refused.code == 4 and "--augment is crop-flip, but this training began with None" in refused.err
    resumed = cli(*words, "--output", "broken.safetensors", "--resume", "--json").document
    assert resumed["digest"] == whole["digest"]
