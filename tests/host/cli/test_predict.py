"""`strop predict`: image files as the network takes them, data sets, and probabilities of the library."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from strop.host import Model, load_dataset
from strop.host.data import load_image


@pytest.fixture
def test_images(tiny_data):
    """The tiny network's test set."""
    return load_dataset(str(tiny_data), "test")


def test_image_files(cli, tiny_checkpoint, test_images, tmp_path):
    """Colour and size follow the network; the answer is the library's for the same pixels."""
    for index in range(3):
        picture = Image.fromarray(test_images.images[index, 0]).convert("RGB")
        picture.resize((40, 40), resample=0).save(tmp_path / f"{index}.png")
    ran = cli("predict", tiny_checkpoint, "0.png", "1.png", "2.png", "--json")
    with Model.load(tiny_checkpoint) as model:
        expected = model.predict(np.stack([load_image(tmp_path / f"{i}.png", (1, 8, 8)) for i in range(3)]))
        classes = model.classes
    assert ran.code == 0 and ran.document["schema"] == "strop.predict/1"
    for index, found in enumerate(ran.document["predictions"]):
        label = int(expected.labels[index])
        assert (found["image"], found["label"], found["class"]) == (f"{index}.png", label, classes[label])
        assert found["probability"] == found["probabilities"][label] == expected.probabilities[index, label]
        assert "labelled" not in found
    people = cli("predict", tiny_checkpoint, "1.png")
    assert people.code == 0 and "1.png" in people.out and "%" in people.out and "labelled" not in people.out


def test_a_data_set(cli, tiny_checkpoint, tiny_data, test_images):
    """Each sample by its number, beside what its label says."""
    ran = cli("predict", tiny_checkpoint, "--data", tiny_data, "--json")
    found = ran.document["predictions"]
    assert [p["image"] for p in found] == [str(index) for index in range(30)]
    assert [p["labelled"] for p in found] == [test_images.classes[label] for label in test_images.labels]
    assert np.mean([p["labelled"] == p["class"] for p in found]) > 0.9
    assert "labelled" in cli("predict", tiny_checkpoint, "--data", tiny_data, "--split", "train").out


def test_bad_images(cli, tiny_checkpoint, tmp_path):
    """Missing, damaged and no image at all: the file is named, nothing is predicted."""
    (tmp_path / "text.png").write_text("hello")
    for name in ("none.png", "text.png", "."):
        ran = cli("predict", tiny_checkpoint, name)
        assert ran.code == 4 and ran.out == "" and name in ran.err


def test_without_pillow(cli, tiny_checkpoint, tmp_path, monkeypatch):
    """Pillow is an extra; the message says how to get it."""
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "x.png")
    monkeypatch.setitem(sys.modules, "PIL", None)
    ran = cli("predict", tiny_checkpoint, "x.png")
    assert ran.code == 4 and "pip install pillow" in ran.err
