"""Images turned by any angle, in fixed point: the same bytes on every machine."""

from __future__ import annotations

import math
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from strop.host.data.shifts import CHUNK_IMAGES, checked_images
from strop.runtime.errors import InputError

ANGLE_BITS = 16  # of cosine and sine, the only numbers that were ever real
WEIGHT_BITS = 12  # of each bilinear weight: 2 * 12 bits and a pixel's 8 fill 32
MARGIN = 2  # black pixels around an image, for the neighbours of what lies just outside


def rotate(images: NDArray[np.uint8], degrees: float) -> NDArray[np.uint8]:
    """Return images [count, C, H, W] turned counter-clockwise by `degrees` about their centre, in the same shape.

    Bilinear, black outside. Cosine and sine are rounded to 2^-16, positions to 2^-12 of a pixel (ties up), and a pixel
    once, to the nearest (ties up). Multiples of 90 degrees move the pixels of square images exactly. Raises InputError
    for other arrays, and for an angle that is not finite.
    """
    _, channels, height, width = checked_images(images).shape
    corner, right, down = _source_positions(height, width, degrees)
    one = np.uint32(1 << WEIGHT_BITS)
    half = np.uint32(1 << (2 * WEIGHT_BITS - 1))
    row = width + 2 * MARGIN
    neighbours = (
        (corner, (one - down) * (one - right)),
        (corner + 1, (one - down) * right),
        (corner + row, down * (one - right)),
        (corner + row + 1, down * right),
    )
    turned = np.empty_like(images, order="C")
    for start in range(0, len(images), CHUNK_IMAGES):
        part = images[start : start + CHUNK_IMAGES]
        padded = np.pad(part, ((0, 0), (0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)))
        padded = padded.reshape(len(part), channels, -1)
        total = np.full((len(part), channels, height * width), half, np.uint32)
        for position, weight in neighbours:
            total += np.take(padded, position, axis=2) * weight
        turned[start : start + CHUNK_IMAGES] = (total >> np.uint32(2 * WEIGHT_BITS)).reshape(part.shape)
    return turned


def _source_positions(
    height: int, width: int, degrees: float
) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.uint32]]:
    """Return, for each pixel of the turned image, [H * W], where it comes from in the padded one.

    First the flat index of the neighbour above to the left, then the shares, in 2^-12, of the right and lower ones.
    """
    if isinstance(degrees, bool) or not isinstance(degrees, Real) or not math.isfinite(degrees):
        raise InputError(f"degrees is {degrees!r}; an angle is a finite number")
    angle = math.radians(math.fmod(float(degrees), 360.0))
    cosine, sine = (round(value * (1 << ANGLE_BITS)) for value in (math.cos(angle), math.sin(angle)))
    # Distances from the centre in half pixels, so that they are integers; 1 more bit then makes whole pixels.
    across = 2 * np.arange(width, dtype=np.int64)[np.newaxis, :] - (width - 1)
    along = 2 * np.arange(height, dtype=np.int64)[:, np.newaxis] - (height - 1)
    x = cosine * across - sine * along + ((width - 1) << ANGLE_BITS)
    y = sine * across + cosine * along + ((height - 1) << ANGLE_BITS)
    drop = ANGLE_BITS + 1 - WEIGHT_BITS
    x, y = ((position + (1 << (drop - 1))) >> drop for position in (x, y))
    left = np.clip(x >> WEIGHT_BITS, -MARGIN, width) + MARGIN
    top = np.clip(y >> WEIGHT_BITS, -MARGIN, height) + MARGIN
    mask = (1 << WEIGHT_BITS) - 1
    corner = (top * (width + 2 * MARGIN) + left).ravel()
    return corner, (x & mask).ravel().astype(np.uint32), (y & mask).ravel().astype(np.uint32)
