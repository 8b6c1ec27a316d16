"""The order of samples and their mini-batches: every sample once an epoch, and the same on every machine."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from strop.host.continual.visits import edges_of, order_of


@given(st.integers(1, 200), st.integers(1, 40))
def test_no_mini_batch_has_a_last_sample_alone(samples: int, batch: int) -> None:
    """Protects batch statistics, of which one sample has none; and no sample is left out."""
    edges = edges_of(samples, batch)
    sizes = np.diff(edges)
    assert edges[0] == 0 and edges[-1] == samples
    assert sizes.max() <= (3 if batch == 2 else batch), "a session has room for no more"
    assert batch == 1 or samples == 1 or sizes.min() >= 2
    assert len(sizes) in (samples // batch, -(-samples // batch))


@given(st.integers(0, 100), st.integers(0, 5), st.integers(0, 3), st.integers(0, 3))
def test_every_sample_is_visited_once(samples: int, seed: int, experience: int, epoch: int) -> None:
    """Protects samples from being trained twice, or never."""
    assert sorted(order_of(samples, seed, experience, epoch).tolist()) == list(range(samples))


def test_orders_are_the_same_on_every_machine() -> None:
    """A golden, and that seed, experience and epoch each matter."""
    assert order_of(8, 3, 0, 0).tolist() == GOLDEN
    orders = {tuple(order_of(20, *place).tolist()) for place in [(3, 0, 0), (4, 0, 0), (3, 1, 0), (3, 0, 1)]}
    assert len(orders) == 4


GOLDEN: list[int] = [5, 0, 6, 3, 4, 1, 2, 7]
