"""Everything that chance decides in a run, from raw generator bits, whose stream numpy guarantees for ever (NEP 19).

`Generator.permutation` and `.uniform` may change between numpy versions; a resumed run must not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def _raw(seed: int, *path: int) -> np.random.PCG64:
    return np.random.PCG64(np.random.SeedSequence([seed, *path]))


def epoch_order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order, int64 [count], in which epoch `epoch` (from 0) of a run with `seed` visits its samples."""
    return np.argsort(_raw(seed, 1, epoch).random_raw(count), kind="stable").astype(np.int64)


def uniform(shape: tuple[int, ...], bound: float, seed: int, stream: int) -> NDArray[np.float64]:
    """Return float64 values, uniform in [-bound, bound), from stream `stream` of `seed`."""
    count = int(np.prod(shape))
    unit = (_raw(seed, 2, stream).random_raw(count) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    scaled: NDArray[np.float64] = (2.0 * unit - 1.0) * bound
    return scaled.reshape(shape)


def raw_bits(seed: int, *path: int, count: int) -> NDArray[np.uint64]:
    """Return `count` words of 64 random bits, from the place in the streams of `seed` that `path` names."""
    return _raw(seed, *path).random_raw(count)
