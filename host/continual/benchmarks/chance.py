"""What chance decides in a benchmark: from raw PCG64 bits, whose stream numpy guarantees for ever (NEP 19).

The streams differ from those of a training run with the same seed (host/order.py), so that which images a benchmark
holds says nothing about the order in which a learner visits them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

APART = 0x62656E63686D61726B  # "benchmark" in ASCII: no other stream of strop begins with it
CLASS_ORDER, SAMPLES, MIXING = range(3)  # the streams of one seed


def raw(count: int, seed: int, stream: int, part: int = 0) -> NDArray[np.uint64]:
    """Return `count` raw words of 64 bits, for part `part` of a stream of `seed`."""
    return np.random.PCG64(np.random.SeedSequence([APART, seed, stream, part])).random_raw(count)


def order(count: int, seed: int, stream: int, part: int = 0) -> NDArray[np.int64]:
    """Return 0 to `count` - 1 in an order that chance decides, int64."""
    return np.argsort(raw(count, seed, stream, part), kind="stable").astype(np.int64)
