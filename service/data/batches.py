"""Batches of samples out of two arrays, images and labels, which are read side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strop.runtime.contract import C
from strop.service.data.archive import invalid
from strop.service.data.array_streams import ArrayStream
from strop.service.data.limits import BATCH_BYTES, MAX_SAMPLES, sample_fault
from strop.service.data.quarantine import Quarantine


@dataclass(frozen=True)
class Batch:
    """Accepted samples: images uint8 [n, C, H, W], labels int32 [n]."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int32]


def array_batches(
    images: ArrayStream, labels: ArrayStream, class_count: int | None, quarantine: Quarantine
) -> Iterator[Batch]:
    """Yield the samples whose labels are in range; the others go into quarantine.

    images: uint8 [n, H, W] or [n, C, H, W]; labels: integers [n] or [n, 1]; class_count: None where no classes are
    given: then any label that can be a class is in range. Raises `Problem` dataset_invalid.
    """
    shape = _sample_shape(images)
    count = _checked_count(images, labels)
    allowed = C.MAX_CLASSES if class_count is None else class_count
    a_batch = max(1, min(BATCH_BYTES // images.row_bytes, BATCH_BYTES // labels.row_bytes))
    for first in range(0, count, a_batch):
        n = min(a_batch, count - first)
        numbers = labels.rows(n).reshape(n)
        pixels: NDArray[np.uint8] = images.rows(n).reshape(n, *shape)
        good = (numbers >= 0) & (numbers < allowed)
        for row in np.flatnonzero(~good):
            reason = f"label {numbers[row]} is out of range: {allowed} classes allow 0 to {allowed - 1}"
            quarantine.put(f"sample {first + row}", reason)
        if good.all():
            yield Batch(pixels, numbers.astype(np.int32))
        elif good.any():
            yield Batch(pixels[good], numbers[good].astype(np.int32))
    images.check_end()
    labels.check_end()


def _sample_shape(images: ArrayStream) -> tuple[int, int, int]:
    """Return C, H, W."""
    shape, where = images.shape, f"{images.where}: {images.dtype} {list(images.shape)}"
    if images.dtype != np.uint8:
        raise invalid(f"{where}; pixels are uint8: scale floats from [0, 1] with np.round(x * 255).astype(np.uint8)")
    if len(shape) == 3:
        shape = (shape[0], 1, *shape[1:])
    if len(shape) != 4:
        raise invalid(f"{where}; images are [count, H, W] or [count, C, H, W]")
    if shape[3] in (1, 3) and shape[1] not in (1, 3):
        raise invalid(f"{where} looks like [count, H, W, C]; save images.transpose(0, 3, 1, 2).copy()")
    fault = sample_fault(shape[1:])
    if fault is not None:
        raise invalid(f"{images.where} holds {fault}")
    return shape[1], shape[2], shape[3]


def _checked_count(images: ArrayStream, labels: ArrayStream) -> int:
    where, shape = f"{labels.where}: {labels.dtype} {list(labels.shape)}", labels.shape
    if labels.dtype.kind not in "iu" or not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
        raise invalid(f"{where}; labels are integers [count]")
    if shape[0] != images.shape[0]:
        raise invalid(f"{images.shape[0]} images with {shape[0]} labels; there must be one label per image")
    if not 1 <= shape[0] <= MAX_SAMPLES:
        raise invalid(f"{shape[0]} samples; allowed are 1 to {MAX_SAMPLES}")
    return shape[0]
