"""LSUN (Yu et al., 2015): LMDB databases of encoded images, one a class and split, as bedroom_train_lmdb. Needs lmdb.

The images stay in the databases (`ImageStream`). The LMDB library trusts the pages of a database: what can be told from
the file's head (that it is one, and whole) is checked here before it is opened, but open only what comes from LSUN.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.host.data.dataset import Dataset, Split, check_split
from strop.host.data.image_file import Mode, check_size, cropped
from strop.host.data.image_stream import ImageStream
from strop.runtime.errors import DataError, InputError

SIZE = (64, 64)
NAME = re.compile(r"(?P<scene>.+)_(?P<split>train|val)_lmdb")
DATABASE_SPLITS = {"train": "train", "test": "val"}
MAGIC, FORMAT = 0xBEEFC0DE, 1
# MDB_meta behind a page header of 16 bytes: magic, version, address, map size, two trees, last page, transaction
META = struct.Struct("<16x II QQ IHHQQQQQ IHHQQQQQ QQ")
LEAST_PAGE, MOST_PAGE = 1 << 9, 1 << 16


@dataclass(frozen=True)
class _Keys:
    """The keys of a database in its order: their bytes one after the other, and where each begins."""

    data: bytes
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, row: int) -> bytes:
        return self.data[self.starts[row] : self.starts[row + 1]]


def is_lsun(folder: Path) -> bool:
    """Return whether `folder` is an LMDB database with one of LSUN's names, or holds one."""
    return bool(_databases(folder))


def load_lsun(
    folder: str | Path,
    split: Split = "train",
    *,
    size: tuple[int, int] | None = None,
    mode: Mode | None = None,
    name: str | None = None,
) -> Dataset:
    """Return LSUN's images from one database or a folder of several; decoded one by one as they are needed.

    The class is the database's name without its end: bedroom_train_lmdb holds bedrooms; "test" reads those of
    validation (bedroom_val_lmdb). Of each image the largest square of its middle is cut out and resized (bilinear) to
    `size`, (height, width), 64 x 64 by default; with a `size` that is no square, the largest part of its shape. mode:
    "RGB", or "L" for grey. Raises DataError for what is missing, damaged, or no image, and where lmdb is not installed.
    """
    folder, (height, width) = Path(folder), size or SIZE
    check_size((height, width), mode)
    if check_split(split) == "all":
        raise DataError(f'{folder}: LSUN has the splits "train" and "test" (its validation images)')
    found = _databases(folder)
    if not found:
        raise DataError(f"{folder}: holds no database of LSUN; expected is a folder such as bedroom_train_lmdb")
    chosen: Mode = mode or "RGB"
    scenes = tuple(sorted({scene for scene, _, _ in found}))
    parts = [(path, scenes.index(scene)) for scene, part, path in found if part == DATABASE_SPLITS[split]]
    if not parts:
        raise DataError(f"{folder}: has no database *_{DATABASE_SPLITS[split]}_lmdb for the {split} split")
    keys = [_keys(path) for path, _ in parts]
    starts = np.cumsum([0, *map(len, keys)])
    sha = hashlib.sha256(f"lsun {height} {width} {chosen}\n".encode())
    for (path, _), own in zip(parts, keys, strict=True):
        sha.update(f"{path.name} {(path / 'data.mdb').stat().st_size} {len(own)}\n".encode())
        sha.update(own.data)

    def decode(row: int) -> NDArray[np.uint8]:
        part = int(np.searchsorted(starts, row, side="right")) - 1
        path, key = parts[part][0], keys[part][row - int(starts[part])]
        where = f"{path}: {key.decode('ascii', 'replace')}"
        return cropped(where, io.BytesIO(_value(path, key, where)), (height, width), None, chosen)

    labels = np.repeat(np.array([label for _, label in parts], np.int32), [len(own) for own in keys])
    shape = (len(labels), 3 if chosen == "RGB" else 1, height, width)
    stream = ImageStream(str(folder), shape, decode, sha.hexdigest())
    try:
        return Dataset(stream.as_images(), labels, scenes, name or f"{folder.name}/{split}")
    except InputError as error:
        raise DataError(f"{folder}: {error}") from error


def _databases(folder: Path) -> list[tuple[str, str, Path]]:
    """Return scene, split and path of each database, sorted."""
    if not folder.is_dir():
        return []
    found = []
    for path in (folder, *sorted(folder.iterdir())):
        named = NAME.fullmatch(path.resolve().name if path == folder else path.name)
        if named and (path / "data.mdb").is_file():
            found.append((named["scene"], named["split"], path))
    return sorted(found)


def _check_file(path: Path) -> None:
    """Raise DataError unless data.mdb begins like a database and has all its pages: beyond them the library faults."""
    file = path / "data.mdb"
    with file.open("rb") as stream:
        head = stream.read(META.size)
        if len(head) < META.size:
            raise DataError(f"{file}: {len(head)} bytes are too few for an LMDB database; it is truncated: restore it")
        magic, version, _, _, page, *rest = META.unpack(head)
        if magic != MAGIC or version != FORMAT:
            raise DataError(f"{file}: is no LMDB database of format {FORMAT} (magic {magic:#x}, format {version})")
        if not LEAST_PAGE <= page <= MOST_PAGE or page & (page - 1):
            raise DataError(f"{file}: declares pages of {page} bytes; the file is damaged: restore it")
        stream.seek(page)
        second = stream.read(META.size)
    size = file.stat().st_size
    last = rest[-2]
    if len(second) == META.size and META.unpack(second)[0] == MAGIC:
        last = max(last, META.unpack(second)[-2])
    if (last + 1) * page > size:
        raise DataError(f"{file}: declares {last + 1} pages of {page} bytes and holds {size} bytes; it is truncated")


_OPEN: dict[Path, tuple[tuple[int, ...], Any]] = {}  # the library refuses to open a database twice in one process
_LOCK = Lock()


def _environment(path: Path) -> Any:
    """Return the open database, opened anew if its file is another one than before."""
    try:
        import lmdb
    except ImportError as error:
        raise DataError(f"{path}: reading LMDB needs lmdb; pip install lmdb, or 'strop[datasets]'") from error
    place = path.resolve()
    status = (place / "data.mdb").stat()
    mark = (status.st_ino, status.st_size, status.st_mtime_ns)
    with _LOCK:
        if place in _OPEN and _OPEN[place][0] != mark:
            _OPEN.pop(place)[1].close()
        if place not in _OPEN:
            _check_file(path)
            opened = lmdb.open(str(place), readonly=True, lock=False, readahead=False, create=False, max_dbs=0)
            _OPEN[place] = (mark, opened)
        return _OPEN[place][1]


def _keys(path: Path) -> _Keys:
    with _translated(str(path)):
        environment = _environment(path)
        with environment.begin() as transaction:
            count = int(transaction.stat()["entries"])
            lengths, parts = [], []
            for key in transaction.cursor().iternext(keys=True, values=False):
                lengths.append(len(key))
                parts.append(key)
    if not parts or len(parts) != count:
        raise DataError(f"{path}: holds {len(parts)} images and declares {count}; restore the database")
    return _Keys(b"".join(parts), np.cumsum([0, *lengths], dtype=np.int64))


def _value(path: Path, key: bytes, where: str) -> bytes:
    with _translated(where), _environment(path).begin() as transaction:
        value = transaction.get(key)
    if value is None:
        raise DataError(f"{where}: is gone; load the data set again when nothing writes to it")
    return bytes(value)


@contextmanager
def _translated(where: str) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # lmdb's own errors, whose class only exists where it is installed
        raise DataError(f"{where}: cannot be read: {error}; restore the database") from error
