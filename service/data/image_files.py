"""One image file of a stranger, PNG or JPEG: its size before anything is decoded, and its pixels in bounded memory."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from strop.host.data.image_file import COLOR_MODES, DECODING_ERRORS, GREY_MODES
from strop.service.data.limits import MAX_IMAGE_FILE_BYTES, MAX_IMAGE_PIXELS, sample_fault
from strop.service.problems import Problem

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg")
PNG = b"\x89PNG\r\n\x1a\n"
PNG_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")  # the others hold texts and profiles, deflated


class BadImage(Exception):
    """A file that is no image that can be taken; the message says why."""


@dataclass(frozen=True)
class Look:
    """What an image file's header says."""

    height: int
    width: int
    color: bool


def look_at(data: bytes) -> Look:
    """Return what the header says. Raises `BadImage`."""
    with _opened(data) as image:
        return Look(image.height, image.width, image.mode not in GREY_MODES)


def pixels_of(data: bytes, size: tuple[int, int], channels: int) -> NDArray[np.uint8]:
    """Return uint8 [channels, *size], `channels` 1 or 3. Transparency is dropped. Raises `BadImage`.

    A colour file is taken as grey only where that loses nothing.
    """
    with _opened(data) as image:
        if (image.height, image.width) != size:
            raise BadImage(f"is {image.height} x {image.width} pixels (height x width), most are {size[0]} x {size[1]}")
        color = image.mode not in GREY_MODES
        mode = "RGB" if color or channels == 3 else "L"
        pixels = np.asarray(image if image.mode == mode else image.convert(mode), np.uint8)
    planes: NDArray[np.uint8] = pixels.reshape(*size, -1).transpose(2, 0, 1)
    if color and channels == 1:
        if not ((planes[0] == planes[1]).all() and (planes[0] == planes[2]).all()):
            raise BadImage("is in colour, most are grey")
        planes = planes[:1]
    return np.ascontiguousarray(planes)


def need_pillow() -> None:
    """Raise `Problem` format_unsupported, with the remedy, where image files cannot be decoded."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        raise Problem(
            "format_unsupported",
            "PNG and JPEG need Pillow on the server: pip install pillow there, or send arrays",
        ) from None


@contextmanager
def _opened(data: bytes) -> Iterator[Image]:
    """Open a file whose header is acceptable; Pillow's errors, also of the body, come out as `BadImage`."""
    from PIL import Image, UnidentifiedImageError

    if len(data) > MAX_IMAGE_FILE_BYTES:
        raise BadImage(f"has {len(data)} bytes; allowed are {MAX_IMAGE_FILE_BYTES}")
    try:
        with Image.open(io.BytesIO(_plain(data)), formats=("PNG", "JPEG")) as image:
            fault = _fault(image)
            if fault is not None:
                raise BadImage(fault)
            yield image
    except UnidentifiedImageError:
        raise BadImage("is neither PNG nor JPEG") from None
    except (Image.DecompressionBombError, *DECODING_ERRORS) as error:
        raise BadImage(f"cannot be decoded: {error}") from error


def _fault(image: Image) -> str | None:
    if image.width * image.height > MAX_IMAGE_PIXELS:
        return f"has {image.width * image.height} pixels; allowed are {MAX_IMAGE_PIXELS}"
    if image.mode not in GREY_MODES + COLOR_MODES:
        return f"has pixels of mode {image.mode}; save it with 8 bits per channel"
    fault = sample_fault((1, image.height, image.width))
    return None if fault is None else f"is one of {fault}"


def _plain(data: bytes) -> bytes:
    """Return a PNG file without its texts and profiles, which Pillow would inflate to 64 MiB; others as they are."""
    if not data.startswith(PNG):
        return data
    kept, at = [PNG], len(PNG)
    while at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind in PNG_CHUNKS:
            kept.append(data[at : at + 12 + length])
        at += 12 + length
    return b"".join(kept)
