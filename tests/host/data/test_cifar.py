"""CIFAR in each official form, written here byte by byte; and files that are broken or would run something."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strop.host.data import load_cifar, load_dataset
from strop.host.data.pickled_arrays import read_pickled
from strop.runtime.errors import DataError, InputError

TEN = [f"animal {number}" for number in range(10)]
FINE = [f"fine {number}" for number in range(100)]
COARSE = [f"coarse {number}" for number in range(20)]


def text(value: str) -> bytes:
    """A str of Python 2 as its pickle has it: SHORT_BINSTRING."""
    return b"U" + bytes([len(value)]) + value.encode()


def numbers(values: list[int]) -> bytes:
    return b"](" + b"".join(b"K" + bytes([value]) for value in values) + b"e"


def python_2(entries: dict[str, bytes]) -> bytes:
    """A dictionary as cPickle of Python 2 wrote it, protocol 2; values are pickled already."""
    return b"\x80\x02}q\x01(" + b"".join(text(key) + value for key, value in entries.items()) + b"u."


def array(pixels: np.ndarray) -> bytes:
    """An array uint8 [count, 3072] as numpy under Python 2 was pickled: opcode by opcode that of data_batch_1."""
    shape = b"M" + struct.pack("<H", len(pixels)) + b"M" + struct.pack("<H", pixels.shape[1]) + b"\x86"
    dtype = b"cnumpy\ndtype\nq\x0c" + text("u1") + b"K\x00K\x01\x87Rq\r(K\x03" + text("|") + b"NNNJ\xff\xff\xff\xff"
    dtype += b"J\xff\xff\xff\xffK\x00tb"
    made = b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\x0b"
    data = b"T" + struct.pack("<I", pixels.size) + pixels.tobytes()
    return made + b"(K\x01" + shape + dtype + b"\x89" + data + b"tb"


def pixels_of(seed: int, count: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(seed)).integers(0, 256, (count, 3072), np.uint8)


def ten_files(python: bool, count: int = 3) -> dict[str, bytes]:
    """CIFAR-10 with `count` images a batch; image i of batch b has the label (b + i) % 10."""
    files: dict[str, bytes] = {}
    for batch, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        pixels, labels = pixels_of(batch, count), [(batch + i) % 10 for i in range(count)]
        if python:
            label = {"batch_label": text("training batch"), "labels": numbers(labels), "data": array(pixels)}
            files[name] = python_2({**label, "filenames": b"](" + text("x.png") * count + b"e"})
        else:
            files[f"{name}.bin"] = np.insert(pixels, 0, labels, axis=1).tobytes()
    names = b"](" + b"".join(map(text, TEN)) + b"e"
    meta = python_2({"num_cases_per_batch": b"K" + bytes([count]), "label_names": names, "num_vis": b"M\x00\x0c"})
    return files | ({"batches.meta": meta} if python else {"batches.meta.txt": ("\n".join(TEN) + "\n\n").encode()})


def hundred_files(python: bool) -> dict[str, bytes]:
    """CIFAR-100 with 4 training and 2 test images; labels 90 + i, superclasses i."""
    files: dict[str, bytes] = {}
    for seed, (name, count) in enumerate({"train": 4, "test": 2}.items()):
        pixels, fine, coarse = pixels_of(seed, count), [90 + i for i in range(count)], list(range(count))
        if python:
            entries = {"fine_labels": numbers(fine), "coarse_labels": numbers(coarse), "data": array(pixels)}
            files[name] = python_2(entries)
        else:
            files[f"{name}.bin"] = np.concatenate([np.array([coarse, fine], np.uint8).T, pixels], axis=1).tobytes()
    names = {"fine": FINE, "coarse": COARSE}
    if python:
        meta = {f"{kind}_label_names": b"](" + b"".join(map(text, words)) + b"e" for kind, words in names.items()}
        return files | {"meta": python_2(meta)}
    return files | {f"{kind}_label_names.txt": "\n".join(words).encode() for kind, words in names.items()}


def put(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def archive(path: Path, folder: str, files: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("python", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_cifar_10(tmp_path, python, packed):
    """Both versions, unpacked or as downloaded, give the batches in their order with channels first."""
    folder = "cifar-10-batches-py" if python else "cifar-10-batches-bin"
    files = ten_files(python)
    place = archive(tmp_path / "c.tar.gz", folder, files) if packed else put(tmp_path / folder, files)
    train, test = load_dataset(str(place)), load_dataset(str(place), "test")
    expected = np.concatenate([pixels_of(batch, 3) for batch in range(5)]).reshape(-1, 3, 32, 32)
    assert np.array_equal(train.images, expected) and train.classes == tuple(TEN) and train.name == "cifar-10/train"
    assert train.labels.tolist() == [b + i for b in range(5) for i in range(3)]
    assert np.array_equal(test.images, pixels_of(5, 3).reshape(-1, 3, 32, 32)) and test.labels.tolist() == [5, 6, 7]


@pytest.mark.parametrize("python", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_cifar_100(tmp_path, python, packed):
    """Fine labels are the classes unless the coarse ones are asked for; the folder above the files serves, too."""
    folder = "cifar-100-python" if python else "cifar-100-binary"
    files = hundred_files(python)
    place = archive(tmp_path / "c.tar", folder, files, "w") if packed else put(tmp_path / folder, files).parent
    fine, coarse = load_dataset(str(place), "test"), load_dataset(str(place), "test", labels="coarse")
    assert fine.labels.tolist() == [90, 91] and fine.classes == tuple(FINE)
    assert coarse.labels.tolist() == [0, 1] and coarse.classes == tuple(COARSE)
    assert np.array_equal(fine.images, pixels_of(1, 2).reshape(-1, 3, 32, 32))


def test_labels_that_there_are_not(tmp_path):
    """CIFAR-10 has no superclasses, and a wrong word says what is allowed."""
    place = put(tmp_path / "c", ten_files(False))
    with pytest.raises(InputError, match="no coarse labels"):
        load_cifar(place, labels="coarse")
    with pytest.raises(InputError, match='"fine" and "coarse"'):
        load_cifar(place, labels="rough")
    with pytest.raises(InputError, match='"train" and "test"'):
        load_cifar(place, "all")


@pytest.mark.parametrize("python", [False, True])
def test_missing_and_truncated_batches(tmp_path, python):
    """Each way to lose a part is told by the file: a batch, the names, some bytes, whole images."""
    suffix = "" if python else ".bin"
    place = put(tmp_path / "c", ten_files(python))
    whole = (place / f"data_batch_3{suffix}").read_bytes()
    (place / f"data_batch_3{suffix}").unlink()
    with pytest.raises(DataError, match=f"lacks data_batch_3{suffix} of cifar-10"):
        load_cifar(place)
    (place / f"data_batch_3{suffix}").write_bytes(whole[:-5])
    with pytest.raises(DataError, match=f"data_batch_3{suffix}.*restore"):
        load_cifar(place)
    fewer = ten_files(python, 2)[f"data_batch_3{suffix}"]
    (place / f"data_batch_3{suffix}").write_bytes(fewer)
    with pytest.raises(DataError, match=f"data_batch_3{suffix} holds 2 images where each batch has 3"):
        load_cifar(place)
    meta = "batches.meta" if python else "batches.meta.txt"
    (place / meta).unlink()
    with pytest.raises(DataError, match=f"lacks {meta}"):
        load_cifar(place, "test")


def test_counts_that_do_not_match(tmp_path):
    """An image without a label would shift all others."""
    place = put(tmp_path / "c", ten_files(True))
    (place / "test_batch").write_bytes(python_2({"labels": numbers([1, 2]), "data": array(pixels_of(0, 3))}))
    with pytest.raises(DataError, match="3 images with 2 labels"):
        load_cifar(place, "test")
    (place / "test_batch").write_bytes(python_2({"labels": numbers([1, 20, 2]), "data": array(pixels_of(0, 3))}))
    with pytest.raises(DataError, match="labels\\[1\\] is 20"):
        load_cifar(place, "test")
    (place / "batches.meta").write_bytes(python_2({"label_names": b"](" + text("one") + b"e"}))
    with pytest.raises(DataError, match="names 1 classes"):
        load_cifar(place, "test")


class Hostile:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran",)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_a_pickle_that_runs_code_does_not(tmp_path, monkeypatch, protocol):
    """What a batch names is refused by name, before anything is called."""
    monkeypatch.chdir(tmp_path)
    place = put(tmp_path / "c", ten_files(True))
    (place / "test_batch").write_bytes(pickle.dumps({"data": Hostile(), "labels": []}, protocol))
    with pytest.raises(DataError, match=r"test_batch: the pickle wants \w+\.system: only plain values"):
        load_cifar(place, "test")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x80\x02]q\x01.", "pickles a list"),
        (b"\x80\x02}(U\x01ae.", "damaged"),  # APPENDS on a dictionary
        (b"\x80\x02}U\x01ab.", "sets the state of something that is no numpy array"),
        (b"\x80\x02U\x01a)R.", "calls something"),
        (b"\x80\x02(cnumpy\ndtype\n)o.", "opcode OBJ"),
        (b"\x80\x02}", "damaged"),
        (b"no pickle", "damaged"),
        (b"", "damaged"),
        (b"\x80\x02cnumpy\nload\n.", "wants numpy.load"),
        (python_2({"data": array(pixels_of(0, 2)).replace(b"M\x02\x00", b"M\x03\x00")}), "damaged"),
        (python_2({"data": array(pixels_of(0, 2)).replace(b"U\x02u1", b"U\x02O8")}), "unsigned bytes"),
    ],
)
def test_pickles_that_are_no_batch(data, problem):
    """Whatever an opcode is applied to, it is an error and not an attribute of Python's."""
    with pytest.raises(DataError, match=problem):
        read_pickled("f", data)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_pickles_of_python_3(protocol):
    """A batch that somebody saved again with Python 3 reads alike."""
    batch = {
        b"labels": [1, 2, 300],
        "data": np.arange(12, dtype=np.uint8).reshape(3, 4),
        b"name": b"\xff\x00",
        "x": None,
    }
    found = read_pickled("f", pickle.dumps(batch, protocol))
    assert np.array_equal(found.pop("data"), batch.pop("data")) and found == batch


def test_one_text_is_not_encoded_for_ever():
    """A short pickle must not make gigabytes of bytes out of one text."""
    data = b"\x80\x02X\x10\x27\x00\x00" + b"a" * 10_000 + b"q\x01c_codecs\nencode\nq\x02"
    data += b"h\x02h\x01X\x06\x00\x00\x00latin1\x86R" * 3 + b"."
    with pytest.raises(DataError, match="encodes more text than it holds"):
        read_pickled("f", data)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 255), st.booleans())
def test_damaged_pickles_are_data_errors(place, value, cut):
    """A flipped or missing byte gives data or a DataError, nothing else."""
    data = bytearray(ten_files(True, 1)["test_batch"])
    at = place % 200 if place % 2 else place % len(data)
    data[at] = value
    with contextlib.suppress(DataError):
        read_pickled("f", bytes(data[:at] if cut else data))


def test_damaged_archives(tmp_path):
    """An archive that breaks off, is none, or lies about a member is refused; none of it is unpacked to the disk."""
    path = archive(tmp_path / "c.tar.gz", "cifar-10-batches-bin", ten_files(False))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="corrupt gzip data"):
        load_cifar(path)
    path.write_bytes(b"plain text, " * 100)
    with pytest.raises(DataError, match="no tar archive"):
        load_cifar(path)
    inside = bytearray(gzip.decompress(whole))
    inside[0:3] = b"ata"
    path.write_bytes(gzip.compress(bytes(inside)))
    with pytest.raises(DataError, match="checksum"):
        load_cifar(path)
    archive(path, "x", {"readme.txt": b"nothing"})
    with pytest.raises(DataError, match="no version of CIFAR"):
        load_cifar(path)
    archive(path, "x", {**ten_files(False), "train.bin": b"x"})
    with pytest.raises(DataError, match="cifar-10-binary and cifar-100-binary"):
        load_cifar(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["c.tar.gz"]


def test_claims_of_an_archive_take_no_memory(tmp_path, at_most):
    """A member of 8 GiB in a file of 1 KiB is refused before memory is taken."""
    member = tarfile.TarInfo("c/test_batch.bin")
    member.size = (8 << 30) - 1
    path = tmp_path / "c.tar"
    path.write_bytes(member.tobuf(tarfile.USTAR_FORMAT))
    with at_most(4 << 20), pytest.raises(DataError, match="more than the"):
        load_cifar(path, "test")
    member.size = 1 << 20
    path.write_bytes(member.tobuf(tarfile.USTAR_FORMAT))
    with pytest.raises(DataError, match="breaks off after 0 of 1048576"):
        load_cifar(path, "test")
