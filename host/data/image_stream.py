"""Images that stay in their files and are decoded when they are asked for: data sets larger than the memory."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from strop.host.data.bounded import DEFAULT_MAX_BYTES, allocate, check_claim

Decode = Callable[[int], NDArray[np.uint8]]


class ImageStream:
    """Stands where an array uint8 [count, C, H, W] does: `shape`, `dtype`, `len`, and rows by slice or integers [n].

    decode: returns image i, uint8 [C, H, W]; it is called anew each time, so the images take no memory between. digest:
    sha256 (hex) of what the images follow from (which files, their sizes, the geometry); of the pixels there is none,
    for that would take an epoch. numpy.asarray decodes all images, where they have at most 2 GiB.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, where: str, shape: tuple[int, int, int, int], decode: Decode, digest: str) -> None:
        self.where, self.shape, self.digest = where, shape, digest
        self._decode = decode

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Sequence[int] | NDArray[Any]) -> NDArray[np.uint8]:
        numbers = np.arange(len(self))[rows]  # as an array's rows: negative ones, steps, errors
        total = numbers.size * math.prod(self.shape[1:])
        images = allocate(self.where, total).reshape(numbers.size, *self.shape[1:])
        for row, number in enumerate(numbers.tolist() if numbers.ndim else [int(numbers)]):
            images[row] = self._decode(number)
        return images if numbers.ndim else images[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        check_claim(self.where, math.prod(self.shape), DEFAULT_MAX_BYTES)
        images = self[:]
        return images if dtype is None else images.astype(dtype)

    def subset(self, rows: NDArray[Any]) -> ImageStream:
        """Return the images at `rows` (integers [n]), still in their files."""
        numbers = rows.astype(np.int64)
        sha = hashlib.sha256(f"{self.digest} subset".encode())
        sha.update(numbers.astype("<i8").tobytes())
        shape = (len(numbers), *self.shape[1:])
        return ImageStream(self.where, shape, lambda row: self._decode(int(numbers[row])), sha.hexdigest())

    def as_images(self) -> NDArray[np.uint8]:
        """Return itself, as what `Dataset` calls its images."""
        return cast("NDArray[np.uint8]", self)
