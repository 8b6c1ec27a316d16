"""Uploads of every format: what is taken, what is put aside, and what is refused; and that nothing else can happen."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_uploads import (
    MIB,
    bombs,
    class_folders,
    gzipped_zeros,
    idx,
    image_file,
    npy_member,
    npz,
    npz_of,
    pixels,
    zipped,
)
from strop.host.data import Dataset
from strop.host.data.npz_dataset import load_npz
from strop.service.data.intake import Format, Intake, take_in
from strop.service.data.limits import MAX_LISTED
from strop.service.problems import Problem

LIMIT = 32 * MIB
BOMBS = bombs()


@dataclass
class Taken:
    """What came of an upload, and the data set as a job will read it."""

    intake: Intake
    dataset: Dataset

    @property
    def faults(self) -> dict[str, str]:
        """What was put aside: source, reason."""
        return dict(self.intake.quarantine.listed)


def take(body: bytes, format: Format, folder: Path, limit: int = LIMIT) -> Taken:
    """Take an upload in."""
    intake = take_in(io.BytesIO(body), format, folder / "set.npz", folder, limit)
    return Taken(intake, load_npz(folder / "set.npz", "all"))


def refusal(body: bytes, format: Format, folder: Path, limit: int = LIMIT) -> Problem:
    """Return the refusal of an upload, which leaves nothing."""
    with pytest.raises(Problem) as raised:
        take_in(io.BytesIO(body), format, folder / "set.npz", folder, limit)
    assert list(folder.iterdir()) == []
    return raised.value


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("names", [("images", "labels"), ("x", "y")])
def test_npz_is_taken_as_it_is(tmp_path: Path, compress: bool, names: tuple[str, str]) -> None:
    """Protects the pixels and labels on their way, over several batches, with and without names of classes."""
    images, labels = pixels(1500, 3, 25, 19), np.arange(1500) % 7
    taken = take(npz(compress, **dict(zip(names, (images, labels), strict=True))), "npz", tmp_path)
    assert np.array_equal(taken.dataset.images, images)
    assert np.array_equal(taken.dataset.labels, labels)
    assert taken.dataset.classes == tuple("0123456")
    assert (taken.intake.samples, taken.intake.shape, taken.intake.quarantine.count) == (1500, (3, 25, 19), 0)


@pytest.mark.parametrize("kind", ["<i8", ">i4", "|u1", "<u2"])
def test_labels_of_any_integers(tmp_path: Path, kind: str) -> None:
    """Protects files of other machines and programs: byte order, width, and a second axis of one."""
    labels = np.array([[2], [0], [1]], kind)
    taken = take(npz(images=pixels(3, 4, 5), labels=labels, classes=["ant", "bee", "cat"]), "npz", tmp_path)
    assert taken.dataset.labels.tolist() == [2, 0, 1]
    assert taken.dataset.classes == ("ant", "bee", "cat")
    assert taken.dataset.image_shape == (1, 4, 5)


def test_a_label_out_of_range_costs_its_sample_alone(tmp_path: Path) -> None:
    """Protects the good samples of an upload from the bad ones, and their order."""
    images = pixels(5, 4, 4)
    taken = take(npz(images=images, labels=[0, 2, -1, 1, 2**40], classes=["ant", "bee"]), "npz", tmp_path)
    assert np.array_equal(taken.dataset.images[:, 0], images[[0, 3]])
    assert taken.dataset.labels.tolist() == [0, 1]
    assert list(taken.faults) == ["sample 1", "sample 2", "sample 4"]
    assert taken.faults["sample 1"] == "label 2 is out of range: 2 classes allow 0 to 1"


def test_only_bad_samples_are_no_data_set(tmp_path: Path) -> None:
    """Protects from an empty data set that fails a job later; the refusal says what is wrong with the samples."""
    problem = refusal(npz(images=pixels(12, 4, 4), labels=np.full(12, 9), classes=["ant"]), "npz", tmp_path)
    assert problem.code == "dataset_invalid"
    assert "none of the 12 samples can be taken, such as sample 0: label 9" in problem.detail
    assert len(problem.members["errors"]) == 10


def test_the_list_of_bad_samples_is_bounded(tmp_path: Path) -> None:
    """Protects memory and database from an upload whose samples are all bad but one: all counted, some listed."""
    labels = np.full(5000, -1)
    labels[17] = 0
    quarantine = take(npz(images=pixels(5000, 1, 1), labels=labels), "npz", tmp_path).intake.quarantine
    assert quarantine.count == 4999
    assert len(quarantine.listed) == MAX_LISTED + 1
    assert quarantine.listed[-1][0] == f"{4999 - MAX_LISTED} more"


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"x_train": 1, "y_train": 2}, "the file holds x_train, y_train; needed are images and labels or x and y"),
        ({"images": np.zeros((2, 4, 4)), "labels": [0, 1]}, "float64 [2, 4, 4]; pixels are uint8"),
        ({"images": np.zeros((2, 4, 5, 3), np.uint8), "labels": [0, 1]}, "looks like [count, H, W, C]"),
        ({"images": np.zeros((2, 4), np.uint8), "labels": [0, 1]}, "images are [count, H, W]"),
        ({"images": np.zeros((2, 0, 4), np.uint8), "labels": [0, 1]}, "images of [1, 0, 4]"),
        ({"images": np.zeros((2, 1, 1025), np.uint8), "labels": [0, 1]}, "images of [1, 1, 1025]"),
        ({"images": np.zeros((1, 3, 1024, 1024), np.uint8), "labels": [0]}, "3145728 bytes; allowed are"),
        ({"images": np.zeros((2, 4, 4), np.uint8), "labels": [0, 1, 2]}, "2 images with 3 labels"),
        ({"images": np.zeros((0, 4, 4), np.uint8), "labels": np.zeros(0, int)}, "0 samples"),
        ({"images": np.zeros((2, 4, 4), np.uint8), "labels": [0.0, 1.0]}, "labels are integers"),
        ({"images": np.zeros((2, 4, 4), np.uint8), "labels": [[0, 1], [1, 0]]}, "labels are integers"),
        ({"images": np.zeros((2, 4, 4), np.uint8), "labels": [0, 1], "classes": [1, 2]}, "an array of strings"),
        ({"images": np.zeros((2, 4, 4), np.uint8), "labels": [0, 1], "classes": ["a", "a"]}, "the same name"),
        (
            {"images": np.zeros((2, 4, 4), np.uint8), "labels": [0, 1], "classes": ["a", "b" * 101]},
            "names are 1 to 100",
        ),
        ({"images": np.zeros((2, 4, 4), np.uint8), "labels": [0, 1], "classes": ["a", "b\nc"]}, "plain characters"),
        ({"images": np.array([{}, {}], object), "labels": [0, 1]}, "which only pickle can read"),
        ({"images": np.zeros((2, 4, 4), "u1,u1"), "labels": [0, 1]}, "no header of a plain .npy array"),
        ({"images": np.asfortranarray(np.zeros((2, 4, 4), np.uint8)), "labels": [0, 1]}, "Fortran order"),
    ],
)
def test_what_is_no_data_set_in_npz(tmp_path: Path, arrays: dict[str, Any], told: str) -> None:
    """Protects jobs from data that they could not use; each refusal says what is wrong and what is expected."""
    problem = refusal(npz(**arrays), "npz", tmp_path)
    assert problem.code == "dataset_invalid"
    assert told in problem.detail


@pytest.mark.parametrize(("rows", "told"), [(1, "breaks off"), (3, "holds more")])
def test_a_header_that_lies(tmp_path: Path, rows: int, told: str) -> None:
    """Protects from files that were cut or joined: what the header says and what follows must be as long."""
    for images, labels, name in ((rows, 2, "images"), (2, rows, "labels")):
        body = npz_of(
            images=npy_member((2, 4, 4), bytes(16 * images)), labels=npy_member((2,), bytes(8 * labels), "<i8")
        )
        problem = refusal(body, "npz", tmp_path)
        assert problem.code == "dataset_invalid"
        assert f"{name} {told}" in problem.detail


def test_a_damaged_array_is_told(tmp_path: Path) -> None:
    """Protects from pixels that changed on their way: the archive's checksum counts."""
    body = bytearray(npz(images=np.full((50, 4, 4), 7, np.uint8), labels=np.zeros(50, int)))
    body[body.index(b"\7" * 100) + 50] ^= 1
    assert "images cannot be read: Bad CRC-32" in refusal(bytes(body), "npz", tmp_path).detail


@pytest.mark.parametrize("root", ["", "bees/"])
def test_a_zip_of_class_folders(tmp_path: Path, root: str) -> None:
    """Protects the usual layout, with a folder around it or not, and what macOS puts beside it."""
    images, labels = pixels(30, 6, 5), [2, 0, 1] * 10
    extra = [(f"{root}class_0/.DS_Store", b"x"), ("__MACOSX/class_0/._0001.png", b"x"), (f"{root}class_0/", b"")]
    taken = take(zipped([*extra, *class_folders(images, labels, root)]), "zip", tmp_path)
    assert taken.dataset.classes == ("class_0", "class_1", "class_2")
    order = np.argsort(labels, kind="stable")
    assert np.array_equal(taken.dataset.images[:, 0], images[order])
    assert taken.dataset.labels.tolist() == sorted(labels)
    assert taken.faults == {}


def test_colour_images(tmp_path: Path) -> None:
    """Protects colour, and the grey file among them, which loses nothing."""
    images = pixels(4, 6, 5, 3)
    grey = pixels(1, 6, 5, seed=1)[0]
    members = [*class_folders(images, [0, 0, 1, 1]), ("class_1/grey.png", image_file(grey))]
    taken = take(zipped(members), "zip", tmp_path)
    assert np.array_equal(taken.dataset.images[:4], images.transpose(0, 3, 1, 2))
    assert np.array_equal(taken.dataset.images[4], np.stack([grey] * 3))
    jpeg = take(zipped([(f"a/{n}.JPG", image_file(image, "JPEG")) for n, image in enumerate(images)]), "zip", tmp_path)
    assert jpeg.intake.shape == (3, 6, 5)


def test_each_bad_image_stands_alone(tmp_path: Path) -> None:
    """Protects from the failure that users of other boxes report first: one bad image, and the upload is lost."""
    good, odd, color = pixels(3, 6, 5), pixels(1, 5, 5)[0], pixels(1, 6, 5, 3)[0]
    grey_as_color = np.repeat(good[:1, :, :, None], 3, axis=3)[0]
    members = [
        ("a/0.png", image_file(odd)),  # the first one does not decide
        *((f"a/{n + 1}.png", image_file(image)) for n, image in enumerate(good)),
        ("a/cut.png", image_file(good[0])[:-30]),
        ("a/junk.png", b"junk"),
        ("a/empty.png", b""),
        ("a/color.png", image_file(color)),
        ("a/saved-in-color.png", image_file(grey_as_color)),
        ("a/wide.png", image_file(pixels(1, 6, 5)[0].astype(np.uint16) * 257)),
        ("a/huge.png", image_file(np.zeros((1000, 1000), np.uint8))),
        ("a/gif.png", image_file(good[0], "GIF")),
        ("a/notes.txt", b"remember the milk"),
        ("b/1.png", image_file(good[1])),
        ("readme.md", b"# bees"),
        ("a/deep/1.png", image_file(good[0])),
    ]
    taken = take(zipped(members), "zip", tmp_path)
    assert taken.intake.samples == 5
    assert np.array_equal(taken.dataset.images[3, 0], good[0])
    told = {
        "a/0.png": "is 5 x 5 pixels",
        "a/cut.png": "cannot be decoded",
        "a/junk.png": "is neither PNG nor JPEG",
        "a/empty.png": "is neither PNG nor JPEG",
        "a/color.png": "is in colour, most are grey",
        "a/wide.png": "has pixels of mode I;16",
        "a/huge.png": "has 1000000 pixels; allowed are",
        "a/gif.png": "is neither PNG nor JPEG",
        "a/notes.txt": "is no image; allowed are *.png",
        "readme.md": "does not lie in a class folder",
        "a/deep/1.png": "does not lie in a class folder",
    }
    assert taken.faults.keys() == told.keys()
    for source, reason in told.items():
        assert reason in taken.faults[source], source
    assert taken.intake.quarantine.count == len(told)


def test_folders_that_are_no_classes(tmp_path: Path) -> None:
    """Protects from a data set whose classes are "train" and "test"."""
    members = [("train/bee/1.png", b""), ("test/bee/1.png", b"")]
    problem = refusal(zipped(members), "zip", tmp_path)
    assert problem.code == "dataset_invalid"
    assert "the archive's folders are test, train; expected are class_name/*.png" in problem.detail
    assert "expected are class_name" in refusal(zipped([]), "zip", tmp_path).detail


@pytest.mark.parametrize("format", ["idx", "zip"])
@pytest.mark.parametrize("gzipped", [False, True])
def test_a_zip_of_idx_files(tmp_path: Path, format: Format, gzipped: bool) -> None:
    """Protects MNIST's own format; which file is which, the files tell and not their order."""
    images, labels = pixels(200, 6, 5), (np.arange(200) % 3).astype(np.uint8)
    files = {"train-images-idx3-ubyte": idx(images), "train-labels-idx1-ubyte": idx(labels)}
    members = [(name + ".gz" * gzipped, gzipped_zeros(data, 0) if gzipped else data) for name, data in files.items()]
    for order in (members, members[::-1]):
        taken = take(zipped(order), format, tmp_path)
        assert np.array_equal(taken.dataset.images[:, 0], images)
        assert np.array_equal(taken.dataset.labels, labels)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ([idx(pixels(2, 4, 4))], "holds 1 files; needed are two idx files"),
        ([idx(pixels(2, 4, 4)), idx(pixels(2, 4, 4))], "labels have 1"),
        ([idx(pixels(2, 4, 4)), idx(pixels(3))], "2 images with 3 labels"),
        ([idx(pixels(2, 4, 4)), idx(pixels(2), 13)], "holds float32; only unsigned bytes"),
        ([idx(pixels(2, 4, 4)), b"hello there"], "is no idx file"),
        ([idx(pixels(2, 4, 4)), b"\0\0"], "cannot be read: it breaks off"),
        ([idx(pixels(2, 4, 4))[:-1], idx(np.zeros(2, np.uint8))], "breaks off"),
        ([idx(pixels(2, 4, 4)) + b"x", idx(np.zeros(2, np.uint8))], "holds more"),
        ([gzipped_zeros(idx(pixels(2, 4, 4)), 0)[:-4], idx(np.zeros(2, np.uint8))], "cannot be read"),
    ],
)
def test_what_is_no_data_set_in_idx(tmp_path: Path, files: list[bytes], told: str) -> None:
    """Protects from cut, joined and mistaken files, of which each refusal speaks."""
    problem = refusal(zipped((f"{n}", data) for n, data in enumerate(files)), "idx", tmp_path)
    assert problem.code == "dataset_invalid"
    assert told in problem.detail


def test_the_stored_data_set_is_bounded_too(tmp_path: Path) -> None:
    """Protects the disk and the jobs' memory from images that inflate beyond the limit one by one."""
    image = image_file(np.zeros((400, 400), np.uint8))
    problem = refusal(zipped((f"a/{n}.png", image) for n in range(10)), "zip", tmp_path, limit=MIB)
    assert problem.code == "too_large"


def test_the_same_upload_gives_the_same_file(tmp_path: Path) -> None:
    """Protects the digests of data sets: nothing in the file depends on when it was made."""
    body = npz(images=pixels(9, 4, 4), labels=np.arange(9))
    files = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        take(body, "npz", tmp_path / name)
        files.append((tmp_path / name / "set.npz").read_bytes())
    assert files[0] == files[1]
    with zipfile.ZipFile(tmp_path / "one" / "set.npz") as archive:
        assert {member.date_time[0] for member in archive.infolist()} == {1980}


@pytest.mark.parametrize("case", BOMBS)
def test_bombs(tmp_path: Path, case: str) -> None:
    """Protects the box from what is small and becomes large: refused by what it claims, or never inflated."""
    format, body, code = BOMBS[case]
    tracemalloc.start()
    try:
        if code == "*":
            take_in(io.BytesIO(body), format, tmp_path / "set.npz", tmp_path, LIMIT)
        else:
            assert refusal(body, format, tmp_path, 256 * MIB).code == code
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * MIB
