"""Protects the measurement behind Figure 3: both deviations of a layer's input, by their definitions."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'strop[torch]'")
sys.path.insert(0, str(Path(__file__).parent))

from norm_deviations import Deviations, measure_deviations, summary  # noqa: E402
from strop.host.pytorch import float_twin  # noqa: E402
from strop.runtime.errors import InputError  # noqa: E402
from strop.runtime.graph import L1BN, Conv2d, Flatten, Linear, NetworkGraph, ReLU  # noqa: E402

GRAPH = NetworkGraph(
    "one",
    (1, 4, 4),
    (
        Conv2d(8, (4, 4)),
        L1BN(),
        ReLU(),
        Flatten(),
        Linear(2),
    ),
)


def test_both_deviations_by_hand():
    """Of one mini-batch that is the whole data set: numpy's std, and the mean distance from the mean."""
    images = np.random.default_rng(0).integers(0, 256, (50, 1, 4, 4)).astype(np.uint8)
    twin = float_twin(GRAPH).train()
    twin(torch.from_numpy(images))
    before = {name: tensor.clone() for name, tensor in twin.state_dict().items()}
    (found,) = measure_deviations(twin, images, batches=3, batch=50)
    x = twin.layers["conv1"](twin._read(torch.from_numpy(images))).detach().numpy()[:, :, 0, 0]
    np.testing.assert_allclose(found.l2, x.std(0), rtol=1e-5)
    np.testing.assert_allclose(found.l1, np.abs(x - x.mean(0)).mean(0), rtol=1e-5)
    assert twin.training and all(torch.equal(t, before[name]) for name, t in twin.state_dict().items())
    with pytest.raises(InputError, match="at least a mini-batch of 51"):
        measure_deviations(twin, images, batch=51)


def test_sums_of_many_pixels_are_nearly_normal():
    """Theorem 1 on what a convolution gives of noise, averaged over mini-batches of other samples."""
    images = np.random.default_rng(1).integers(0, 256, (2000, 1, 4, 4)).astype(np.uint8)
    layers = measure_deviations(float_twin(GRAPH), images, batches=15, batch=200)
    found = summary(layers)
    assert found["mean"] == pytest.approx(math.sqrt(math.pi / 2), rel=0.02) and found["channels"] == 8
    assert found["q05"] <= found["median"] <= found["q95"] and found["dead"] == 0


def test_dead_channels_are_counted_and_left_out():
    """A channel that never moves has no ratio."""
    found = summary((Deviations("bn1", np.array([1.2, 0.0, 1.4]), np.array([1.0, 0.0, 1.0])),))
    assert found["dead"] == 1 and found["mean"] == 1.3
