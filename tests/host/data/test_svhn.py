"""SVHN's MATLAB files: axes, the digit 0, and files that are none."""

from __future__ import annotations

import builtins

import numpy as np
import pytest

from strop.host.data import load_dataset, load_svhn
from strop.runtime.errors import DataError

scipy_io = pytest.importorskip("scipy.io", reason="scipy is not installed: pip install 'strop[datasets]'")


def pixels_of(count: int) -> np.ndarray:
    """uint8 [32, 32, 3, count], every dimension distinguishable."""
    return np.random.Generator(np.random.PCG64(count)).integers(0, 256, (32, 32, 3, count), np.uint8)


@pytest.fixture
def digits(tmp_path):
    """A folder as SVHN's: 11 training images with the labels 1 to 10 and 1, 2 test images; compressed as theirs are."""
    for split, labels in (("train", [*range(1, 11), 1]), ("test", [10, 2])):
        content = {"X": pixels_of(len(labels)), "y": np.array(labels, np.uint8)[:, np.newaxis]}
        scipy_io.savemat(tmp_path / f"{split}_32x32.mat", content, do_compression=True)
    return tmp_path


def test_both_splits(digits):
    """Label 10 means 0, and pixel [row, column, colour, image] goes to [image, colour, row, column]."""
    train, test = load_dataset(str(digits)), load_dataset(str(digits), "test")
    assert train.labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1] and train.classes == tuple("0123456789")
    assert test.labels.tolist() == [0, 2] and test.image_shape == (3, 32, 32)
    assert test.images[1, 2, 3, 5] == pixels_of(2)[3, 5, 2, 1]


def test_one_file_and_one_image(digits):
    """extra_32x32.mat is read by its own name; a last dimension of 1 is dropped by MATLAB."""
    scipy_io.savemat(digits / "extra_32x32.mat", {"X": pixels_of(1)[..., 0], "y": [[7.0]]})
    extra = load_dataset(str(digits / "extra_32x32.mat"), "all")
    assert len(extra) == 1 and extra.labels.tolist() == [7] and extra.images[0, 1, 2, 3] == pixels_of(1)[2, 3, 1, 0]
    with pytest.raises(DataError, match="no test split"):
        load_svhn(digits / "extra_32x32.mat", "test")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"X": pixels_of(3)}, "hold X and y"),
        ({"X": pixels_of(3), "y": [[1], [2]]}, "3 images with 2 labels"),
        ({"X": pixels_of(2), "y": [[1], [11]]}, "is 11; SVHN's labels are 1 to 10"),
        ({"X": pixels_of(2), "y": [[1], [0]]}, "is 0; SVHN's labels are 1 to 10"),
        ({"X": pixels_of(2), "y": [[1], [1.5]]}, "whole numbers"),
        ({"X": pixels_of(2).astype(float), "y": [[1], [2]]}, "must be uint8"),
        ({"X": pixels_of(2)[:28], "y": [[1], [2]]}, "shape \\[28, 32, 3, 2\\]"),
    ],
)
def test_files_that_are_no_svhn(tmp_path, content, problem):
    """Each is refused with the file and what is wrong."""
    scipy_io.savemat(tmp_path / "train_32x32.mat", content)
    with pytest.raises(DataError, match=f"train_32x32.mat.*{problem}"):
        load_svhn(tmp_path)


def test_damaged_files(digits):
    """Truncated, of another kind, or gone."""
    path = digits / "train_32x32.mat"
    whole = path.read_bytes()
    for data in (whole[:-100], whole[:130], whole[:20], b"", b"MATLAB" * 100):
        path.write_bytes(data)
        with pytest.raises(DataError, match="train_32x32.mat"):
            load_svhn(digits)
    path.unlink()
    with pytest.raises(DataError, match="no such file"):
        load_svhn(digits)


def test_a_claim_is_checked_before_memory_is_taken(digits):
    """The limit holds for what the header declares."""
    with pytest.raises(DataError, match="more than the 10000 that may be read"):
        load_svhn(digits, max_bytes=10_000)


def test_without_scipy(digits, monkeypatch):
    """The message names what to install."""
    original = builtins.__import__

    def refuse(name, *rest):
        if name.startswith("scipy"):
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(DataError, match="pip install scipy"):
        load_svhn(digits)
