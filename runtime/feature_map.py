"""Feature maps between the device's words and arrays (contract.h, "Memory").

A word of 64 bytes is one position of 4 channels in 16 images; channel and image in it are byte % 4 and byte // 4.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.runtime.contract import C
from strop.runtime.graph import Shape


def map_bytes(samples: int, shape: Shape) -> int:
    """Return how many bytes the words of a feature map of `samples` and `shape` = (C, H, W) are."""
    channels, height, width = shape
    return -(-channels // C.QUAD) * -(-samples // C.IMAGE_GROUP) * height * width * C.WORD_BYTES


def unpack_map(words: NDArray[Any], samples: int, shape: Shape) -> NDArray[np.int8]:
    """Return the feature map int8 [samples, C, H, W] that `words`, uint8 [map_bytes(samples, shape)], hold."""
    channels, height, width = shape
    groups = -(-samples // C.IMAGE_GROUP)
    lanes = words.view(np.int8).reshape(-1, groups, height, width, C.IMAGE_GROUP, C.QUAD)
    ordered = lanes.transpose(1, 4, 0, 5, 2, 3)  # group, image, quad, channel, height, width
    found: NDArray[np.int8] = ordered.reshape(groups * C.IMAGE_GROUP, -1, height, width)[:samples, :channels].copy()
    return found
