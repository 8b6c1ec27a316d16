"""An image as a PNG file, with nothing but zlib."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

GREY, RGB = 0, 2  # PNG's colour types


def png_of(image: NDArray[np.uint8]) -> bytes:
    """Return uint8 [C, H, W] as a PNG file: grey for one channel, RGB for three, else the channels side by side."""
    channels, height, width = image.shape
    if channels == 3:
        color, rows = RGB, image.transpose(1, 2, 0).reshape(height, width * 3)
    else:
        color, rows = GREY, image.transpose(1, 0, 2).reshape(height, channels * width)
        width *= channels
    unfiltered = np.concatenate((np.zeros((height, 1), np.uint8), rows), axis=1)  # each row begins with its filter
    header = struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(unfiltered.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
