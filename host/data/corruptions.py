"""What a sensor does to images as it ages or loses focus, in integers. uint8 in, uint8 out.

Noise and low contrast are among the shifts (shifts.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from strop.host.data.shifts import CHUNK_IMAGES, checked_images

BINOMIAL = (1, 6, 15, 20, 15, 6, 1)  # sums to 2^6; standard deviation 1.22 pixels
DEAD_SEED = 20170829  # any constant: the same pixels are dead on every machine
DEAD_SHARE = 5  # one pixel in 5 is dead


def blur(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images [count, C, H, W] out of focus: filtered by the 7 x 7 binomial kernel.

    Beyond the border its pixels go on. A pixel is rounded once, to the nearest (ties up).
    """
    _, _, height, width = checked_images(images).shape
    reach = len(BINOMIAL) // 2
    blurred = np.empty_like(images, order="C")
    for start in range(0, len(images), CHUNK_IMAGES):
        part = images[start : start + CHUNK_IMAGES].astype(np.int32)
        padded = np.pad(part, ((0, 0), (0, 0), (reach, reach), (reach, reach)), mode="edge")
        rows, both = np.zeros((*part.shape[:3], width + 2 * reach), np.int32), np.zeros_like(part)
        for i, tap in enumerate(BINOMIAL):
            rows += np.int32(tap) * padded[:, :, i : i + height]
        for i, tap in enumerate(BINOMIAL):
            both += np.int32(tap) * rows[..., i : i + width]
        blurred[start : start + CHUNK_IMAGES] = (both + (1 << 11)) >> 12
    return blurred


def dead_pixels(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images [count, C, H, W] of a sensor on which one pixel in five is dead, in all channels and images alike.

    Half of these are stuck at 0, half at 255 (of an odd number, one more at 0). Which they are depends on nothing but
    H and W; it is decided by raw PCG64 bits, whose stream numpy guarantees (NEP 19).
    """
    _, _, height, width = checked_images(images).shape
    bits = np.random.PCG64(np.random.SeedSequence(DEAD_SEED))
    order = np.argsort(bits.random_raw(height * width), kind="stable")
    dead = order[: height * width // DEAD_SHARE]
    dark = (len(dead) + 1) // 2
    spoilt: NDArray[np.uint8] = images.copy(order="C")
    for stuck, value in ((dead[:dark], 0), (dead[dark:], 255)):
        spoilt[:, :, stuck // width, stuck % width] = value
    return spoilt
