"""The shifts: each pixel by hand, the same on every machine, and images only."""

from __future__ import annotations

import numpy as np
import pytest

from strop.host.data.dataset import Dataset
from strop.host.data.shifts import CHUNK_IMAGES, NOISE_SEED, SHIFTS, contrast, invert, noise, rotate90, shift_dataset
from strop.runtime.errors import InputError

EVERY_PIXEL = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)


def test_invert_by_hand():
    """Every pixel value; twice is nothing."""
    assert invert(EVERY_PIXEL).ravel().tolist() == list(range(255, -1, -1))
    assert np.array_equal(invert(invert(EVERY_PIXEL)), EVERY_PIXEL)


def test_contrast_by_hand():
    """0 to 255 become 85 to 170, in order."""
    assert contrast(EVERY_PIXEL).ravel().tolist() == [85 + value // 3 for value in range(256)]


def test_rotate90_by_hand():
    """The right column becomes the top row, in every image and channel alike; four times is nothing."""
    images = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 2, 2)
    turned = rotate90(images)
    assert images[1, 2].tolist() == [[20, 21], [22, 23]] and turned[1, 2].tolist() == [[21, 23], [20, 22]]
    assert np.array_equal(rotate90(rotate90(rotate90(turned))), images) and turned.flags.c_contiguous


def test_rotate90_needs_squares():
    """The network's input shape must not change under it."""
    with pytest.raises(InputError, match="square images, got 2 x 3"):
        rotate90(np.zeros((1, 1, 2, 3), np.uint8))


def test_noise_is_uniform_and_saturates():
    """128 equally likely values around mid-grey; black and white stay in range."""
    images = np.full((200, 1, 28, 28), 128, np.uint8)
    added = noise(images).astype(int) - 128
    counts = np.bincount(added.ravel() + 64, minlength=128)
    assert len(counts) == 128 and abs(added.mean() + 0.5) < 0.5
    assert ((counts - images.size / 128) ** 2 / (images.size / 128)).sum() < 200  # chi-squared, 127 degrees: p < 1e-4
    assert noise(images * 0).max() == 63 and noise(images * 0).min() == 0
    assert noise(images * 0 + 255).min() == 191 and noise(images * 0 + 255).max() == 255


def test_noise_is_the_same_for_ever():
    """A fine-tuning job replayed elsewhere, years later, must see the same pixels."""
    made = noise(np.full((3, 1, 5, 5), 100, np.uint8))
    words = [int(word) for word in np.random.PCG64(np.random.SeedSequence(NOISE_SEED)).random_raw(3 * 4)]
    for number in range(3):  # 25 pixels take 4 words of 8 bytes, the lowest byte first
        octets = b"".join(word.to_bytes(8, "little") for word in words[4 * number : 4 * number + 4])
        assert made[number].ravel().tolist() == [100 + octet // 2 - 64 for octet in octets[:25]]
    assert made[2].ravel()[:8].tolist() == [115, 80, 84, 41, 93, 149, 135, 72]


def test_noise_of_an_image_depends_on_its_position_only():
    """The first half of a data set is shifted as if it were alone, across the chunks in which noise is made."""
    images = np.random.default_rng(0).integers(0, 256, (CHUNK_IMAGES + 5, 1, 3, 3), np.uint8)
    assert np.array_equal(noise(images)[: CHUNK_IMAGES + 2], noise(images[: CHUNK_IMAGES + 2]))
    assert not np.array_equal(noise(images * 0)[0], noise(images * 0)[CHUNK_IMAGES])


@pytest.mark.parametrize("name", SHIFTS)
def test_shift_dataset(name):
    """Images change and keep their shape; labels, classes and the source do not change; the name tells."""
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 6, 6), np.uint8)
    dataset = Dataset.from_arrays(images, [0, 1, 1, 0], classes=["a", "b"], name="d")
    shifted = shift_dataset(dataset, name)
    assert shifted.name == f"d+{name}" and shifted.classes == dataset.classes
    assert np.array_equal(shifted.labels, dataset.labels) and np.array_equal(dataset.images, images)
    assert shifted.images.shape == images.shape and not np.array_equal(shifted.images, images)
    assert np.array_equal(shifted.images, SHIFTS[name](images)) and not shifted.images.flags.writeable


def test_unknown_shifts_are_refused_with_the_list():
    """The message lists what there is."""
    dataset = Dataset.from_arrays(np.zeros((1, 2, 2), np.uint8), [0])
    with pytest.raises(InputError, match="'blur' is unknown; allowed are invert, rotate90, noise, contrast"):
        shift_dataset(dataset, "blur")


@pytest.mark.parametrize("shift", SHIFTS.values(), ids=SHIFTS)
@pytest.mark.parametrize("images", [np.zeros((1, 1, 2, 2)), np.zeros((1, 2, 2), np.uint8), [[[[0]]]]])
def test_shifts_take_uint8_images_only(shift, images):
    """255 - p of a float in [0, 1] would be no inversion."""
    with pytest.raises(InputError, match="shifts take images uint8"):
        shift(images)
