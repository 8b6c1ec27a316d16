"""`strop finetune`: the source stays, what is won and lost is measured, frozen layers do not move."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from strop.host import Model, load_dataset
from strop.host.data import shift_dataset
from tiny_models import tiny_dataset

WORDS = ("--steps", 6, "--batch", 10)


def test_it_measures_before_and_after(cli, tiny_checkpoint, tiny_data):
    """The figures are those of the checkpoints themselves, on the new and on the original images."""
    source = tiny_checkpoint.read_bytes()
    words = ("finetune", tiny_checkpoint, "--data", tiny_data, *WORDS, "--output")
    ran = cli(*words, "x.safetensors", "--shift", "rotate90", "--json")
    assert ran.code == 0, ran.err
    found, test = ran.document, load_dataset(str(tiny_data), "test")
    for when, path in (("before", tiny_checkpoint), ("after", "x.safetensors")):
        with Model.load(path) as model:
            assert found[when]["tiny/test"]["loss"] == model.evaluate(test).loss
            assert found[when]["tiny/test, rotate90"]["loss"] == model.evaluate(shift_dataset(test, "rotate90")).loss
    assert found["schema"] == "strop.finetune/1" and found["steps_in_all"] == 12 + 6
    assert found["history"]["hyperparameters"]["learning_rate"] == 0.01
    assert tiny_checkpoint.read_bytes() == source
    people = cli(*words, "y.safetensors")
    assert people.code == 0 and "points" in people.out and "y.safetensors" in people.out


def test_frozen_layers_stay(cli, tiny_checkpoint, tiny_data):
    """--freeze keeps a layer and its normalization; the others learn."""
    words = ("finetune", tiny_checkpoint, "--data", tiny_data, *WORDS, "--output", "x.safetensors")
    assert cli(*words, "--freeze", "conv1, fc1").code == 0
    with Model.load(tiny_checkpoint) as before, Model.load("x.safetensors") as after:
        changed = {name for name, array in before.state().items() if not np.array_equal(array, after.state()[name])}
    assert "fc2.weight" in changed and not {"conv1.weight", "bn1.gamma", "fc1.weight", "bn2.running_mu"} & changed
    ran = cli(*words, "--force", "--freeze", "conv9")
    assert ran.code == 4 and "conv9" in ran.err and "conv1, fc1, fc2" in ran.err


def test_the_source_is_replaced_only_when_told_twice(cli, tiny_checkpoint, tiny_data, tmp_path):
    """The same path as --output needs --force; a symbolic link to it does too."""
    shutil.copy(tiny_checkpoint, tmp_path / "x.safetensors")
    source = tiny_checkpoint.read_bytes()
    (tmp_path / "link.safetensors").symlink_to("x.safetensors")
    words = ("finetune", "x.safetensors", "--data", tiny_data, *WORDS, "--output")
    for output in ("x.safetensors", "link.safetensors"):
        ran = cli(*words, output)
        assert ran.code == 4 and "--force" in ran.err
    plot = cli(*words, "y.safetensors", "--plot", "x.safetensors")
    assert plot.code == 4 and (tmp_path / "x.safetensors").read_bytes() == source
    assert cli(*words, "x.safetensors", "--force").code == 0
    assert (tmp_path / "x.safetensors").read_bytes() != source


def test_an_interrupted_fine_tuning_goes_on(cli, tiny_checkpoint, tiny_data, interrupt_at):
    """--resume takes the steps from --output and the figures before from the source."""
    words = ("finetune", tiny_checkpoint, "--data", tiny_data, *WORDS, "--freeze", "conv1", "--json", "--output")
    whole = cli(*words, "whole.safetensors").document
    interrupt_at(2)
    assert cli(*words, "x.safetensors").code == 130
    interrupt_at(0)
    resumed = cli(*words, "x.safetensors", "--resume").document
    assert (resumed["digest"], resumed["before"]) == (whole["digest"], whole["before"])
    refused = cli(*words[:-3], "fc1", "--output", "x.safetensors", "--resume")
    assert refused.code == 4 and "--freeze" in refused.err


def test_data_of_another_kind_is_refused(cli, tiny_checkpoint, fashion):
    """Images of another size name both sizes."""
    ran = cli("finetune", tiny_checkpoint, "--data", fashion, "--output", "x.safetensors")
    assert ran.code == 4 and "28, 28" in ran.err and "8, 8" in ran.err


def test_a_folder_of_photos_takes_the_networks_form(cli, tiny_checkpoint, tiny_data, tmp_path):
    """Folders sort their classes by name and cameras choose their size: both are brought to the network's."""
    data = load_dataset(str(tiny_data), "train")
    for index, label in enumerate(data.labels.tolist()):
        folder = tmp_path / "photos" / data.classes[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data.images[index, 0]).resize((32, 32), Image.Resampling.NEAREST).convert("RGB").save(
            folder / f"{index:03}.png"
        )
    assert sorted(data.classes) != list(data.classes)
    measured = cli("evaluate", tiny_checkpoint, "--data", "photos", "--json").document
    with Model.load(tiny_checkpoint) as model:
        assert measured["accuracy"] == model.evaluate(data).accuracy > 0.9
    ran = cli("finetune", tiny_checkpoint, "--data", "photos", *WORDS, "--output", "x.safetensors", "--json")
    assert ran.code == 0 and ran.document["classes"] == list(data.classes) and ran.document["before"] == {}


@pytest.fixture(scope="module")
def four_classes(tmp_path_factory):
    """The tiny data with a class more, inverted images, first in the file's order."""
    data = tiny_dataset(60)
    images = np.concatenate([data.images, 255 - data.images[::3]])
    labels = np.concatenate([data.labels + 1, np.zeros(20, np.int64)])
    path = tmp_path_factory.mktemp("four") / "four.npz"
    names = np.array(("inverted", *data.classes))
    np.savez(path, x_train=images, y_train=labels, x_test=images[::2], y_test=labels[::2], classes=names)
    return path


def test_a_class_is_added_and_learned(cli, tiny_checkpoint, four_classes):
    """Data with a class that the model lacks names the option; with it the class gets an output behind the others."""
    words = ("finetune", tiny_checkpoint, "--data", four_classes, "--steps", 60, "--batch", 20, "--lr", 0.1)
    refused = cli(*words, "--output", "x.safetensors")
    assert refused.code == 4 and "4 classes" in refused.err and "--add-class NAME" in refused.err
    ran = cli(*words, "--add-class", "inverted", "--json", "--output", "x.safetensors")
    assert ran.code == 0, ran.err
    assert ran.document["classes"] == ["left", "right", "both", "inverted"] and ran.document["spare_classes"] == 0
    after = next(iter(ran.document["after"].values()))
    assert after["accuracy"] > 0.85 > next(iter(ran.document["before"].values()))["accuracy"]
    found = cli("predict", "x.safetensors", "--data", four_classes, "--json").document
    assert {row["class"] for row in found["predictions"] if row["labelled"] == "inverted"} == {"inverted"}
    again = cli(*words, "--add-class", "left", "--output", "y.safetensors")
    assert again.code == 4 and "'left' already" in again.err


def test_a_fine_tuning_with_new_classes_goes_on(cli, tiny_checkpoint, four_classes, interrupt_at):
    """--resume with the same options ends with the same bytes; with other classes it is refused."""
    words = ("finetune", tiny_checkpoint, "--data", four_classes, *WORDS, "--json", "--add-class", "inverted")
    whole = cli(*words, "--output", "whole.safetensors").document
    interrupt_at(2)
    assert cli(*words, "--output", "x.safetensors").code == 130
    interrupt_at(0)
    for others, told in (((*words, "--add-class", "other"), "inverted, other"), (words[:-2], "not given")):
        refused = cli(*others, "--output", "x.safetensors", "--resume")
        assert refused.code == 4 and f"--add-class is {told}, but this training began with inverted" in refused.err
    resumed = cli(*words, "--output", "x.safetensors", "--resume").document
    assert (resumed["digest"], resumed["before"]) == (whole["digest"], whole["before"])
