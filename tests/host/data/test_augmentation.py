"""Augmentation: every pixel where arithmetic by hand puts it, by (seed, epoch, sample) and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from strop.host.data.augmentation import AUGMENTATIONS, augmented, crop_flip, draws_of
from strop.host.order import raw_bits
from strop.runtime.errors import InputError


def images_of(count: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(3)).integers(0, 256, (count, 3, 6, 5), np.uint8)


def by_hand(image: np.ndarray, draw: int) -> np.ndarray:
    """One image, pixel by pixel, in Python's integers."""
    _, height, width = image.shape
    top, left = ((draw >> at & 0xFFFF) * 9 >> 16 for at in (0, 16))
    found = np.full_like(image, 128)
    for h in range(height):
        for w in range(width):
            row, column = h + top - 4, (width - 1 - w if draw >> 63 else w) + left - 4
            if 0 <= row < height and 0 <= column < width:
                found[:, h, w] = image[:, row, column]
    return found


def test_every_pixel_is_where_it_belongs() -> None:
    """Each shift from -4 to 4, and the mirror image, against loops over pixels."""
    draws = draws_of(np.arange(300), 5, 2)
    images = images_of(300)
    changed = crop_flip(images, draws)
    assert all(np.array_equal(changed[i], by_hand(images[i], int(draws[i]))) for i in range(300))
    tops = {int(draw & np.uint64(0xFFFF)) * 9 >> 16 for draw in draws}
    assert tops == set(range(9)) and 100 < sum(int(draw) >> 63 for draw in draws) < 200


def test_the_middle_without_mirror_is_the_image_itself() -> None:
    """4 * 2^16 / 9, rounded up, is where the crop meets the image."""
    draw = np.full(2, 29128 | 29128 << 16, np.uint64)
    assert np.array_equal(crop_flip(images_of(2), draw), images_of(2))


def test_a_samples_draw_depends_on_seed_epoch_and_index_alone() -> None:
    """Whatever mini-batch it lies in, and by SplitMix64 in Python's integers."""
    rows = np.array([7, 0, 60_000, 7])
    draws = draws_of(rows, 11, 3)
    for row, draw in zip(rows.tolist(), draws.tolist(), strict=True):
        assert draw == draws_of(np.array([row]), 11, 3)[0]
        z = (int(raw_bits(11, 7, 3, count=1)[0]) + (row + 1) * 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        assert draw == z ^ z >> 31
    others = [draws_of(rows, 12, 3), draws_of(rows, 11, 4)]
    assert all((other != draws).all() for other in others)


def test_names() -> None:
    """None changes nothing; a name that is none is refused with those that are."""
    images, rows = images_of(4), np.arange(4)
    assert augmented(None, images, rows, 0, 0) is images
    assert np.array_equal(augmented("crop-flip", images, rows, 9, 1), crop_flip(images, draws_of(rows, 9, 1)))
    with pytest.raises(InputError, match="augment is 'mixup'; allowed: crop-flip, or None"):
        augmented("mixup", images, rows, 0, 0)
    assert tuple(AUGMENTATIONS) == ("crop-flip",)
