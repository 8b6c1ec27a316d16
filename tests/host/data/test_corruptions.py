"""What a failing sensor does: by hand, the same on every machine, and images only."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strop.host.data import blur, dead_pixels
from strop.host.data.corruptions import BINOMIAL
from strop.host.data.shifts import CHUNK_IMAGES
from strop.runtime.errors import InputError


def test_blur_of_a_point_is_its_kernel():
    """A white pixel becomes the kernel: 255 * row * column / 4096, rounded; the kernel sums to one."""
    image = np.zeros((1, 1, 9, 11), np.uint8)
    image[0, 0, 4, 5] = 255
    assert sum(BINOMIAL) == 64 and BINOMIAL == BINOMIAL[::-1]
    expected = [[(255 * down * right + 2048) // 4096 for right in BINOMIAL] for down in BINOMIAL]
    assert blur(image)[0, 0, 1:8, 2:9].tolist() == expected and blur(image).sum() == np.sum(expected)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 255))
def test_blur_leaves_flat_images_alone(height, width, value):
    """The border goes on beyond itself: it does not darken, however small the image."""
    images = np.full((2, 3, height, width), value, np.uint8)
    assert np.array_equal(blur(images), images)


def test_blur_treats_all_images_alike():
    """Channels do not mix, and a chunk ends nowhere."""
    image = (np.arange(30) * 97 % 256).astype(np.uint8).reshape(1, 1, 5, 6)
    many = blur(np.tile(image, (CHUNK_IMAGES + 1, 2, 1, 1)))
    assert np.array_equal(many, np.broadcast_to(blur(image), many.shape))


def test_a_fifth_of_the_pixels_is_dead():
    """The same ones in every image and channel, half of them dark, half bright; the others keep their values."""
    images = np.full((3, 2, 28, 28), 100, np.uint8)
    spoilt = dead_pixels(images)
    assert np.array_equal(spoilt, np.broadcast_to(spoilt[0, 0], spoilt.shape)) and (images == 100).all()
    values, counts = np.unique(spoilt[0, 0], return_counts=True)
    assert dict(zip(values.tolist(), counts.tolist(), strict=True)) == {0: 78, 100: 628, 255: 78}


def test_dead_pixels_are_the_same_for_ever():
    """A sensor does not heal: which pixels are dead is a constant."""
    spoilt = dead_pixels(np.full((1, 1, 5, 5), 7, np.uint8))
    assert np.flatnonzero(spoilt == 0).tolist() == [19, 20, 23]
    assert np.flatnonzero(spoilt == 255).tolist() == [1, 12]


@pytest.mark.parametrize("corrupt", [blur, dead_pixels])
@pytest.mark.parametrize("images", [np.zeros((1, 1, 2, 2)), np.zeros((1, 2, 2), np.uint8)])
def test_images_only(corrupt, images):
    """Floats would be truncated."""
    with pytest.raises(InputError, match="shifts take images uint8"):
        corrupt(images)
