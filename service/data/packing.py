"""What was accepted, on its way to the disk: pixels go to a file without a name, then all of it into one .npz."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format

from strop.host.atomic_file import write_atomically
from strop.service.data.batches import Batch
from strop.service.data.uploads import full_disk_told, too_large

LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the date of members: the same samples give the same file
PIECE_BYTES = 256 << 10


class Packing:
    """A data set that grows by batches; a context manager. `limit` bounds the bytes of its pixels.

    folder: for the pixels so far. Raises `Problem` too_large and storage_low.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._pixels = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # closed by __exit__
        self._labels = io.BytesIO()  # int32
        self._limit = limit
        self.count = 0
        self.highest_label = 0
        self.shape: tuple[int, ...] = ()

    def __enter__(self) -> Packing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pixels.close()

    def add(self, batch: Batch) -> None:
        """Take some more samples, of the shape of the first."""
        self.shape = batch.images.shape[1:]
        self.count += len(batch.labels)
        if self._pixels.tell() + batch.images.nbytes > self._limit:
            raise too_large(f"the images have more than {self._limit} bytes of pixels", self._limit)
        with full_disk_told():
            self._pixels.write(batch.images.data)
        self._labels.write(batch.labels.data)
        self.highest_label = max(self.highest_label, int(batch.labels.max()))

    def write(self, path: Path, classes: tuple[str, ...]) -> None:
        """Write the .npz at `path`, whole or not at all."""
        with full_disk_told():
            write_atomically(path, self._parts(classes))

    def _parts(self, classes: tuple[str, ...]) -> Iterator[bytes]:
        """Yield the bytes of the .npz: stored, not deflated."""
        out = _Pipe()
        names = np.array(classes)
        arrays: tuple[tuple[str, tuple[int, ...], np.dtype[Any], IO[bytes]], ...] = (
            ("images", (self.count, *self.shape), np.dtype(np.uint8), self._pixels),
            ("labels", (self.count,), np.dtype(np.int32), self._labels),
            ("classes", names.shape, names.dtype, io.BytesIO(names.tobytes())),
        )
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
            for name, shape, dtype, data in arrays:
                member = zipfile.ZipInfo(f"{name}.npy", LONG_AGO)
                member.file_size = data.seek(0, io.SEEK_END)  # from which zipfile sees how wide its fields must be
                data.seek(0)
                with archive.open(member, "w") as stream:
                    stream.write(_npy_header(shape, dtype))
                    while piece := data.read(PIECE_BYTES):
                        stream.write(piece)
                        yield out.taken()
        yield out.taken()


def _npy_header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    out = io.BytesIO()
    described = {"descr": npy_format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy_format.write_array_header_1_0(out, described)
    return out.getvalue()


class _Pipe(io.RawIOBase):
    """A file for zipfile that only goes forwards, and whose bytes are taken away as they come."""

    def __init__(self) -> None:
        self._held: list[bytes] = []

    def write(self, data: object, /) -> int:
        piece = bytes(data)  # type: ignore[call-overload]
        self._held.append(piece)
        return len(piece)

    def taken(self) -> bytes:
        """Return what was written since the last time."""
        held, self._held = b"".join(self._held), []
        return held
