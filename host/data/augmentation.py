"""Training images changed by chance, in integers: the same bytes wherever and whenever a sample is met again.

What becomes of a sample follows from (seed, epoch, its index in the data set) alone, neither from the mini-batch that
it lies in nor from the samples before it. So a run that is resumed goes on to the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from strop.host.data.shifts import checked_images
from strop.host.order import raw_bits
from strop.runtime.errors import InputError

AUGMENTING = 7  # stream of the seed: what becomes of an epoch's samples (host/order.py has 1 and 2)
PADDING = 4
NEUTRAL = 128  # the pixel that a network takes as 0
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


def crop_flip(images: NDArray[np.uint8], draws: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return images [n, C, H, W] shifted by up to 4 pixels each way and, one in two, mirrored left to right.

    That is padding by 4 on each side, a random crop of the old size, and a horizontal flip, as networks are trained on
    CIFAR (He et al., 2016). The padding is 128, which the network takes as 0. draws uint64 [n]: bits 0 to 15 place the
    crop vertically and 16 to 31 horizontally (times 9, divided by 2^16); bit 63 says whether to mirror.
    """
    count, _, height, width = checked_images(images).shape
    edge = (PADDING, PADDING)
    padded = np.pad(images, ((0, 0), (0, 0), edge, edge), constant_values=NEUTRAL)
    places = np.uint64(2 * PADDING + 1)
    sixteen = np.uint64(16)
    mask = np.uint64(0xFFFF)
    top, left = (((bits & mask) * places >> sixteen).astype(np.int64) for bits in (draws, draws >> sixteen))
    windows = sliding_window_view(padded, (height, width), axis=(2, 3))
    chosen: NDArray[np.uint8] = windows[np.arange(count), :, top, left]
    mirrored = (draws >> np.uint64(63)).astype(bool)
    chosen[mirrored] = chosen[mirrored, :, :, ::-1]
    return chosen


AUGMENTATIONS: Mapping[str, Callable[[NDArray[np.uint8], NDArray[np.uint64]], NDArray[np.uint8]]] = MappingProxyType(
    {"crop-flip": crop_flip}
)


def check_augmentation(name: str | None) -> None:
    """Raise InputError unless `name` is one of `AUGMENTATIONS` or None."""
    if name is not None and name not in AUGMENTATIONS:
        raise InputError(f"augment is {name!r}; allowed: {', '.join(AUGMENTATIONS)}, or None")


def augmented(
    name: str | None, images: NDArray[np.uint8], rows: NDArray[np.int64], seed: int, epoch: int
) -> NDArray[np.uint8]:
    """Return images uint8 [n, C, H, W], the samples `rows` of a data set, as epoch `epoch` (from 0) trains on them."""
    check_augmentation(name)
    return images if name is None else AUGMENTATIONS[name](images, draws_of(rows, seed, epoch))


def draws_of(rows: NDArray[np.int64], seed: int, epoch: int) -> NDArray[np.uint64]:
    """Return 64 random bits for each sample of `rows`: SplitMix64 (Steele et al., 2014) at the place of its index.

    It begins where the raw bits of `seed` and `epoch` say, whose stream numpy guarantees.
    """
    start = raw_bits(seed, AUGMENTING, epoch, count=1)
    state: NDArray[np.uint64] = start + (rows.astype(np.uint64) + np.uint64(1)) * GOLDEN  # modulo 2^64
    for shift, factor in MIX:
        state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
    state ^= state >> np.uint64(31)
    return state
