"""How the samples of an experience are visited: in which order, and which go together in a mini-batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from strop.host.order import raw_bits

VISITING = 5  # stream of the seed: the order of an epoch


def order_of(samples: int, seed: int, experience: int, epoch: int) -> NDArray[np.int64]:
    """Return the order, int64 [samples], in which epoch `epoch` of experience `experience` (from 0) visits them."""
    return np.argsort(raw_bits(seed, VISITING, experience, epoch, count=samples), kind="stable").astype(np.int64)


def edges_of(samples: int, batch: int) -> list[int]:
    """Return where mini-batches of `batch` begin among `samples`, and the end; none has a last sample alone.

    Unless `batch` or `samples` is 1. Mini-batches of two may end with one of three.
    """
    edges = [*range(0, samples, batch), samples]
    if batch > 1 and len(edges) > 2 and edges[-1] - edges[-2] == 1:
        if batch == 2:
            del edges[-2]  # three go together
        else:
            edges[-2] -= 1
    return edges
