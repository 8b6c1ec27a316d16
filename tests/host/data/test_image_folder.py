"""Folders of images: sorted classes, one size, one mode, and an error with the path for whatever does not belong."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from strop.host.data import image_folder
from strop.host.data.image_folder import load_image, load_image_folder
from strop.runtime.errors import DataError, InputError


def save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def grey(value: int, height: int = 4, width: int = 5) -> np.ndarray:
    return np.full((height, width), value, np.uint8)


def color(*rgb: int) -> np.ndarray:
    return np.broadcast_to(np.array(rgb, np.uint8), (4, 5, 3)).copy()


@pytest.fixture
def animals(tmp_path):
    """Three grey images of two classes; file names and creation not in sorted order."""
    save(tmp_path / "animals/dog/b.png", grey(3))
    save(tmp_path / "animals/cat/z.bmp", grey(2))
    save(tmp_path / "animals/cat/a.PNG", grey(1))
    return tmp_path / "animals"


def test_classes_and_files_are_sorted(animals):
    """The order of a directory differs between machines; that of the samples must not."""
    dataset = load_image_folder(animals)
    assert dataset.classes == ("cat", "dog") and dataset.labels.tolist() == [0, 0, 1]
    assert dataset.images[:, 0, 0, 0].tolist() == [1, 2, 3] and dataset.image_shape == (1, 4, 5)
    assert len(load_image_folder(animals, "all")) == 3


def test_pixels_keep_their_place(tmp_path):
    """Height is not width and red is not blue."""
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    save(tmp_path / "a/x.png", pixels)
    dataset = load_image_folder(tmp_path)
    assert dataset.image_shape == (3, 2, 3) and dataset.images.flags.c_contiguous
    assert np.array_equal(dataset.images[0], pixels.transpose(2, 0, 1))


def test_one_color_image_makes_all_rgb_and_mode_overrules(animals):
    """The number of channels is that of the richest image, unless the caller says otherwise."""
    save(animals / "dog/c.png", color(255, 0, 0))
    dataset = load_image_folder(animals)
    assert dataset.image_shape == (3, 4, 5)
    assert dataset.images[0, :, 0, 0].tolist() == [1, 1, 1] and dataset.images[3, :, 0, 0].tolist() == [255, 0, 0]
    assert load_image_folder(animals, mode="L").images[3, 0, 0, 0] == 76  # ITU-R 601: 0.299 * 255
    (animals / "dog/c.png").unlink()
    assert load_image_folder(animals, mode="RGB").image_shape == (3, 4, 5)


@pytest.mark.parametrize(("mode", "channels"), [("1", 1), ("LA", 1), ("P", 3), ("RGBA", 3), ("CMYK", 3)])
def test_modes_of_8_bits_are_converted(tmp_path, mode, channels):
    """Black and white, palettes, transparency and print colors all become grey or RGB."""
    (tmp_path / "a").mkdir()
    image = Image.fromarray(color(255, 255, 255)).convert(mode)
    image.save(tmp_path / "a" / ("x.jpg" if mode == "CMYK" else "x.png"))
    dataset = load_image_folder(tmp_path)
    assert dataset.image_shape == (channels, 4, 5) and dataset.images.min() >= 253


def test_sixteen_bits_are_refused(tmp_path):
    """Pillow would clip them to white."""
    save(tmp_path / "a/x.png", np.full((4, 5), 3000, np.uint16))
    with pytest.raises(DataError, match=r"x\.png: pixels of mode I.*8 bits per channel"):
        load_image_folder(tmp_path)


def test_sizes_must_agree_or_be_said(animals):
    """The message names both files and the way out."""
    save(animals / "dog/c.png", grey(200, 8, 10))
    with pytest.raises(DataError, match=r"c\.png: is 8 x 10 .*a\.PNG is 4 x 5; pass size=\(height, width\)"):
        load_image_folder(animals)
    dataset = load_image_folder(animals, size=(6, 3))
    assert dataset.image_shape == (1, 6, 3) and dataset.images[3].min() == 200


@pytest.mark.parametrize("size", [(0, 3), (3,), (2, -1)])
def test_a_size_that_is_none_is_refused(animals, size):
    """A size is two numbers of at least 1."""
    with pytest.raises(InputError, match=r"size must be \(height, width\)"):
        load_image_folder(animals, size=size)
    with pytest.raises(InputError, match="mode 'F' is unknown"):
        load_image_folder(animals, mode="F")


def test_hidden_files_are_passed_over_and_others_are_errors(animals):
    """.DS_Store is nobody's fault; notes.txt among the images probably is a mistake."""
    for name in (".DS_Store", ".git/x", "cat/.thumbnails/x", "dog/.b.png.swp"):
        (animals / name).parent.mkdir(exist_ok=True)
        (animals / name).write_text("x")
    assert len(load_image_folder(animals)) == 3
    for name, message in (("cat/notes.txt", "is not an image; allowed are files"), ("README", "lies beside class")):
        (animals / name).write_text("x")
        with pytest.raises(DataError, match=f"{re.escape(str(animals / name))}: {message}"):
            load_image_folder(animals)
        (animals / name).unlink()
    (animals / "cat/more").mkdir()
    with pytest.raises(DataError, match="more: is not an image"):
        load_image_folder(animals)


def test_empty_folders_are_refused(animals, tmp_path):
    """A class without images is a copy that went wrong."""
    (animals / "eel").mkdir()
    with pytest.raises(DataError, match="eel: holds no images"):
        load_image_folder(animals)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: holds no class folders; expected are folder/class_name/"):
        load_image_folder(tmp_path / "empty")
    with pytest.raises(DataError, match="no such folder"):
        load_image_folder(tmp_path / "none")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp", ".ppm"])
def test_a_truncated_image_is_refused(tmp_path, suffix):
    """Pillow could fill the rest with grey; a data set should not."""
    path = save(tmp_path / f"a/x{suffix}", np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8))
    assert load_image_folder(tmp_path).image_shape == (3, 40, 50)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=f"{re.escape(str(path))}: cannot be read as an image"):
        load_image_folder(tmp_path)


def test_a_file_that_only_says_it_is_an_image_is_refused(animals):
    """Also one of a format that Pillow knows but that is not on the list: its EPS reader starts another program."""
    path = animals / "cat/z.bmp"
    for data in (b"", b"rubbish", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 5 4\n%%EndComments\n"):
        path.write_bytes(data)
        with pytest.raises(DataError, match=f"{re.escape(str(path))}: cannot be read as an image"):
            load_image_folder(animals)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of damaged metadata
@settings(max_examples=150, deadline=None)
@given(st.sampled_from([".png", ".jpg", ".bmp", ".tif", ".webp", ".ppm"]), st.data())
def test_damaged_images_end_as_data_errors(suffix, data):
    """Whatever a decoder raises on damaged bytes is a DataError (or pixels, where the format cannot tell)."""
    with tempfile.TemporaryDirectory() as folder:
        path = save(Path(folder) / f"a/x{suffix}", np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3))
        damaged = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(bytes(damaged))
        try:
            dataset = load_image_folder(folder, max_bytes=1 << 20)
        except DataError as error:
            assert folder in str(error)
        else:
            assert len(dataset) == 1


def test_decompression_bombs_are_refused(tmp_path, monkeypatch, at_most):
    """An image of 100 million pixels packs into 12 kB; it is refused also where Pillow's guard is off."""
    path = tmp_path / "a/x.png"
    path.parent.mkdir()
    Image.new("1", (10_000, 10_000)).save(path)
    with at_most(8 << 20), pytest.raises(DataError, match=r"x\.png: .*allowed are 67108864"):
        load_image_folder(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with at_most(8 << 20), pytest.raises(DataError, match=r"x\.png: 100000000 pixels; allowed are 67108864"):
        load_image_folder(tmp_path)


def test_the_memory_is_claimed_before_it_is_taken(animals, at_most):
    """Three small images resized to 30,000 x 30,000 would be gigabytes."""
    with (
        at_most(8 << 20),
        pytest.raises(DataError, match="declares 2700000000 bytes of data, more than the 2147483648"),
    ):
        load_image_folder(animals, size=(30_000, 30_000))


def test_splits(tmp_path):
    """train/ and test/ with class folders are splits; the test set has the classes of the training set."""
    for name, value in (("train/cat", 1), ("train/dog", 2), ("test/dog", 3), ("val/dog", 4)):
        save(tmp_path / name / "x.png", grey(value))
    train, test = load_image_folder(tmp_path, "train"), load_image_folder(tmp_path, "test")
    assert train.classes == test.classes == ("cat", "dog")
    assert train.labels.tolist() == [0, 1] and test.labels.tolist() == [1] and test.images.max() == 3
    assert test.name == f"{tmp_path.name}/test"
    with pytest.raises(DataError, match="has no 'all' split; it is split into train and test"):
        load_image_folder(tmp_path, "all")
    save(tmp_path / "test/elk/x.png", grey(5))
    with pytest.raises(DataError, match="has a class 'elk' that .*train lacks"):
        load_image_folder(tmp_path, "test")


def test_a_class_may_be_called_train(tmp_path):
    """Of vehicles, some are trains: a folder of images is a class, only a folder of folders is a split."""
    save(tmp_path / "train/x.png", grey(1))
    save(tmp_path / "car/x.png", grey(2))
    assert load_image_folder(tmp_path).classes == ("car", "train")


def test_a_whole_does_not_serve_for_testing(animals):
    """Testing on what was trained on must not happen by leaving a folder out."""
    with pytest.raises(DataError, match=r"has no test/ with class folders.*Dataset\.split"):
        load_image_folder(animals, "test")
    with pytest.raises(InputError, match="'val' is unknown"):
        load_image_folder(animals, "val")


def test_too_many_classes_are_a_data_error(tmp_path, monkeypatch):
    """A folder of folders of something else may look like thousands of classes."""
    monkeypatch.setattr("strop.host.data.dataset.C.MAX_CLASSES", 2)
    for name in "abc":
        save(tmp_path / name / "x.png", grey(1))
    with pytest.raises(DataError, match=f"{re.escape(str(tmp_path))}: 3 classes are not possible"):
        load_image_folder(tmp_path)


def test_an_image_that_changes_between_the_two_passes_is_refused(animals, monkeypatch):
    """numpy would spread a 1 x 1 image over the whole place of a larger one."""
    real = image_folder._common_shape

    def then_shrink(*arguments):
        result = real(*arguments)
        save(animals / "cat/a.PNG", grey(9, 1, 1))
        return result

    monkeypatch.setattr(image_folder, "_common_shape", then_shrink)
    with pytest.raises(DataError, match="changed its size while the folder was read"):
        load_image_folder(animals)


def test_without_pillow_the_message_says_what_to_install(animals, monkeypatch):
    """Pillow is an extra: a board that trains on arrays does not need it."""
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match="pip install pillow"):
        load_image_folder(animals)
    with pytest.raises(DataError, match="pip install pillow"):
        load_image(animals / "cat/z.bmp", (1, 4, 5))


def test_one_image_takes_the_shape_that_is_asked_for(tmp_path):
    """What a network takes is fixed; a photo is not: colour becomes grey, grey becomes RGB, and the size follows."""
    photo = save(tmp_path / "photo.png", color(200, 200, 200))
    assert np.array_equal(load_image(photo, (1, 4, 5))[0], grey(200))
    assert np.array_equal(load_image(save(tmp_path / "grey.png", grey(7)), (3, 2, 2)), np.full((3, 2, 2), 7))
    with pytest.raises(InputError, match="1 or 3 channels"):
        load_image(photo, (2, 4, 5))
    with pytest.raises(DataError, match="no such file"):
        load_image(tmp_path / "none.png", (1, 4, 5))
