"""Data sets in .npz files: the names of the arrays, the splits, and the classes."""

from __future__ import annotations

import re

import numpy as np
import pytest

from strop.host.data.npz_dataset import PAIRS, load_npz
from strop.runtime.errors import DataError, InputError


def images(count: int, fill: int = 0) -> np.ndarray:
    return np.full((count, 2, 3), fill, np.uint8)


@pytest.mark.parametrize("train", PAIRS["train"])
@pytest.mark.parametrize("test", PAIRS["test"])
def test_splits_by_either_naming(tmp_path, train, test):
    """Files of Keras and of MedMNIST are read as they are; each split gets its own arrays."""
    arrays = {train[0]: images(3, 1), train[1]: [0, 1, 2], test[0]: images(2, 2), test[1]: [[1], [0]], "val": [1]}
    np.savez(tmp_path / "f.npz", **arrays)
    first, second = load_npz(tmp_path / "f.npz", "train"), load_npz(tmp_path / "f.npz", "test")
    assert first.images.shape == (3, 1, 2, 3) and first.images.max() == 1 and first.labels.tolist() == [0, 1, 2]
    assert second.images.min() == 2 and second.labels.tolist() == [1, 0]
    assert (first.name, second.name) == ("f/train", "f/test")


def test_a_test_set_that_lacks_a_class_has_it_all_the_same(tmp_path):
    """Otherwise the network would get another number of outputs from the test set than from the training set."""
    np.savez(tmp_path / "f.npz", x_train=images(3), y_train=[0, 1, 2], x_test=images(1), y_test=[0])
    assert load_npz(tmp_path / "f.npz", "test").classes == ("0", "1", "2")


@pytest.mark.parametrize("names", PAIRS["all"])
def test_a_whole_serves_for_training_but_not_for_testing(tmp_path, names):
    """Testing on what was trained on must not happen by leaving an array out."""
    np.savez(tmp_path / "f.npz", **dict(zip(names, (images(2), [0, 1]), strict=True)))
    assert len(load_npz(tmp_path / "f.npz", "train")) == len(load_npz(tmp_path / "f.npz", "all")) == 2
    with pytest.raises(DataError, match=f"for 'test': it holds {names[0]}, {names[1]}; allowed are .*test: x_test"):
        load_npz(tmp_path / "f.npz", "test")


def test_a_split_file_is_not_a_whole(tmp_path):
    """ "all" of a split file would be one of its halves."""
    np.savez(tmp_path / "f.npz", x_train=images(1), y_train=[0])
    with pytest.raises(DataError, match="for 'all'"):
        load_npz(tmp_path / "f.npz", "all")


@pytest.mark.parametrize("held", [{"x_train": images(1)}, {"x_train": images(1), "train_labels": [0]}, {}])
def test_half_a_pair_is_no_pair(tmp_path, held):
    """Images without their labels, or with those of the other naming, are refused with what the file does hold."""
    np.savez(tmp_path / "f.npz", **held)
    with pytest.raises(DataError, match=f"it holds {', '.join(held) or 'no arrays'}; allowed are train: x_train"):
        load_npz(tmp_path / "f.npz")


def test_classes_by_name(tmp_path):
    """Names in the file are used, also for classes without a sample."""
    np.savez(tmp_path / "f.npz", images=images(2), labels=[0, 1], classes=["cat", "dog", "elk"])
    assert load_npz(tmp_path / "f.npz").classes == ("cat", "dog", "elk")


def surrogates() -> np.ndarray:
    return np.array([0x41, 0x7FFFFFFF], "<u4").view("<U1")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["cat"], r"images, labels: labels\[1\] is 1; 1 classes allow 0 to 0"),
        (["cat", "cat"], "'cat' occurs twice"),
        ([["cat"], ["dog"]], r"classes has the shape \[2, 1\]"),
        ("cat", r"classes has the shape \[\]"),
        ([1, 2], "'classes': has the dtype int64; allowed here are the kinds U"),
        (np.array(["cat", "dog"], object), "Python objects"),
        (surrogates(), "characters that are none"),
    ],
)
def test_wrong_classes_are_refused(tmp_path, classes, message):
    """Names that do not fit the labels, or are no names."""
    np.savez(tmp_path / "f.npz", images=images(2), labels=[0, 1], classes=classes)
    with pytest.raises(DataError, match=f"f.npz.*{message}"):
        load_npz(tmp_path / "f.npz")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": images(2), "labels": [0, -1]}, r"images, labels: labels\[1\] is -1"),
        ({"images": images(2), "labels": [0]}, "2 images with 1 labels"),
        ({"images": images(2), "labels": [0.0, 1.0]}, "'labels': has the dtype float64"),
        ({"images": images(2) / 255, "labels": [0, 1]}, r"uint8 pixels, got float64.*np\.round"),
        ({"images": images(0), "labels": np.zeros(0, int)}, "are empty"),
        ({"images": images(2)[0], "labels": [0, 1]}, r"got \[2, 3\]"),
        ({"images": images(1), "labels": [2**40]}, "label 1099511627776 is out of range"),
        ({"images": np.zeros((2, 8, 8, 3), np.uint8), "labels": [0, 1]}, 'say layout="NHWC"'),
    ],
)
def test_arrays_that_are_no_data_set_are_refused_with_the_file_named(tmp_path, arrays, message):
    """What is wrong inside a file is a DataError that names the file, not an InputError about the caller."""
    np.savez(tmp_path / "f.npz", **arrays)
    with pytest.raises(DataError, match=f"{re.escape(str(tmp_path))}.*{message}"):
        load_npz(tmp_path / "f.npz")


def test_layout_and_limit_are_passed_on(tmp_path):
    """NHWC is a matter of saying so; the limit holds for labels and images together."""
    np.savez(tmp_path / "f.npz", images=np.zeros((2, 8, 9, 3), np.uint8), labels=np.zeros(2, np.uint8))
    assert load_npz(tmp_path / "f.npz", layout="NHWC").image_shape == (3, 8, 9)
    assert len(load_npz(tmp_path / "f.npz", layout="NHWC", max_bytes=2 * 8 * 9 * 3 + 2)) == 2
    with pytest.raises(DataError, match="declares 432 bytes of data, more than the 431"):
        load_npz(tmp_path / "f.npz", layout="NHWC", max_bytes=2 * 8 * 9 * 3 + 1)
    with pytest.raises(InputError, match="'dev' is unknown"):
        load_npz(tmp_path / "f.npz", "dev")
