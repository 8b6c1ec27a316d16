"""Rotation by any angle: quarter turns are exact, other angles agree with real arithmetic, and the bytes stay."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strop.host.data import load_fashion_mnist_subset, rotate
from strop.host.data.rotation import ANGLE_BITS
from strop.host.data.shifts import CHUNK_IMAGES, rotate90
from strop.runtime.errors import InputError


def some_images(*shape: int) -> np.ndarray:
    """Every byte, in no order."""
    return (np.arange(math.prod(shape)) * 97 % 256).astype(np.uint8).reshape(shape)


def rotated_in_reals(image: np.ndarray, degrees: float) -> np.ndarray:
    """One channel [H, W], bilinear, in float64: written from the textbook, pixel by pixel."""
    height, width = image.shape
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turned = np.zeros((height, width))
    for i in range(height):
        for j in range(width):
            across, along = j - (width - 1) / 2, i - (height - 1) / 2
            x = cosine * across - sine * along + (width - 1) / 2
            y = sine * across + cosine * along + (height - 1) / 2
            for row in (math.floor(y), math.floor(y) + 1):
                for column in (math.floor(x), math.floor(x) + 1):
                    if 0 <= row < height and 0 <= column < width:
                        turned[i, j] += image[row, column] * (1 - abs(x - column)) * (1 - abs(y - row))
    return turned


@pytest.mark.parametrize("side", [1, 2, 5, 28])
@pytest.mark.parametrize("quarters", range(-4, 6))
def test_quarter_turns_move_pixels(side, quarters):
    """No pixel changes its value, and the direction is rotate90's: counter-clockwise."""
    images = turned = some_images(3, 2, side, side)
    for _ in range(quarters % 4):
        turned = rotate90(turned)
    assert np.array_equal(rotate(images, 90 * quarters), turned)


@given(st.integers(1, 9), st.integers(1, 9), st.floats(-720, 720), st.integers(0, 255))
def test_any_angle_agrees_with_real_arithmetic(height, width, degrees, first):
    """To 1 grey level: half of it is the last rounding, the rest 2^-12 of a pixel in each position."""
    image = some_images(height, width) + np.uint8(first)
    turned = rotate(image[np.newaxis, np.newaxis], degrees)
    assert turned.dtype == np.uint8 and turned.shape == (1, 1, height, width)
    assert np.abs(turned[0, 0] - rotated_in_reals(image, degrees)).max() < 1.0


def test_channels_and_images_are_turned_alike():
    """Also across the border between two chunks."""
    image = some_images(1, 1, 4, 5)
    many = rotate(np.tile(image, (CHUNK_IMAGES + 1, 3, 1, 1)), 33)
    assert np.array_equal(many, np.broadcast_to(rotate(image, 33), many.shape))


def test_no_whole_degree_is_near_a_tie():
    """Another machine's cosine may differ in its last bits: rounded to 2^-16 it must still be the same."""
    for degrees in range(360):
        for value in (math.cos(math.radians(degrees)), math.sin(math.radians(degrees))):
            assert abs(abs(value) * 2**ANGLE_BITS % 1 - 0.5) > 1e-6, degrees


def test_the_bytes_stay_the_same():
    """A benchmark of rotated images must mean the same pixels for ever."""
    images = load_fashion_mnist_subset("test").images[:100]
    made = b"".join(rotate(images, degrees).tobytes() for degrees in (36, 72, 108, 144))
    assert hashlib.sha256(made).hexdigest() == "02efccfa6afe3a48d79a177fd46a2a9bc5970b76d250d66a9efeb62f63f5421a"


@pytest.mark.parametrize("degrees", [math.nan, math.inf, "36", None, True])
def test_angles_are_finite_numbers(degrees):
    """What no angle is must not become a picture."""
    with pytest.raises(InputError, match="an angle is a finite number"):
        rotate(some_images(1, 1, 2, 2), degrees)


def test_images_only():
    """Floats would be truncated."""
    with pytest.raises(InputError, match="shifts take images uint8"):
        rotate(np.zeros((1, 1, 2, 2)), 36)
