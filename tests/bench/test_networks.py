"""Protects comparisons with others: the networks declared for them are as large as their authors say."""

from __future__ import annotations

import numpy as np

from networks import cl_cnn, es_fl
from strop.runtime.cut import cut
from strop.runtime.state import StateLayout


def test_es_fl_has_its_parameters() -> None:
    """105,866 weights and biases, as its authors count them; the gammas of L1BN come on top."""
    sizes = {tensor.name: int(np.prod(tensor.shape)) for tensor in StateLayout(es_fl()).stored}
    assert sum(size for name, size in sizes.items() if name.endswith((".weight", ".bias", ".beta"))) == 105_866
    assert sum(size for name, size in sizes.items() if name.endswith(".gamma")) == 16 + 32 + 64


def test_cl_cnn_has_a_front_of_two_convolutions() -> None:
    """What the continual-learning benches freeze: both convolutions and nothing else, 1,568 features behind them."""
    front = cut(cl_cnn(), "pool2")
    assert front.frozen == {"conv1", "conv2"} and front.rear.input == (32, 7, 7)
    weights = sum(int(np.prod(node.weight_shape)) for node in cl_cnn().weighted)
    assert weights == 9 * 16 + 9 * 16 * 32 + 1568 * 128 + 128 * 10
