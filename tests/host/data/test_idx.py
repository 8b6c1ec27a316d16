"""idx files: whatever header and body disagree about ends as a DataError with the file's name and the counts."""

from __future__ import annotations

import gzip
import re
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from strop.host.data.idx import is_idx_folder, load_idx_folder, load_idx_pair, read_idx
from strop.runtime.errors import DataError, InputError

PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


def written(folder: Path, data: bytes, name: str = "f-ubyte") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=6)), st.booleans())
def test_round_trip(write_idx, array, gzipped):
    """What another program wrote is what is read: shape and bytes, plain and gzipped."""
    with tempfile.TemporaryDirectory() as folder:
        read = read_idx(write_idx(Path(folder) / ("f.gz" if gzipped else "f"), array))
    assert read.dtype == np.uint8 and read.shape == array.shape and np.array_equal(read, array)
    assert not read.flags.writeable


def test_gzip_is_known_by_its_bytes_and_not_by_its_name(tmp_path, idx_bytes):
    """Files lose their .gz on the way more often than their content."""
    assert np.array_equal(read_idx(written(tmp_path, gzip.compress(idx_bytes(PIXELS)))), PIXELS)


@pytest.mark.parametrize("gzipped", [False, True])
def test_a_file_cut_anywhere_is_refused(tmp_path, idx_bytes, gzipped):
    """A download that broke off must never become a smaller data set."""
    data = gzip.compress(idx_bytes(PIXELS)) if gzipped else idx_bytes(PIXELS)
    for cut in range(len(data)):
        path = written(tmp_path, data[:cut])
        with pytest.raises(DataError, match=re.escape(str(path))):
            read_idx(path)


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize(("change", "found"), [(-1, "23"), (1, "25|more")])
def test_length_and_header_must_agree(tmp_path, idx_bytes, gzipped, change, found):
    """The message has the declared and the found number of bytes."""
    data = idx_bytes(PIXELS)
    data = data[:change] if change < 0 else data + bytes(change)
    path = written(tmp_path, gzip.compress(data) if gzipped else data)
    with pytest.raises(DataError, match=rf"f-ubyte: .*2 x 3 x 4 = 24 bytes of data, the file holds ({found});"):
        read_idx(path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"\x89PNG", "not an idx file: it begins with the bytes 89 50 4e 47"),
        (struct.pack(">BBBBI", 0, 0, 0x0D, 1, 1), r"holds float32 \(type code 0x0d\); only unsigned bytes"),
        (struct.pack(">BBBBI", 0, 0, 0x0C, 1, 1), "holds int32"),
        (struct.pack(">BBBBI", 0, 0, 0x07, 1, 1), r"an unknown type \(type code 0x07\)"),
        (struct.pack(">BBBB", 0, 0, 8, 0), "declares 0 dimensions; allowed are 1 to 4"),
        (struct.pack(">BBBB255I", 0, 0, 8, 255, *[1] * 255), "declares 255 dimensions"),
        (b"", "0 bytes are too few for an idx header"),
        (struct.pack(">BBBB2I", 0, 0, 8, 3, 1, 1), "12 bytes are too few"),
    ],
)
def test_headers_that_are_refused(tmp_path, header, message):
    """Other formats and other number types are named for what they are."""
    with pytest.raises(DataError, match=message):
        read_idx(written(tmp_path, header))


def test_a_damaged_body_is_caught_by_gzips_checksum(tmp_path, idx_bytes):
    """One flipped bit in stored pixels still inflates; only the CRC can tell."""
    data = bytearray(gzip.compress(idx_bytes(PIXELS), compresslevel=0))
    data[-12] ^= 1
    with pytest.raises(DataError, match=f"corrupt gzip data in its {len(data)} bytes .*incorrect data check"):
        read_idx(written(tmp_path, bytes(data)))


@given(st.data())
def test_no_flipped_byte_gets_through(idx_bytes, data):
    """Whatever byte of a gzipped file is hit, the result is an error or, where it means nothing, the same array."""
    original = bytearray(gzip.compress(idx_bytes(PIXELS), mtime=0))
    position = data.draw(st.integers(0, len(original) - 1))
    original[position] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as folder:
        try:
            read = read_idx(written(Path(folder), bytes(original)))
        except DataError:
            return
    assert np.array_equal(read, PIXELS)


@pytest.mark.parametrize("gzipped", [False, True])
def test_a_header_that_lies_takes_no_memory(tmp_path, at_most, gzipped):
    """Far beyond the limit, or just within it, in a file of some bytes: refused before memory is taken."""
    for shape, message in (
        ((60000, 65535, 65535), "larger max_bytes"),
        ((2000, 1000, 1000), "truncated|the file holds 10"),
    ):
        data = struct.pack(">BBBB3I", 0, 0, 8, 3, *shape) + bytes(10)
        path = written(tmp_path, gzip.compress(data) if gzipped else data)
        with at_most(4 << 20), pytest.raises(DataError, match=message):
            read_idx(path)


def test_a_gzip_bomb_is_not_inflated(tmp_path, at_most):
    """A header of 10 bytes with 200 MB of zeros behind it costs neither the memory nor the time of 200 MB."""
    packer, zeros = gzip.GzipFile(tmp_path / "bomb", "wb", 1), bytes(1 << 20)
    with packer:
        packer.write(struct.pack(">BBBBI", 0, 0, 8, 1, 10))
        for _ in range(200):
            packer.write(zeros)
    with at_most(4 << 20), pytest.raises(DataError, match="10 = 10 bytes of data, the file holds more"):
        read_idx(tmp_path / "bomb")


def test_missing_files_and_folders_are_named(tmp_path):
    """A wrong path is the commonest mistake of all."""
    for path in (tmp_path / "no", tmp_path):
        with pytest.raises(DataError, match=re.escape(f"{path}: no such file")):
            read_idx(path)
    with pytest.raises(DataError, match="no such folder"):
        load_idx_folder(tmp_path / "no")


def test_pair_makes_a_data_set(tmp_path, write_idx):
    """Images and labels in one, with the channel axis; 4 dimensions are taken as channels first."""
    labels = write_idx(tmp_path / "labels", np.array([1, 0], np.uint8))
    dataset = load_idx_pair(write_idx(tmp_path / "images", PIXELS), labels)
    assert dataset.images.shape == (2, 1, 3, 4) and dataset.labels.tolist() == [1, 0] and dataset.name == "images"
    assert np.array_equal(dataset.images[:, 0], PIXELS)
    color = load_idx_pair(write_idx(tmp_path / "images4", PIXELS.reshape(2, 4, 1, 3)), labels)
    assert color.image_shape == (4, 1, 3)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (PIXELS, np.zeros(3, np.uint8), "images holds 2 images, .*labels 3 labels"),
        (PIXELS[0], np.zeros(3, np.uint8), "images: has 2 dimensions; images have 3"),
        (PIXELS, np.zeros((2, 1), np.uint8), "labels: has 2 dimensions; labels have 1"),
        (PIXELS[:0], np.zeros(0, np.uint8), "images with .*labels: .*are empty"),
        (PIXELS, np.array([0, 9], np.uint8), r"images with .*labels\[1\] is 9; 2 classes allow 0 to 1"),
    ],
)
def test_a_pair_that_does_not_fit_is_refused(tmp_path, write_idx, images, labels, message):
    """The labels of another file would train without an error and to nothing."""
    with pytest.raises(DataError, match=message):
        load_idx_pair(
            write_idx(tmp_path / "images", images), write_idx(tmp_path / "labels", labels), classes=["a", "b"]
        )


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_folder(tmp_path, write_idx_folder, suffix):
    """Both splits by MNIST's file names; the test set, which lacks class 2, has the classes of the whole."""
    folder = write_idx_folder(tmp_path / "digits", suffix=suffix)
    assert is_idx_folder(folder) and not is_idx_folder(tmp_path)
    train, test = load_idx_folder(folder, "train"), load_idx_folder(folder, "test")
    assert train.images[:, 0, 0, 0].tolist() == list(range(7)) and train.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert len(test) == 4 and test.classes == train.classes == ("0", "1", "2")
    assert (train.name, test.name) == ("digits/train", "digits/test")


def test_folder_with_dots_in_its_names(tmp_path, write_idx_folder):
    """Some tools unpack train-images-idx3-ubyte as train-images.idx3-ubyte."""
    folder = write_idx_folder(tmp_path)
    for path in folder.iterdir():
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    assert len(load_idx_folder(folder, "test")) == 4


def test_a_folder_that_lacks_a_file_says_which(tmp_path, write_idx_folder):
    """Half a data set is no data set."""
    folder = write_idx_folder(tmp_path)
    (folder / "t10k-labels-idx1-ubyte").unlink()
    assert len(load_idx_folder(folder, "train")) == 7
    with pytest.raises(DataError, match="lacks the labels of the test split; expected are t10k-images-idx3-ubyte"):
        load_idx_folder(folder, "test")
    with pytest.raises(DataError, match='ask for "train" or "test"'):
        load_idx_folder(folder, "all")
    with pytest.raises(InputError, match="'valid' is unknown"):
        load_idx_folder(folder, "valid")
