"""Fashion-MNIST, whole and bundled: the counts and classes that are published, and the way to get what is missing."""

from __future__ import annotations

import numpy as np
import pytest

from strop.host.data import fashion_mnist
from strop.host.data.fashion_mnist import (
    CLASSES,
    DEBIAN_FOLDER,
    SUBSET_FILE,
    load_fashion_mnist,
    load_fashion_mnist_subset,
)
from strop.host.data.idx import is_idx_folder
from strop.host.data.make_subset import subset_arrays
from strop.runtime.errors import DataError

needs_package = pytest.mark.skipif(
    not is_idx_folder(DEBIAN_FOLDER), reason="needs Debian's package dataset-fashion-mnist"
)


@pytest.fixture(autouse=True)
def _no_named_folder(monkeypatch):
    monkeypatch.delenv("STROP_FASHION_MNIST", raising=False)


@needs_package
@pytest.mark.parametrize(("split", "count"), [("train", 60_000), ("test", 10_000)])
def test_the_package_holds_what_is_published(split, count):
    """60,000 and 10,000 images of 28 x 28, as many of each of the ten classes (Xiao et al., 2017, table 1)."""
    dataset = load_fashion_mnist(split)
    assert dataset.images.shape == (count, 1, 28, 28) and dataset.classes == CLASSES
    assert np.bincount(dataset.labels).tolist() == [count // 10] * 10
    assert dataset.labels[:4].tolist() == ([9, 0, 0, 3] if split == "train" else [9, 2, 1, 1])
    assert dataset.name == f"fashion-mnist/{split}"


@needs_package
def test_the_bundled_subset_is_what_its_script_makes():
    """Nobody has edited the file since, and the script still makes the same."""
    made = subset_arrays()
    with np.load(SUBSET_FILE, allow_pickle=False) as held:
        assert sorted(held.files) == sorted(made)
        for name, array in made.items():
            assert held[name].dtype == array.dtype and np.array_equal(held[name], array), name


@pytest.mark.parametrize(("split", "count"), [("train", 2000), ("test", 1000)])
def test_the_subset_is_stratified_and_small(split, count):
    """As many of each class, named; a file that a repository can carry."""
    dataset = load_fashion_mnist_subset(split)
    assert dataset.images.shape == (count, 1, 28, 28) and dataset.classes == CLASSES
    assert np.bincount(dataset.labels).tolist() == [count // 10] * 10
    assert dataset.name == f"fashion-mnist-subset/{split}"
    assert SUBSET_FILE.stat().st_size < 1_500_000


def test_the_subsets_splits_share_no_image():
    """A test image among the training images would flatter every result."""
    train, test = (
        {image.tobytes() for image in load_fashion_mnist_subset(split).images} for split in ("train", "test")
    )
    assert len(train) == 2000 and len(test) == 1000 and not train & test


def test_the_subset_looks_like_its_classes():
    """Trousers are tall, sneakers are low: labels and images belong together."""
    dataset = load_fashion_mnist_subset("train")
    rows = (dataset.images[:, 0] > 60).any(axis=2).sum(axis=1)  # rows of 28 that are not empty
    height = {name: rows[dataset.labels == label].mean() for label, name in enumerate(CLASSES)}
    assert height["Trouser"] > 26 and height["Dress"] > 25 and height["Sneaker"] < 14 and height["Sandal"] < 18


def test_the_license_comes_with_the_subset():
    """The MIT license asks for its text in every copy."""
    text = SUBSET_FILE.with_name("FASHION_MNIST_LICENSE").read_text(encoding="utf-8")
    assert "Copyright (c) 2017 Zalando SE" in text and "The above copyright notice and this permission notice" in text


def test_absent_says_what_to_install(tmp_path, monkeypatch):
    """The three ways out stand in the message."""
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", tmp_path)
    with pytest.raises(DataError) as caught:
        load_fashion_mnist()
    for part in (str(tmp_path), "apt-get install dataset-fashion-mnist", "STROP_FASHION_MNIST", "fashion-mnist-subset"):
        assert part in str(caught.value)


@pytest.mark.parametrize("inner", ["", "fashion-mnist"])
def test_a_named_folder_is_used(tmp_path, monkeypatch, write_idx_folder, inner):
    """By argument or by STROP_FASHION_MNIST; the argument wins."""
    write_idx_folder(tmp_path / inner, side=28, suffix=".gz")
    assert len(load_fashion_mnist("test", tmp_path)) == 4
    monkeypatch.setenv("STROP_FASHION_MNIST", str(tmp_path))
    assert len(load_fashion_mnist("train")) == 7
    monkeypatch.setenv("STROP_FASHION_MNIST", str(tmp_path / "wrong"))
    assert len(load_fashion_mnist("test", tmp_path)) == 4


def test_a_named_folder_is_not_silently_replaced(tmp_path, monkeypatch):
    """Who names a folder that is empty must hear so, and not get the package's data."""
    monkeypatch.setenv("STROP_FASHION_MNIST", str(tmp_path))
    with pytest.raises(DataError, match=f"not in {tmp_path} or {tmp_path}/fashion-mnist;"):
        load_fashion_mnist()


def test_other_data_under_its_name_is_refused(tmp_path, write_idx_folder):
    """A folder of some other idx data set is not Fashion-MNIST."""
    write_idx_folder(tmp_path, side=5)
    with pytest.raises(DataError, match=r"\(1, 5, 5\) are not Fashion-MNIST's"):
        load_fashion_mnist("train", tmp_path)
