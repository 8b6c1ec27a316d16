"""The idx format of MNIST and its relatives: unsigned bytes behind a header, plain or gzipped.

A header is two zero bytes, a type code (8: unsigned byte), the number of dimensions, and each dimension as a big-endian
uint32 (yann.lecun.com/exdb/mnist).
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from strop.host.data.bounded import DEFAULT_MAX_BYTES, GzipStream, Source, allocate, check_claim, read_into
from strop.host.data.dataset import Dataset, Split, check_split, numbered_classes
from strop.runtime.errors import DataError, InputError

GZIP_MAGIC = b"\x1f\x8b"
UNSIGNED_BYTE = 0x08
OTHER_TYPES = {0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
MAX_DIMENSIONS = 4
SPLIT_PREFIXES = {"train": ("train",), "test": ("t10k", "test")}


def read_idx(path: str | Path, *, max_bytes: int = DEFAULT_MAX_BYTES) -> NDArray[np.uint8]:
    """Return the array of an idx file, uint8 with 1 to 4 dimensions, read-only.

    Raises DataError where the file is missing, corrupt, truncated, longer than its header says, or of another type.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            return _read(path, file, max_bytes)
    except (EOFError, zlib.error) as error:
        raise DataError(
            f"{path}: corrupt gzip data in its {path.stat().st_size} bytes ({error}); restore the file"
        ) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def load_idx_pair(
    images_path: str | Path, labels_path: str | Path, *, classes: Sequence[str] | None = None, name: str | None = None
) -> Dataset:
    """Return the data set of an images file ([count, H, W] or [count, C, H, W]) and a labels file [count].

    Raises DataError as `read_idx`, and where the two do not belong together.
    """
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim not in (3, 4):
        raise DataError(f"{images_path}: has {images.ndim} dimensions; images have 3 (count, height, width) or 4")
    if labels.ndim != 1:
        raise DataError(f"{labels_path}: has {labels.ndim} dimensions; labels have 1")
    if len(images) != len(labels):
        raise DataError(
            f"{images_path} holds {len(images)} images, {labels_path} {len(labels)} labels; they must be as many"
        )
    try:
        return Dataset.from_arrays(images, labels, classes=classes, name=name or Path(images_path).name, layout="NCHW")
    except InputError as error:
        raise DataError(f"{images_path} with {labels_path}: {error}") from error


def is_idx_folder(folder: Path) -> bool:
    """Return whether the folder holds a file named like one of MNIST's."""
    return any(
        _candidate(folder, split, "labels", 1) or _candidate(folder, split, "images", 3) for split in SPLIT_PREFIXES
    )


def load_idx_folder(
    folder: str | Path, split: Split = "train", *, classes: Sequence[str] | None = None, name: str | None = None
) -> Dataset:
    """Return a split of a folder with MNIST's file names: train-images-idx3-ubyte, t10k-labels-idx1-ubyte.gz and so on.

    Without `classes`, the labels of both splits decide how many there are. Raises DataError as `read_idx`.
    """
    folder = Path(folder)
    if check_split(split) == "all":
        raise DataError(f'{folder}: idx files are split; ask for "train" or "test"')
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    pair = [_candidate(folder, split, kind, dimensions) for kind, dimensions in (("images", 3), ("labels", 1))]
    if pair[0] is None or pair[1] is None:
        prefix = SPLIT_PREFIXES[split][0]
        raise DataError(
            f"{folder}: lacks the {'images' if pair[0] is None else 'labels'} of the {split} split; "
            f"expected are {prefix}-images-idx3-ubyte and {prefix}-labels-idx1-ubyte, each plain or .gz"
        )
    if classes is None:
        label_files = [_candidate(folder, part, "labels", 1) for part in SPLIT_PREFIXES]
        try:
            classes = numbered_classes(*(read_idx(file) for file in label_files if file is not None))
        except InputError as error:
            raise DataError(f"{folder}: {error}") from error
    return load_idx_pair(pair[0], pair[1], classes=classes, name=name or f"{folder.name}/{split}")


def _candidate(folder: Path, split: str, kind: str, dimensions: int) -> Path | None:
    for prefix in SPLIT_PREFIXES[split]:
        for separator in "-.":  # ".": as some tools unpack them
            for suffix in ("", ".gz"):
                path = folder / f"{prefix}-{kind}{separator}idx{dimensions}-ubyte{suffix}"
                if path.is_file():
                    return path
    return None


def _read(path: Path, file: BinaryIO, max_bytes: int) -> NDArray[np.uint8]:
    file_bytes = os.fstat(file.fileno()).st_size
    gzipped = file.read(2) == GZIP_MAGIC
    file.seek(0)
    source: Source = GzipStream(file) if gzipped else file
    shape = _read_header(path, source, file_bytes)
    declared, header_bytes = math.prod(shape), 4 + 4 * len(shape)
    check_claim(str(path), declared, max_bytes, file_bytes if gzipped else None)
    if not gzipped and file_bytes != header_bytes + declared:
        raise DataError(_wrong_length(path, shape, declared, str(file_bytes - header_bytes)))
    data = allocate(str(path), declared)
    done = read_into(data, source)
    if done < declared:
        raise DataError(_wrong_length(path, shape, declared, str(done)))
    if source.read(1):  # for gzip also what makes it check the CRC
        raise DataError(_wrong_length(path, shape, declared, "more"))
    array = data.reshape(shape)
    array.flags.writeable = False
    return array


def _read_header(path: Path, source: Source, file_bytes: int) -> tuple[int, ...]:
    magic = _read_exactly(path, source, 4, file_bytes)
    if magic[:2] != b"\0\0":
        raise DataError(
            f"{path}: not an idx file: it begins with the bytes {magic.hex(' ')} where 00 00 08 is expected"
        )
    if magic[2] != UNSIGNED_BYTE:
        kind = OTHER_TYPES.get(magic[2], "an unknown type")
        raise DataError(f"{path}: holds {kind} (type code 0x{magic[2]:02x}); only unsigned bytes (0x08) can be read")
    if not 1 <= magic[3] <= MAX_DIMENSIONS:
        raise DataError(f"{path}: declares {magic[3]} dimensions; allowed are 1 to {MAX_DIMENSIONS}")
    shape = np.frombuffer(_read_exactly(path, source, 4 * magic[3], file_bytes), ">u4")
    return tuple(int(length) for length in shape)


def _read_exactly(path: Path, source: Source, size: int, file_bytes: int) -> bytes:
    data = np.empty(size, np.uint8)
    if read_into(data, source) < size:
        raise DataError(f"{path}: {file_bytes} bytes are too few for an idx header; the file is truncated")
    return data.tobytes()


def _wrong_length(path: Path, shape: tuple[int, ...], declared: int, found: str) -> str:
    return (
        f"{path}: the header declares {' x '.join(map(str, shape))} = {declared} bytes of data, "
        f"the file holds {found}; restore the file"
    )
