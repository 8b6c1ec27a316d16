"""Protects comparisons with others: the networks declared for them are as large as their authors say."""

from __future__ import annotations

import numpy as np

from networks import es_fl
from strop.runtime.state import StateLayout


def test_es_fl_has_its_parameters() -> None:
    """105,866 weights and biases, as its authors count them; the gammas of L1BN come on top."""
    sizes = {tensor.name: int(np.prod(tensor.shape)) for tensor in StateLayout(es_fl()).stored}
    assert sum(size for name, size in sizes.items() if name.endswith((".weight", ".bias", ".beta"))) == 105_866
    assert sum(size for name, size in sizes.items() if name.endswith(".gamma")) == 16 + 32 + 64
