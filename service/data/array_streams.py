"""Arrays that are read row by row, from .npy and idx streams, so that a data set is never in memory as a whole."""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.host.data.bounded import Source, read_into
from strop.host.data.idx import MAX_DIMENSIONS, OTHER_TYPES, UNSIGNED_BYTE
from strop.service.data.archive import damage_told, invalid

NPY_MAGIC = b"\x93NUMPY"
NPY_LONGEST_HEADER = 4096
NPY_HEADER = re.compile(  # as numpy writes it for arrays without fields; numpy itself would evaluate it as Python
    r"\{'descr': '([<>|=]?[a-zA-Z?][0-9]*)', 'fortran_order': (True|False), 'shape': \(([0-9, ]*)\),? ?\}\s*"
)


@dataclass(frozen=True)
class ArrayStream:
    """An array [rows, ...] whose header has been read; `source` stands at the first row. `where` names it to people."""

    where: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    source: Source

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def rows(self, count: int) -> NDArray[Any]:
        """Return the next `count` rows. Raises `Problem` dataset_invalid where the data break off or are damaged."""
        data = np.empty(count * self.row_bytes, np.uint8)
        with damage_told(self.where):
            done = read_into(data, self.source)
        if done < data.size:
            raise invalid(f"{self.where} breaks off before the {self.shape[0]} rows that its header declares")
        return data.view(self.dtype).reshape(count, *self.shape[1:])

    def check_end(self) -> None:
        """Raise `Problem` where more follows than the header declares, or a checksum does not agree."""
        with damage_told(self.where):
            more = self.source.read(1)
        if more:
            raise invalid(f"{self.where} holds more than the {self.shape[0]} rows that its header declares")


def open_npy(where: str, source: Source) -> ArrayStream:
    """Return the array of a .npy stream. Raises `Problem` dataset_invalid, also for what only pickle could read."""
    with damage_told(where):
        found = NPY_HEADER.fullmatch(_npy_header(where, source))
        if found is None:
            raise invalid(f"{where} has no header of a plain .npy array; numpy.save writes one")
        dtype, fortran = np.dtype(found[1]), found[2] == "True"
        shape = tuple(int(length) for length in found[3].split(",") if length.strip())
    if dtype.hasobject:
        raise invalid(f"{where} holds Python objects, which only pickle can read; save a plain numeric array")
    if dtype.itemsize == 0:
        raise invalid(f"{where} has the dtype {dtype}, which has no bytes")
    if fortran and sum(length > 1 for length in shape) > 1:
        raise invalid(f"{where} is in Fortran order; save numpy.ascontiguousarray of it")
    return ArrayStream(where, shape, dtype, source)


def open_idx(where: str, source: Source) -> ArrayStream:
    """Return the array of an idx stream (already gunzipped). Raises `Problem` dataset_invalid."""
    with damage_told(where):
        zeros, kind, dimensions = struct.unpack(">HBB", _exactly(source, 4))
        if zeros != 0:
            raise invalid(f"{where} is no idx file: its first two bytes are not zero")
        if kind != UNSIGNED_BYTE:
            raise invalid(f"{where} holds {OTHER_TYPES.get(kind, 'an unknown type')}; only unsigned bytes can be taken")
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise invalid(f"{where} declares {dimensions} dimensions; allowed are 1 to {MAX_DIMENSIONS}")
        shape = struct.unpack(f">{dimensions}I", _exactly(source, 4 * dimensions))
    return ArrayStream(where, shape, np.dtype(np.uint8), source)


def _npy_header(where: str, source: Source) -> str:
    start = _exactly(source, len(NPY_MAGIC) + 2)
    width = {b"\x01\x00": "<H", b"\x02\x00": "<I"}.get(start[len(NPY_MAGIC) :])
    if not start.startswith(NPY_MAGIC) or width is None:
        raise invalid(f"{where} is no .npy array of version 1.0 or 2.0")
    (length,) = struct.unpack(width, _exactly(source, struct.calcsize(width)))
    if length > NPY_LONGEST_HEADER:
        raise invalid(f"{where} has a header of {length} bytes; allowed are {NPY_LONGEST_HEADER}")
    return _exactly(source, length).decode("latin-1")


def _exactly(source: Source, count: int) -> bytes:
    data = np.empty(count, np.uint8)
    if read_into(data, source) < count:
        raise EOFError("it breaks off")
    return data.tobytes()
