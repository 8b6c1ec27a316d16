"""One encoded image, opened by Pillow within limits: formats, modes of pixels, and how many of them."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from strop.runtime.errors import DataError, InputError

if TYPE_CHECKING:
    from PIL.Image import Image

Mode = Literal["L", "RGB"]

FORMATS = {  # Pillow's name: suffixes. A closed list: some of its readers start other programs
    "BMP": (".bmp",),
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "PPM": (".pgm", ".ppm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)
MAX_IMAGE_PIXELS = 1 << 26
DECODING_ERRORS = (  # what Pillow raises on damaged bytes
    OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, ArithmeticError, MemoryError,
    struct.error, zlib.error,
)  # fmt: skip
BILINEAR = 2  # Pillow's name for it changed in 9.1, and Ubuntu 22.04 has 9.0
GREY_MODES = ("1", "L", "LA")
COLOR_MODES = ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


def check_size(size: tuple[int, int] | None, mode: Mode | None) -> None:
    """Raise InputError unless `size` is (height, width) or None, and `mode` one of Pillow's that strop asks for."""
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise InputError(f"size must be (height, width), each at least 1, got {size!r}")
    if mode not in (None, "L", "RGB"):
        raise InputError(f'mode {mode!r} is unknown; allowed are "L" and "RGB"')


def as_planes(image: Image, channels: int) -> NDArray[np.uint8]:
    """Return the pixels of a Pillow image of mode "L" (1 channel) or "RGB" (3): uint8 [C, H, W]."""
    pixels: NDArray[np.uint8] = np.asarray(image, np.uint8).reshape(*image.size[::-1], channels).transpose(2, 0, 1)
    return pixels


def cropped(
    where: str, file: Path | BinaryIO, size: tuple[int, int], shorter: int | None, mode: Mode
) -> NDArray[np.uint8]:
    """Return uint8 [C, H, W]: the middle of an image, in `size` (height, width).

    With `shorter` the image is first resized (bilinear) so that its shorter side has that many pixels, and `size` is
    cut out of its middle: the protocol of ImageNet, 256 and 224. Without it the largest part of the middle that has the
    shape of `size` is cut out and then resized. Raises DataError.
    """
    height, width = size
    with opened_image(where, file) as image:
        converted = image.convert(mode)
        across, down = converted.size
        if shorter is not None:
            scale = min(across, down)
            across, down = (max(shorter, (2 * side * shorter + scale) // (2 * scale)) for side in (across, down))
            if (across, down) != converted.size:
                converted = converted.resize((across, down), BILINEAR)
            wide, high = width, height
        else:
            wide, high = min(across, max(1, down * width // height)), min(down, max(1, across * height // width))
        left, top = (across - wide) // 2, (down - high) // 2
        converted = converted.crop((left, top, left + wide, top + high))
        if converted.size != (width, height):
            converted = converted.resize((width, height), BILINEAR)
        return as_planes(converted, 1 if mode == "L" else 3)


@contextmanager
def opened_image(where: str, file: Path | BinaryIO) -> Iterator[Image]:
    """Open an image of an allowed format, mode and size; Pillow's errors, also of the body, come out as DataError.

    `where` is what the messages call it.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError("reading images needs Pillow; pip install pillow") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=tuple(FORMATS)) as image:
                if image.width * image.height > MAX_IMAGE_PIXELS:
                    raise DataError(f"{where}: {image.width * image.height} pixels; allowed are {MAX_IMAGE_PIXELS}")
                if image.mode not in GREY_MODES + COLOR_MODES:
                    raise DataError(f"{where}: pixels of mode {image.mode}; save it with 8 bits per channel")
                yield image
    except DataError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(f"{where}: {error}; allowed are {MAX_IMAGE_PIXELS} pixels") from error
    except DECODING_ERRORS as error:
        raise DataError(f"{where}: cannot be read as an image: {error}; restore or remove it") from error
