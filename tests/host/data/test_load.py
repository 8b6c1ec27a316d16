"""One door: a name or a path leads to the right reader, and a wrong one to the list of what is allowed."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from strop.host import data
from strop.host.data.load import NAMED_DATASETS, load_dataset
from strop.runtime.errors import DataError, InputError

OTHER_LOADERS = ("load_dataset", "load_idx_pair", "load_image")  # the door itself, and parts of a reader


@pytest.fixture
def npz(tmp_path):
    """An .npz file of two images in NHWC."""
    np.savez(tmp_path / "f.npz", x_train=np.zeros((2, 8, 9, 3), np.uint8), y_train=[0, 1])
    return str(tmp_path / "f.npz")


@pytest.fixture
def photos(tmp_path):
    """A folder of one image."""
    (tmp_path / "photos/cat").mkdir(parents=True)
    Image.new("L", (5, 4)).save(tmp_path / "photos/cat/x.png")
    return str(tmp_path / "photos")


def test_names(tmp_path, monkeypatch, write_idx_folder):
    """Both names of the README load, each its own data."""
    monkeypatch.setenv("STROP_FASHION_MNIST", str(write_idx_folder(tmp_path, side=28)))
    assert [len(load_dataset("fashion-mnist", split)) for split in ("train", "test")] == [7, 4]
    assert [len(load_dataset("fashion-mnist-subset", split)) for split in ("train", "test")] == [2000, 1000]


def test_paths(npz, photos, tmp_path, write_idx_folder):
    """Each kind of file and folder finds its reader."""
    assert load_dataset(npz, layout="NHWC").image_shape == (3, 8, 9)
    assert load_dataset(str(write_idx_folder(tmp_path / "digits")), "test").name == "digits/test"
    assert load_dataset(photos).image_shape == (1, 4, 5)
    assert load_dataset(photos, size=(7, 6)).image_shape == (1, 7, 6)


def test_the_home_folder_may_be_a_tilde(photos, monkeypatch, tmp_path):
    """A path from a configuration file has met no shell."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(load_dataset("~/photos")) == 1


def test_a_folder_with_the_name_of_a_data_set_needs_a_path(photos, tmp_path, monkeypatch):
    """What a name means does not depend on where one stands."""
    (tmp_path / "photos").rename(tmp_path / "fashion-mnist-subset")
    monkeypatch.chdir(tmp_path)
    assert len(load_dataset("fashion-mnist-subset", "train")) == 2000
    assert len(load_dataset("./fashion-mnist-subset", "train")) == 1


@pytest.mark.parametrize(("spec", "problem"), [("fashion", "neither a data set nor a path"), ("f.csv", "unknown kind")])
def test_unknown_specs_are_refused_with_the_list(tmp_path, monkeypatch, spec, problem):
    """A typing error shows what is allowed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f.csv").write_text("1,2")
    with pytest.raises(
        DataError, match=f"{spec}' is .*{problem}.*allowed are fashion-mnist, fashion-mnist-subset, the path"
    ):
        load_dataset(spec)


def test_unknown_splits_are_refused():
    """Before anything is read."""
    with pytest.raises(InputError, match="'validation' is unknown"):
        load_dataset("fashion-mnist-subset", "validation")


def test_options_that_do_not_apply_are_refused(npz, photos, tmp_path, write_idx_folder):
    """An option that is silently ignored is a surprise for later."""
    digits = str(write_idx_folder(tmp_path / "digits"))
    for spec, option in ((npz, "size"), (digits, "size"), ("fashion-mnist-subset", "size")):
        with pytest.raises(InputError, match=f"takes no {option}"):
            load_dataset(spec, size=(3, 3))
        with pytest.raises(InputError, match="takes no mode"):
            load_dataset(spec, mode="L")
    with pytest.raises(InputError, match="takes no labels"):
        load_dataset(photos, labels="fine")
    for spec in (photos, digits, "fashion-mnist-subset"):
        with pytest.raises(InputError, match="takes no layout"):
            load_dataset(spec, layout="NCHW")


def test_the_package_exports_what_it_lists():
    """Every public name exists, and the table of the package's docstring names every reader."""
    for name in data.__all__:
        assert hasattr(data, name), name
    readers = [name for name in data.__all__ if name.startswith("load_") and name not in OTHER_LOADERS]
    for name in readers:
        assert f"`{name}`" in data.__doc__
    for name in NAMED_DATASETS:
        assert f'"{name}"' in data.__doc__
