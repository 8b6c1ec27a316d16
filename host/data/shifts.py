"""Drifts of the input, to fine-tune for: what a camera sees when mounted or lit otherwise. uint8 in, uint8 out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.host.data.dataset import Dataset
from strop.host.data.image_stream import ImageStream
from strop.runtime.errors import InputError

NOISE_SEED = 20170828  # any constant: equal noise on every machine
CHUNK_IMAGES = 1024


def invert(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return 255 - pixel of images [count, C, H, W]."""
    return 255 - checked_images(images)


def rotate90(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return square images [count, C, H, H] turned by a quarter counter-clockwise; InputError for others."""
    _, _, height, width = checked_images(images).shape
    if height != width:
        raise InputError(
            f"rotate90 needs square images, got {height} x {width}; a quarter turn would change their shape"
        )
    return np.ascontiguousarray(np.rot90(images, axes=(2, 3)))


def noise(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images [count, C, H, W] plus noise uniform in [-64, 63], saturated.

    An image's noise depends on nothing but its position and size. It is made of raw PCG64 bits, whose stream numpy
    guarantees (NEP 19), so it is the same everywhere.
    """
    checked_images(images)
    bits = np.random.PCG64(np.random.SeedSequence(NOISE_SEED))
    pixels = int(np.prod(images.shape[1:]))
    words = -(-pixels // 8)  # whole 64-bit words per image
    noisy = np.empty_like(images, order="C")
    for start in range(0, len(images), CHUNK_IMAGES):
        part = images[start : start + CHUNK_IMAGES]
        raw = bits.random_raw(len(part) * words).astype("<u8").view(np.uint8).reshape(len(part), words * 8)
        offset = (raw[:, :pixels] >> 1).astype(np.int16).reshape(part.shape) - 64
        noisy[start : start + CHUNK_IMAGES] = np.clip(part + offset, 0, 255)
    return noisy


def contrast(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images [count, C, H, W] at a third of their contrast around mid-grey: pixel // 3 + 85."""
    return checked_images(images) // 3 + 85


SHIFTS: Mapping[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = MappingProxyType(
    {"invert": invert, "rotate90": rotate90, "noise": noise, "contrast": contrast}
)


def shift_dataset(dataset: Dataset, name: str) -> Dataset:
    """Return the data set with the shift `name` applied to its images; InputError lists the known names."""
    if name not in SHIFTS:
        raise InputError(f"shift {name!r} is unknown; allowed are {', '.join(SHIFTS)}")
    if isinstance(dataset.images, ImageStream):
        raise InputError(f"shifts are for images in memory; those of {dataset.name} are decoded as they are needed")
    images = SHIFTS[name](dataset.images)
    images.flags.writeable = False
    return Dataset(images, dataset.labels, dataset.classes, f"{dataset.name}+{name}")


def checked_images(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Return `images`; InputError unless they are uint8 [count, C, H, W]."""
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 4:
        raise InputError("shifts take images uint8 [count, channels, height, width]")
    return images
