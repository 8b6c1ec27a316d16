"""Benchmarks of Avalanche: each kind of item to the byte, by stand-ins, and the real library where it is installed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from strop.host.continual.avalanche import from_avalanche
from strop.runtime.errors import InputError

IMAGES = (np.arange(6 * 3 * 4) * 37 % 256).astype(np.uint8).reshape(6, 1, 3, 4)
LABELS = [0, 1, 0, 1, 2, 3]


class Tensor:
    """What is used of a torch tensor."""

    def __init__(self, array: Any) -> None:
        self.array = np.asarray(array)
        self.ndim = self.array.ndim

    def detach(self) -> Tensor:
        """Without its gradient."""
        return self

    def cpu(self) -> Tensor:
        """In main memory."""
        return self

    def numpy(self) -> np.ndarray:
        """As an array."""
        return self.array

    def item(self) -> Any:
        """The one value."""
        return self.array.item()


def stand_in(*experiences: list[Any], tests: list[list[Any]] | None = None, **facts: Any) -> SimpleNamespace:
    """An object with the parts of an Avalanche benchmark that are used."""
    streams = {"train_stream": experiences, "test_stream": experiences if tests is None else tests}
    return SimpleNamespace(
        **{name: [SimpleNamespace(dataset=items) for items in stream] for name, stream in streams.items()}, **facts
    )


def items(first: int, last: int, image: Any = np.asarray, label: Any = int) -> list[Any]:
    """Items `first` to `last` - 1 of the made-up images, as `image` and `label` wrap them."""
    return [(image(x), label(y)) for x, y in zip(IMAGES[first:last], LABELS[first:last], strict=True)]


@pytest.mark.parametrize(
    "image",
    [
        Tensor,
        lambda x: Tensor(x.astype(np.float32) / np.float32(255)),
        lambda x: x[0],
        lambda x: x.astype(np.float64) / 255,
        lambda x: Tensor((x / 255 + 0.001).clip(0, 1).astype(np.float16)),
    ],
    ids=["uint8 tensor", "float tensor", "H x W array", "float array", "half tensor a quarter level off"],
)
@pytest.mark.parametrize("label", [int, np.int64, Tensor])
def test_every_pixel_and_label_arrives(image: Any, label: Any) -> None:
    """Protects the data: each kind of x and y gives the same bytes, in their order."""
    made = from_avalanche(stand_in(items(0, 4, image, label), items(4, 6, image, label)), name="mine")
    assert made.scenario == "class-incremental" and made.classes == ("0", "1", "2", "3") and made.name == "mine"
    assert [experience.name for experience in made.experiences] == ["experience 1", "experience 2"]
    assert [experience.classes for experience in made.experiences] == [(0, 1), (2, 3)]
    for part in ("train", "test"):
        datasets = [getattr(experience, part) for experience in made.experiences]
        assert np.array_equal(np.concatenate([dataset.images for dataset in datasets]), IMAGES)
        assert np.concatenate([dataset.labels for dataset in datasets]).tolist() == LABELS


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_pil_images(mode: str) -> None:
    """Protects what classic benchmarks give without transforms: grey, colour and black-and-white pictures."""
    pil = pytest.importorskip("PIL.Image")
    picture = pil.fromarray(np.repeat(IMAGES[0, 0][:, :, np.newaxis], 3, axis=2)).convert(mode)
    made = from_avalanche(stand_in([(picture, 0, 0)])).experiences[0].train.images
    expected = np.array(picture.convert("L")) if mode != "RGB" else np.array(picture).transpose(2, 0, 1)
    assert np.array_equal(made, expected.reshape(1, -1, 3, 4)) and made.shape[1] == (3 if mode == "RGB" else 1)


def test_scenario_and_class_names() -> None:
    """Protects the guess, and what overrides it: classes that come again make domains."""
    again = stand_in(items(0, 2), items(2, 4), n_classes=3)
    assert from_avalanche(again).scenario == "domain-incremental" and from_avalanche(again).classes == ("0", "1", "2")
    named = from_avalanche(again, scenario="task-free", classes=["no", "yes"])
    assert named.scenario == "task-free" and named.classes == ("no", "yes")
    with pytest.raises(InputError, match="2 classes allow 0 to 1"):
        from_avalanche(stand_in(items(0, 6)), classes=["no", "yes"])


@pytest.mark.parametrize(
    ("benchmark", "message"),
    [
        (object(), "type object is no Avalanche benchmark: it has no train_stream"),
        (SimpleNamespace(train_stream=[3], test_stream=[3]), r"train_stream\[0\] has no dataset"),
        (stand_in(items(0, 2), tests=[items(0, 2)] * 2), "has 1 experiences to train on and 2 test sets"),
        (stand_in([]), r"train_stream\[0\] has no samples"),
        (stand_in(), "has no experiences"),
        (stand_in([IMAGES[0]]), r"train_stream\[0\].dataset\[0\] is no \(x, y\)"),
        (stand_in([(IMAGES[0], 0, 0, 0)]), r"is no \(x, y\) or \(x, y, task label\)"),
        (stand_in([(IMAGES[0], 0, 0), (IMAGES[0], 0, 1)]), r"task labels \[0, 1\].*return_task_id=False"),
        (stand_in([(IMAGES[0] / 255 - 0.5, 0)]), "pixels from -0.5 to .* normalized.* train_transform=None"),
        (stand_in([(np.full((2, 2), np.nan), 0)]), "so it was normalized"),
        (stand_in([(IMAGES[0].astype(np.int64), 0)]), "an image of int64; allowed are uint8, and floats in 0 to 1"),
        (stand_in([(IMAGES, 0)]), r"an image of the shape \[6, 1, 3, 4\]"),
        (stand_in([("boot.png", 0)]), "an image of the shape"),
        (stand_in([(IMAGES[0], 0.5)]), "has the label 0.5; it is a whole number"),
        (stand_in([(IMAGES[0], -1)]), "has the label -1"),
        (stand_in([(IMAGES[0], 1 << 31)]), "has the label 2147483648"),
        (stand_in([(IMAGES[0], 1 << 30)]), "label 1073741824 is out of range"),
        (stand_in([(IMAGES[0], np.array([0, 1]))]), "has the label array"),
        (stand_in([(IMAGES[0], 0), (IMAGES[0][:, :2], 0)]), r"dataset\[1\] is an image of \(1, 2, 4\), the first one"),
        (stand_in([(np.zeros((8, 8, 3), np.uint8), 0)]), "look like NHWC"),
    ],
)
def test_other_things_are_refused(benchmark: Any, message: str) -> None:
    """Protects users of another library: what is wrong, at which item, and what to change there."""
    with pytest.raises(InputError, match=message):
        from_avalanche(benchmark)


def test_pictures_in_other_modes_are_refused() -> None:
    """Protects against palettes read as grey."""
    pil = pytest.importorskip("PIL.Image")
    with pytest.raises(InputError, match='in mode P; add a transform to mode "L" or "RGB"'):
        from_avalanche(stand_in([(pil.new("P", (4, 3)), 0)]))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Avalanche's own dependencies
@pytest.mark.parametrize("kind", ["new classes", "new instances", "data sets", "task labels"])
def test_the_real_library(kind: str) -> None:
    """Protects against stand-ins that are not like Avalanche: its own benchmarks, of 240 images."""
    pytest.importorskip("avalanche", reason="Avalanche is not installed: pip install 'strop[avalanche]'")
    import torch
    from avalanche.benchmarks import benchmark_from_datasets, nc_benchmark, ni_benchmark
    from avalanche.benchmarks.utils import AvalancheDataset
    from torch.utils.data import TensorDataset

    images = (np.arange(240 * 5 * 7) * 101 % 251).astype(np.uint8).reshape(240, 1, 5, 7)
    labels = np.arange(240) % 6
    whole = TensorDataset(torch.from_numpy(images), torch.from_numpy(labels))
    whole.targets = torch.from_numpy(labels)
    if kind == "task labels":
        with pytest.raises(InputError, match="return_task_id=False"):
            from_avalanche(nc_benchmark(whole, whole, n_experiences=3, task_labels=True, seed=1))
        return
    if kind == "new classes":
        made = from_avalanche(nc_benchmark(whole, whole, n_experiences=3, task_labels=False, shuffle=False))
        rows = np.split(np.argsort(labels, kind="stable"), 3)  # Avalanche sorts an experience's samples by class
    elif kind == "new instances":
        theirs = ni_benchmark(whole, whole, n_experiences=2, seed=1)
        # ni_benchmark has one test set for all; a benchmark of data sets gives each experience its own
        assert len(theirs.test_stream) == 1
        with pytest.raises(InputError, match="2 experiences to train on and 1 test sets"):
            from_avalanche(theirs)
        return
    else:
        rows = [np.arange(0, 240, 2), np.arange(1, 240, 2), np.arange(0, 240, 3)]
        floats = torch.from_numpy(images).float() / 255
        parts = [AvalancheDataset([TensorDataset(floats[own], whole.targets[own])]) for own in rows]
        made = from_avalanche(benchmark_from_datasets(train=parts, test=parts))
    assert made.scenario == ("class-incremental" if kind == "new classes" else "domain-incremental")
    assert made.classes == tuple("012345") and made.image_shape == (1, 5, 7)
    for own, experience in zip(rows, made.experiences, strict=True):
        for part in (experience.train, experience.test):
            assert np.array_equal(part.images, images[own]) and np.array_equal(part.labels, labels[own])
