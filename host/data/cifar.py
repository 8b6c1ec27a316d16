"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009) as their author offers them: binary or pickled, as archive or unpacked.

| version | files |
|---|---|
| cifar-10-binary | data_batch_1.bin to data_batch_5.bin, test_batch.bin, batches.meta.txt |
| cifar-10-python | data_batch_1 to data_batch_5, test_batch, batches.meta |
| cifar-100-binary | train.bin, test.bin, fine_label_names.txt, coarse_label_names.txt |
| cifar-100-python | train, test, meta |

A binary record is the label (CIFAR-100: the coarse one, then the fine one), then 3 x 32 x 32 pixels. Pickles are read
by `pickled_arrays`, which runs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from strop.host.data.archive import is_archive, read_files
from strop.host.data.bounded import DEFAULT_MAX_BYTES
from strop.host.data.dataset import Dataset, Split, check_split
from strop.host.data.pickled_arrays import read_pickled
from strop.runtime.errors import DataError, InputError

Labels = Literal["fine", "coarse"]
SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32
TEN = {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)}
HUNDRED = {"train": ("train",), "test": ("test",)}
FOLDERS = ("cifar-10-batches-bin", "cifar-10-batches-py", "cifar-100-binary", "cifar-100-python")


@dataclass(frozen=True)
class _Version:
    """One of the four: its name, the batches of each split, and the files that name the classes."""

    name: str
    batches: Mapping[str, tuple[str, ...]]
    names: Mapping[str, str]
    binary: bool

    @property
    def hundred(self) -> bool:
        return self.batches is HUNDRED

    @property
    def record(self) -> int:
        """Bytes of a binary record."""
        return PIXELS + 1 + self.hundred

    def files(self, split: str) -> tuple[str, ...]:
        suffix = ".bin" if self.binary else ""
        return tuple(f"{batch}{suffix}" for batch in self.batches[split])


VERSIONS = (
    _Version("cifar-10-binary", TEN, {"fine": "batches.meta.txt"}, True),
    _Version("cifar-10-python", TEN, {"fine": "batches.meta"}, False),
    _Version("cifar-100-binary", HUNDRED, {kind: f"{kind}_label_names.txt" for kind in ("fine", "coarse")}, True),
    _Version("cifar-100-python", HUNDRED, {"fine": "meta", "coarse": "meta"}, False),
)


def is_cifar(path: Path) -> bool:
    """Return whether `path` is a tar archive, or a folder that holds files named like one of CIFAR's versions."""
    return is_archive(path) or _home(path) is not None


def load_cifar(
    path: str | Path,
    split: Split = "train",
    *,
    labels: Labels | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
    name: str | None = None,
) -> Dataset:
    """Return CIFAR-10 or CIFAR-100 from a folder, one that holds the official folder, or a tar archive (.tar.gz).

    `labels`: "fine" (the default: the classes) or, of CIFAR-100, "coarse" (the 20 superclasses). Raises DataError for
    files that are missing, truncated or do not belong together, and for pickles that hold more than data; InputError
    for other `labels` and for the split "all".
    """
    path = Path(path)
    if check_split(split) == "all":
        raise DataError(f'{path}: CIFAR has the splits "train" and "test"')
    if labels not in (None, "fine", "coarse"):
        raise InputError(f'labels {labels!r} is unknown; allowed are "fine" and "coarse"')
    place = path if is_archive(path) else _home(path)
    if place is None:
        raise DataError(f"{path}: holds no version of CIFAR; expected are {', '.join(FOLDERS)}, or a .tar.gz of one")
    wanted = {file for version in VERSIONS for file in (*version.files(split), *version.names.values())}
    files = read_files(place, wanted, max_bytes)
    version = _version(place, split, files)
    kind = labels or "fine"
    if kind not in version.names:
        raise InputError(f"{path}: CIFAR-10 has no coarse labels; leave labels out")
    missing = [file for file in (*version.files(split), version.names[kind]) if file not in files]
    if missing:
        raise DataError(f"{place}: lacks {', '.join(missing)} of {version.name}; restore it")
    try:
        return _dataset(place, version, split, kind, files, name or f"{version.name.rsplit('-', 1)[0]}/{split}")
    except DataError:
        raise
    except InputError as error:
        raise DataError(f"{place}: {error}") from error


def _home(folder: Path) -> Path | None:
    """Return the folder that holds the files: `folder` or an official one in it."""
    for home in (folder, *(folder / name for name in FOLDERS)):
        for version in VERSIONS:
            batches = [file for split in version.batches for file in version.files(split)]
            meta = any((home / file).is_file() for file in version.names.values())
            # "train" alone is no sign of CIFAR-100
            if any((home / file).is_file() for file in batches) and (meta or not version.hundred):
                return home
    return None


def _version(place: Path, split: str, files: Mapping[str, bytes]) -> _Version:
    found = [version for version in VERSIONS if any(file in files for file in version.files(split))]
    if len(found) != 1:
        versions = " and ".join(version.name for version in found) or "no version of CIFAR"
        raise DataError(f"{place}: holds {versions} for the {split} split; name a folder or an archive of one version")
    return found[0]


def _dataset(place: Path, version: _Version, split: str, kind: str, files: Mapping[str, bytes], name: str) -> Dataset:
    read = _binary_batch if version.binary else _pickled_batch
    parts = {file: read(f"{place}: {file}", version, kind, files[file]) for file in version.files(split)}
    counts = {file: len(labels) for file, (_, labels) in parts.items()}
    classes, declared = _classes(place, version, kind, files)
    for file, count in counts.items():
        usual = declared or counts[next(iter(counts))]
        # a batch that breaks off between two images shows only in its number of them
        if not version.hundred and count != usual:
            raise DataError(f"{place}: {file} holds {count} images where each batch has {usual}; restore the file")
    images = np.concatenate([pixels for pixels, _ in parts.values()])
    images.flags.writeable = False
    labels = np.concatenate([labels for _, labels in parts.values()])
    return Dataset.from_arrays(images, labels, classes=classes, name=name, layout="NCHW")


def _binary_batch(where: str, version: _Version, kind: str, data: bytes) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    if not data or len(data) % version.record:
        raise DataError(
            f"{where}: {len(data)} bytes are no whole number of records of {version.record}; the file is truncated or "
            "of another data set: restore it"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, version.record)
    column = 1 if version.hundred and kind == "fine" else 0
    return records[:, -PIXELS:].reshape(-1, *SHAPE), records[:, column]


def _pickled_batch(where: str, version: _Version, kind: str, data: bytes) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    batch = _text_keys(read_pickled(where, data))
    key = f"{kind}_labels" if version.hundred else "labels"
    pixels, labels = batch.get("data"), batch.get(key)
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != PIXELS or not len(pixels):
        raise DataError(f"{where}: its data are no array of unsigned bytes [count, {PIXELS}]; restore the file")
    if not isinstance(labels, list) or not all(type(label) is int and 0 <= label < 256 for label in labels):
        raise DataError(f"{where}: its {key} are no list of small integers; restore the file")
    if len(labels) != len(pixels):
        raise DataError(f"{where}: {len(pixels)} images with {len(labels)} {key}; restore the file")
    return pixels.reshape(-1, *SHAPE), np.array(labels, np.uint8)


def _classes(
    place: Path, version: _Version, kind: str, files: Mapping[str, bytes]
) -> tuple[tuple[str, ...], int | None]:
    """Return the names of the classes and, where the files say so, the images of a batch."""
    file = version.names[kind]
    where, declared = f"{place}: {file}", None
    if version.binary:
        names = [line.strip() for line in files[file].decode("utf-8", "replace").splitlines() if line.strip()]
    else:
        meta = _text_keys(read_pickled(where, files[file]))
        found = meta.get(f"{kind}_label_names" if version.hundred else "label_names")
        if not isinstance(found, list) or not all(isinstance(name, (bytes, str)) for name in found):
            raise DataError(f"{where}: holds no list of the classes' names; restore the file")
        names = [_text(name) for name in found]
        per_batch = meta.get("num_cases_per_batch")
        declared = per_batch if type(per_batch) is int else None
    expected = 10 if not version.hundred else 20 if kind == "coarse" else 100
    if len(names) != expected:
        raise DataError(f"{where}: names {len(names)} classes where {version.name} has {expected}; restore the file")
    return tuple(names), declared


def _text_keys(data: Mapping[Any, Any]) -> dict[str, Any]:
    return {_text(key): value for key, value in data.items()}


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
