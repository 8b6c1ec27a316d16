"""LSUN's databases: classes by their names, the crop, images that stay in their files, and databases that are none."""

from __future__ import annotations

import builtins
import io
import struct

import numpy as np
import pytest
from PIL import Image

from strop.host.data import load_dataset, load_lsun
from strop.host.data.image_stream import ImageStream
from strop.runtime.errors import DataError

lmdb = pytest.importorskip("lmdb", reason="lmdb is not installed: pip install 'strop[datasets]'")


def encoded(seed, height=20, width=30):
    pixels = np.random.Generator(np.random.PCG64(seed)).integers(0, 256, (height, width, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", lossless=True)  # LSUN's are WebP
    return pixels, file.getvalue()


def write(folder, values):
    environment = lmdb.open(str(folder), map_size=1 << 22)
    with environment.begin(write=True) as transaction:
        for number, value in enumerate(values):
            transaction.put(f"{number:040x}".encode(), value)
    environment.close()
    return folder


@pytest.fixture
def lsun(tmp_path):
    """Two scenes: 3 bedrooms and 2 towers to train, 1 bedroom to validate."""
    write(tmp_path / "tower_train_lmdb", [encoded(10 + i)[1] for i in range(2)])
    write(tmp_path / "bedroom_train_lmdb", [encoded(i)[1] for i in range(3)])
    write(tmp_path / "bedroom_val_lmdb", [encoded(20)[1]])
    return tmp_path


def test_scenes_and_splits(lsun):
    """Classes are sorted by name, images in the order of their keys; "test" is the validation database."""
    train, test = load_dataset(str(lsun), size=(20, 20)), load_dataset(str(lsun), "test")
    assert isinstance(train.images, ImageStream) and train.classes == ("bedroom", "tower")
    assert train.labels.tolist() == [0, 0, 0, 1, 1] and test.image_shape == (3, 64, 64) and len(test) == 1
    for row, seed in enumerate((0, 1, 2, 10, 11)):
        assert np.array_equal(train.images[row : row + 1][0], encoded(seed)[0][:, 5:25].transpose(2, 0, 1))
    assert test.classes == ("bedroom", "tower")


def test_one_database(lsun):
    """A single scene has one class; a database by itself has one split."""
    tower = load_dataset(str(lsun / "tower_train_lmdb"), size=(128, 128), mode="L")
    assert tower.classes == ("tower",) and tower.image_shape == (1, 128, 128) and len(tower) == 2
    middle = Image.fromarray(encoded(10)[0]).convert("L").crop((5, 0, 25, 20)).resize((128, 128), resample=2)
    assert np.array_equal(tower.images[:1][0, 0], np.asarray(middle))
    with pytest.raises(DataError, match=r"no database \*_val_lmdb"):
        load_dataset(str(lsun / "tower_train_lmdb"), "test")


def test_a_value_that_is_no_image(tmp_path):
    """The message names database and key."""
    write(tmp_path / "church_train_lmdb", [b"no image"])
    data = load_lsun(tmp_path)
    with pytest.raises(DataError, match="church_train_lmdb: 0{40}: cannot be read as an image"):
        data.images[:1]


def test_damaged_databases(lsun):
    """Truncated ones would end the process with a bus error; they and other files are refused before."""
    file = lsun / "tower_train_lmdb/data.mdb"
    whole = file.read_bytes()
    page = struct.unpack_from("<I", whole, 40)[0]
    last = max(struct.unpack_from("<Q", whole, at + 136)[0] for at in (0, page))
    for data, problem in (
        (whole[: last * page], "truncated"),
        (whole[:100], "too few"),
        (b"", "too few"),
        (b"x" * 8192, "no LMDB database"),
        (whole[:40] + b"\x01\x02\x03\x04" + whole[44:], "pages of"),
        (whole[:20] + b"\x07" + whole[21:], "format 7"),
    ):
        file.write_bytes(data)
        with pytest.raises(DataError, match=f"data.mdb.*{problem}"):
            load_lsun(lsun)
    file.write_bytes(whole)
    assert len(load_lsun(lsun)) == 5


def test_an_empty_database(tmp_path):
    """No image is told, not trained on."""
    write(tmp_path / "church_train_lmdb", [])
    with pytest.raises(DataError, match="holds 0 images"):
        load_lsun(tmp_path)


def test_without_lmdb(lsun, monkeypatch):
    """The message names what to install."""
    original = builtins.__import__

    def refuse(name, *rest):
        if name == "lmdb":
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(DataError, match="pip install lmdb"):
        load_lsun(lsun)
