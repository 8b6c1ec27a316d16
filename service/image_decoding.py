"""One image from the text of a request: base64 of raw pixels, or of a PNG or JPEG file."""

from __future__ import annotations

import base64
import binascii
import io
import math

import numpy as np
from numpy.typing import NDArray

from strop.host.data.image_file import COLOR_MODES, DECODING_ERRORS, GREY_MODES

PNG, JPEG, JPEG_END = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\xff\xd9"
PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
MODES = {1: "L", 3: "RGB"}  # by the channels that a model takes


class UndecodableImage(ValueError):
    """A text that is no image of the shape that was asked for; the message says why, and what is."""


def decode_image(text: str, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return the image uint8 `shape` = [C, H, W] of a base64 text: raw pixels in C order, or a PNG or JPEG file.

    A file must have the model's height and width: nothing is resized behind the caller's back, and no file takes more
    memory than the image that it should be. Raises `UndecodableImage`.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:  # also characters beyond ASCII
        raise UndecodableImage(f"the image is not base64: {error}") from error
    size = math.prod(shape)
    if data.startswith(PNG):
        return _decode_file(_pixels_only(data), shape)
    if data.startswith(JPEG) and (len(data) != size or data.endswith(JPEG_END)):
        return _decode_file(data, shape)
    if len(data) != size:
        raise UndecodableImage(
            f"the image has {len(data)} bytes and is neither PNG nor JPEG; raw pixels uint8 {list(shape)} are {size}"
        )
    return np.frombuffer(data, np.uint8).reshape(shape)


def _decode_file(data: bytes, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    channels, height, width = shape
    mode = MODES.get(channels)
    if mode is None:
        raise UndecodableImage(f"the model takes {channels} channels: send raw pixels uint8 {list(shape)}")
    try:
        from PIL import Image
    except ImportError as error:
        raise UndecodableImage("PNG and JPEG need Pillow on the server: install it, or send raw pixels") from error
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:  # reads the header only
            if image.size != (width, height):
                raise UndecodableImage(
                    f"the image is {image.height} x {image.width} pixels (height x width), the model takes "
                    f"{height} x {width}: resize it first"
                )
            if image.mode not in GREY_MODES + COLOR_MODES:
                raise UndecodableImage(f"the image has pixels of mode {image.mode}; save it with 8 bits per channel")
            pixels: NDArray[np.uint8] = np.asarray(image.convert(mode), np.uint8).reshape(height, width, channels)
    except UndecodableImage:
        raise
    except (Image.DecompressionBombError, *DECODING_ERRORS) as error:
        raise UndecodableImage(f"the image cannot be decoded: {error}") from error
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _pixels_only(png: bytes) -> bytes:
    """Return a PNG file without its texts and profiles, which may unpack to a thousand times what they take in it."""
    kept, at = [PNG], len(PNG)
    while at < len(png):
        end = at + 12 + int.from_bytes(png[at : at + 4], "big")  # length, kind, and a checksum after the data
        if png[at + 4 : at + 8] in PIXEL_CHUNKS:
            kept.append(png[at:end])
        at = end
    return b"".join(kept)
