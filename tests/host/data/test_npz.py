"""The .npz reader: no pickle, no memory before the claims are checked, and nothing damaged gets through."""

from __future__ import annotations

import io
import pickle
import re
import struct
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from strop.host.data.npz import NpzArchive
from strop.runtime.errors import DataError

PIXELS = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
DTYPES = st.one_of(
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.unicode_string_dtypes(max_len=5),
)


def read(path: Path, name: str = "images", kinds: str = "biufcU", **options: int):
    with NpzArchive(path, **options) as archive:
        return archive.read(name, kinds)


def npy_header(shape: str, descr: str = "'|u1'", version: tuple[int, int] = (1, 0)) -> bytes:
    """Return a .npy header that says what the caller likes."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version[0] == 1 else "<I", len(text)) + text


def zipped(path: Path, member: bytes, name: str = "images.npy", method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(name, member)
    return path


def with_sizes(path: Path, size: int) -> Path:
    """Rewrite the uncompressed size of a one-member archive in both its headers."""
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, 22, size)
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, size)
    path.write_bytes(bytes(data))
    return path


@given(DTYPES, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5), st.data())
def test_round_trip(dtype, shape, data):
    """What numpy saves in any byte order, memory order and compression is what is read."""
    array = data.draw(hnp.arrays(dtype, shape))
    array = np.asarray(array, order=data.draw(st.sampled_from("CF")))
    save = data.draw(st.sampled_from([np.savez, np.savez_compressed]))
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder) / "f.npz", images=array)
        back = read(Path(folder) / "f.npz")
    assert back.dtype == array.dtype and back.shape == array.shape and np.array_equal(back, array)
    assert back.flags.c_contiguous and not back.flags.writeable


def test_an_array_of_many_chunks_is_whole(tmp_path):
    """The seams between reads must not lose a byte."""
    array = np.random.default_rng(0).integers(0, 256, (700, 1001), np.uint8)
    np.savez_compressed(tmp_path / "f.npz", images=array)
    assert np.array_equal(read(tmp_path / "f.npz"), array)


def test_names_are_in_the_files_order(tmp_path):
    """Members that are no arrays are no names."""
    np.savez(tmp_path / "f.npz", b=PIXELS, a=PIXELS)
    with zipfile.ZipFile(tmp_path / "f.npz", "a") as archive:
        archive.writestr("README.txt", "hello")
    with NpzArchive(tmp_path / "f.npz") as archive:
        assert archive.names == ("b", "a")
        with pytest.raises(DataError, match="holds no array 'c', only b, a"):
            archive.read("c")


class Trap:
    """Unpickling this writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_pickles_are_refused_and_never_opened(tmp_path):
    """A data set from the network must not be able to run code."""
    np.savez(tmp_path / "f.npz", images=np.array([Trap(tmp_path / "sprung")], object))
    with pytest.raises(DataError, match="'images': holds Python objects, which only pickle can read"):
        read(tmp_path / "f.npz")
    zipped(tmp_path / "g.npz", pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path / "g.npz")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(2, [("a", "u1"), ("b", "u1")]), "allowed here are the kinds b, i, u, f, c"),
        (np.zeros(2, "M8[s]"), r"dtype datetime64\[s\]"),
        (np.array(["a"]), "dtype <U1"),
        (np.zeros(2, "V0"), "dtype"),
    ],
)
def test_other_dtypes_are_refused(tmp_path, array, message):
    """A reader gets the kinds of numbers that it asked for."""
    np.savez(tmp_path / "f.npz", images=array)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "f.npz", kinds="biufc")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_file_cut_anywhere_is_refused(tmp_path, save):
    """A download that broke off must never become a smaller data set."""
    save(tmp_path / "f.npz", images=PIXELS)
    data = (tmp_path / "f.npz").read_bytes()
    path = tmp_path / "cut.npz"
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        with pytest.raises(DataError, match=re.escape(str(path))):
            read(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_no_flipped_byte_gets_through(tmp_path, save):
    """Each byte of a file in turn: the result is a DataError or, in fields that mean nothing, the same array."""
    save(tmp_path / "f.npz", images=PIXELS)
    original = (tmp_path / "f.npz").read_bytes()
    refused = 0
    for position in range(len(original)):
        for flip in (0x01, 0x80, 0xFF):
            data = bytearray(original)
            data[position] ^= flip
            (tmp_path / "g.npz").write_bytes(bytes(data))
            try:
                assert np.array_equal(read(tmp_path / "g.npz"), PIXELS), position
            except DataError:
                refused += 1
    assert refused > 2 * len(original)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_archive_are_refused(data):
    """Whatever lies in a file, the error is ours."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f.npz"
        path.write_bytes(data)
        with pytest.raises(DataError, match=re.escape(str(path))):
            read(path)


@given(st.one_of(st.binary(max_size=150), st.text(max_size=80).map(lambda text: npy_header(text, version=(1, 0)))))
def test_members_that_are_no_arrays_are_refused(data):
    """A valid archive may hold rubbish, also where numpy evaluates the header as a Python literal."""
    with tempfile.TemporaryDirectory() as folder:
        path = zipped(Path(folder) / "f.npz", data)
        with pytest.raises(DataError, match=re.escape(str(path))):
            read(path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (npy_header("(10, 10)"), r"declares uint8 \[10, 10\] = 100 bytes, the archive holds 60 for it"),
        (npy_header("(59,)"), "= 59 bytes, the archive holds 60"),
        (npy_header("(-60,)"), r"impossible shape \[-60\]"),
        (npy_header("(-6, -10)"), r"impossible shape \[-6, -10\]"),
        (npy_header("(60,)", "'|O'"), "holds Python objects"),
        (npy_header("(60,)", "'rubbish'"), "cannot be read"),
        (npy_header("(60.0,)"), "cannot be read"),
        (npy_header("(" * 5000 + ")" * 5000), "cannot be read"),
        (npy_header("(60,)" + " " * 20000), "cannot be read"),
        (npy_header("(60,)", version=(3, 0)), "version 3.0"),
        (npy_header("(60,)")[:8] + b"\xff\xff" + npy_header("(60,)")[10:], "cannot be read"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + npy_header("(60,)")[10:], "cannot be read"),
    ],
)
def test_headers_that_are_refused(tmp_path, header, message):
    """Shapes that the archive's own sizes contradict, and headers made to hurt the parser."""
    with pytest.raises(DataError, match=message):
        read(zipped(tmp_path / "f.npz", header + bytes(60)))


def test_version_2_headers_are_read(tmp_path):
    """numpy writes them where a header is long."""
    assert read(zipped(tmp_path / "f.npz", npy_header("(60,)", version=(2, 0)) + bytes(60))).shape == (60,)


def test_an_array_that_declares_gigabytes_takes_no_memory(tmp_path, at_most):
    """Declared beyond the limit; within it, but not in the archive; and within it, with an archive that says so too."""
    huge = npy_header("(2000000000,)")
    beyond = zipped(tmp_path / "beyond.npz", npy_header("(100000000000,)"))
    absent = zipped(tmp_path / "absent.npz", huge)
    false = with_sizes(zipped(tmp_path / "false.npz", huge), 2_000_000_000 + len(huge))
    stored = zipped(tmp_path / "stored.npz", huge, method=zipfile.ZIP_STORED)
    with_sizes(stored, 2_000_000_000 + len(huge))
    photos = with_sizes(zipped(tmp_path / "photos.npz", npy_header("(60000, 3, 224, 224)")), 2**32 - 2)
    for path, message in (
        (beyond, "the archive holds 0 for it"),
        (absent, "the archive holds 0 for it"),
        (false, r"declares 2000000000 bytes of data, but \d+ compressed bytes hold at most"),
        (stored, r"needs 20000000\d\d bytes of a file that has"),
        (photos, "= 9031680000 bytes, the archive holds 4294967"),
    ):
        with at_most(10 << 20), pytest.raises(DataError, match=message):
            read(path)


def test_a_true_claim_beyond_the_limit_is_refused_before_it_is_inflated(tmp_path, at_most):
    """A zip bomb is consistent: 64 MB of zeros in 64 kB. What may be read is decided from the header."""
    np.savez_compressed(tmp_path / "bomb.npz", images=np.zeros(64 << 20, np.uint8))
    with at_most(2 << 20), pytest.raises(DataError, match="declares 67108864 bytes of data, more than the 1048576"):
        read(tmp_path / "bomb.npz", max_bytes=1 << 20)


def test_the_limit_is_for_all_arrays_together(tmp_path):
    """Many arrays just below the limit must not add up."""
    np.savez(tmp_path / "f.npz", a=np.zeros(600, np.uint8), b=np.zeros(600, np.uint8))
    with NpzArchive(tmp_path / "f.npz", max_bytes=1000) as archive:
        assert archive.read("a").size == 600
        with pytest.raises(DataError, match="'b': declares 600 bytes of data, more than the 400"):
            archive.read("b")


def test_more_data_than_declared_is_not_inflated(tmp_path, at_most):
    """The archive says 60 bytes, the deflate stream goes on for 64 MB: the rest is never made."""
    header = npy_header("(60,)")
    path = zipped(tmp_path / "f.npz", header + bytes(64 << 20))
    with_sizes(path, len(header) + 60)
    with at_most(4 << 20), pytest.raises(DataError, match="CRC"):
        read(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_that_cannot_be_bounded_is_refused(tmp_path, method):
    """zipfile inflates bzip2 and lzma without a limit; numpy never writes them."""
    with pytest.raises(DataError, match=f"compression method {method}"):
        read(zipped(tmp_path / "f.npz", npy_header("(60,)") + bytes(60), method=method))


def test_encrypted_members_are_refused(tmp_path):
    """zipfile would ask for a password by RuntimeError."""
    path = zipped(tmp_path / "f.npz", npy_header("(60,)") + bytes(60))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="is encrypted"):
        read(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_arrays_of_one_name_are_refused(tmp_path):
    """Which one is meant, nobody can know."""
    with zipfile.ZipFile(tmp_path / "f.npz", "w") as archive:
        for value in (1, 2):
            stream = io.BytesIO()
            np.save(stream, np.full(3, value, np.uint8))
            archive.writestr("images.npy", stream.getvalue())
    with pytest.raises(DataError, match="two arrays named 'images'"):
        read(tmp_path / "f.npz")


def test_a_directory_of_megabytes_is_refused(tmp_path, at_most):
    """zipfile makes an object of every entry; ten thousand long names are 2 MB of entries."""
    with zipfile.ZipFile(tmp_path / "f.npz", "w") as archive:
        for number in range(10_000):
            archive.writestr(f"{number:0150d}", b"")
    with at_most(4 << 20), pytest.raises(DataError, match=r"a zip directory of \d+ bytes; allowed are 1048576"):
        read(tmp_path / "f.npz")


def test_missing_files_are_named(tmp_path):
    """A folder is no file either."""
    for path in (tmp_path / "no.npz", tmp_path):
        with pytest.raises(DataError, match=re.escape(f"{path}: no such file")):
            NpzArchive(path)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
def test_a_refused_archive_is_closed(tmp_path):
    """A service that is sent a thousand broken files must not run out of file handles."""
    (tmp_path / "f.npz").write_bytes(b"rubbish")
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        with pytest.raises(DataError) as caught:
            NpzArchive(tmp_path / "f.npz")
        del caught
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before
