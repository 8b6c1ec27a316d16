"""One image from the text of a request: what is taken, what is refused, and that neither costs much memory."""

from __future__ import annotations

import base64
import contextlib
import io
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from strop.service.image_decoding import UndecodableImage, decode_image

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
GREY, COLOR = (1, 28, 28), (3, 20, 30)


def text_of(data: bytes) -> str:
    """Return base64."""
    return base64.b64encode(data).decode()


def file_of(pixels: NDArray[np.uint8], format: str) -> bytes:
    """Return a PNG or JPEG file of pixels [H, W] or [H, W, C]."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()


def noise(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return noise uint8 of a shape."""
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("shape", [GREY, COLOR, (5, 4, 3)])
def test_raw_pixels_come_out_as_they_went_in(shape: tuple[int, int, int]) -> None:
    """Protects the order of raw pixels: C order of [C, H, W], any number of channels."""
    pixels = noise(*shape)
    assert np.array_equal(decode_image(text_of(pixels.tobytes()), shape), pixels)


def test_png_gives_the_pixels_of_the_file() -> None:
    """Protects PNG, grey and colored: no pixel changes, and channels come first."""
    grey, color = noise(28, 28), noise(20, 30, 3)
    assert np.array_equal(decode_image(text_of(file_of(grey, "PNG")), GREY)[0], grey)
    assert np.array_equal(decode_image(text_of(file_of(color, "PNG")), COLOR), color.transpose(2, 0, 1))


def test_files_are_brought_to_the_channels_of_the_model() -> None:
    """Protects what folders of images do, too: grey for a grey model, three equal channels for a colored one."""
    color, grey = np.full((28, 28, 3), (255, 0, 0), np.uint8), noise(20, 30)
    assert np.unique(decode_image(text_of(file_of(color, "PNG")), GREY)).tolist() == [76]  # ITU-R 601 luma of red
    assert np.array_equal(decode_image(text_of(file_of(grey, "PNG")), COLOR), np.stack([grey] * 3))


def test_jpeg_is_decoded() -> None:
    """Protects JPEG: a flat area survives its loss."""
    flat = np.full((20, 30, 3), 128, np.uint8)
    assert np.abs(decode_image(text_of(file_of(flat, "JPEG")), COLOR).astype(int) - 128).max() <= 1


def test_a_file_as_long_as_the_raw_pixels_is_a_file() -> None:
    """Protects PNGs of small images, whose files may have just as many bytes as their pixels: the signature decides."""
    file = file_of(np.zeros((28, 28), np.uint8), "PNG")
    padded = file + bytes(28 * 28 - len(file))
    assert not decode_image(text_of(padded), GREY).any()


def test_raw_pixels_that_begin_like_a_jpeg_are_raw() -> None:
    """Protects raw images whose first pixels are 255, 216, 255."""
    pixels = noise(*GREY)
    pixels.reshape(-1)[:3] = 255, 216, 255
    pixels.reshape(-1)[-2:] = 0, 0
    assert np.array_equal(decode_image(text_of(pixels.tobytes()), GREY), pixels)


@pytest.mark.parametrize(
    ("text", "shape", "says"),
    [
        ("not base64!", GREY, "not base64"),
        ("ümlaut", GREY, "not base64"),
        ("", GREY, "0 bytes"),
        (text_of(bytes(783)), GREY, "783 bytes"),
        (text_of(file_of(noise(29, 28), "PNG")), GREY, "29 x 28"),
        (text_of(file_of(noise(28, 28), "PNG")), (5, 28, 28), "5 channels"),
        (text_of(file_of(noise(28, 28), "PNG")[:-30]), GREY, "cannot be decoded"),
        (text_of(b"\x89PNG\r\n\x1a\n"), GREY, "cannot be decoded"),
        (text_of(b"\xff\xd8\xff\xff\xd9"), GREY, "cannot be decoded"),
    ],
)
def test_what_is_no_such_image_is_told(text: str, shape: tuple[int, int, int], says: str) -> None:
    """Protects the sender: the message names what is wrong; nothing is resized or guessed."""
    with pytest.raises(UndecodableImage, match=says):
        decode_image(text, shape)


def test_16_bit_pixels_are_refused() -> None:
    """Protects against silently clipped images: Pillow would cut 16 bits at 255."""
    with pytest.raises(UndecodableImage, match="mode I;16"):
        decode_image(text_of(file_of(np.full((28, 28), 300, np.uint16), "PNG")), GREY)


def test_a_bomb_is_refused_by_its_header() -> None:
    """Protects memory: a file that claims 50,000 x 50,000 pixels is refused before a pixel is decoded."""
    file = bytearray(file_of(np.zeros((28, 28), np.uint8), "PNG"))
    file[16:24] = (50_000).to_bytes(4, "big") * 2
    file[29:33] = zlib.crc32(bytes(file[12:29])).to_bytes(4, "big")
    tracemalloc.start()
    with pytest.raises(UndecodableImage):
        decode_image(text_of(bytes(file)), GREY)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_bomb_of_texts_is_not_unpacked() -> None:
    """Protects memory: texts of 60 MiB, packed in 60 KiB of a PNG, are passed over; its pixels count."""
    pixels = noise(28, 28)
    body = b"zTXtComment\0\0" + zlib.compress(bytes(1 << 20))
    text = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    file = file_of(pixels, "PNG")
    bomb = text_of(file[:33] + 60 * text + file[33:])
    tracemalloc.start()
    decoded = decode_image(bomb, GREY)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(decoded[0], pixels)
    assert peak < 1 << 20


@given(st.binary(max_size=1500), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"]))
def test_any_bytes_are_an_image_or_refused(data: bytes, head: bytes) -> None:
    """Protects the service from whatever is sent: one exception type, or an image of the shape."""
    with contextlib.suppress(UndecodableImage):
        assert decode_image(text_of(head + data), GREY).shape == GREY


@given(st.integers(0, 10**6), st.integers(0, 255), st.sampled_from(["PNG", "JPEG"]))
def test_damaged_files_are_an_image_or_refused(place: int, value: int, format: str) -> None:
    """Protects the service from a file with one wrong byte anywhere."""
    data = bytearray(file_of(noise(28, 28), format))
    data[place % len(data)] = value
    with contextlib.suppress(UndecodableImage):
        assert decode_image(text_of(bytes(data)), GREY).shape == GREY
