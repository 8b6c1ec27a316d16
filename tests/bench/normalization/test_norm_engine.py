"""The two norms of the engine against float64: what the comparison of their speeds measures is right."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from norm_engine import OUTPUT_EXPONENT, NormLayerRun, boards, compile_engine, instruction_sets, normal_values
from strop.runtime.contract import C
from strop.runtime.reference import l1bn
from strop.runtime.reference.arithmetic import dither, dsh

SHAPES = [(6, 19, 5), (4, 16, 1), (9, 40, 3)]  # channels, batch, side: full and partly empty quads and image groups
SHIFT = 10
pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """The compiled engine."""
    return compile_engine(tmp_path_factory.mktemp("norm_engine"))


def float_forward(norm, values):
    """Return y, xhat and sigma of float64 batch norm: Eq. 4 to 11."""
    x = values.x.astype(np.float64)
    centered = x - x.mean((1, 2, 3), keepdims=True)
    if norm == "l1":
        sigma = np.abs(centered).mean((1, 2, 3), keepdims=True)
    else:
        sigma = np.sqrt((centered**2).mean((1, 2, 3), keepdims=True))
    xhat = centered / sigma
    y = values.gamma.reshape(-1, 1, 1, 1) * xhat + values.beta.reshape(-1, 1, 1, 1)
    return y, xhat, sigma


def float_gradient(norm, values, dy):
    """Return dL/dx, for L1 by Eq. 17 to 20, for L2 as Ioffe & Szegedy derive it, of a masked dy."""
    _, xhat, sigma = float_forward(norm, values)
    direction = np.sign(xhat) if norm == "l1" else xhat
    axes = {"axis": (1, 2, 3), "keepdims": True}
    inner = direction - direction.mean(**axes)
    gradient = dy - dy.mean(**axes) - (dy * xhat).mean(**axes) * inner
    return values.gamma.reshape(-1, 1, 1, 1) / sigma * gradient


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("shape", SHAPES)
def test_both_norms_are_float64_norms_within_one_step(engine, norm, shape):
    """y to the nearest step, dx to one step of the dithered grid and on average exactly, for every instruction set."""
    values = normal_values(*shape)
    results = []
    for isa in instruction_sets(engine):
        layer = NormLayerRun(engine, isa, values, SHIFT)
        layer.run(norm, "forward")
        layer.run(norm, "backward")
        y8, dx8 = layer.map("y"), layer.map("dx")
        results.append((y8.tobytes(), dx8.tobytes(), layer.statistics().tobytes(), layer.row("grad_gamma").tobytes()))
        assert layer.padding_is_zero()

    y, xhat, sigma = float_forward(norm, values)
    assert np.abs(layer.statistics()[:, 1] / 64 - sigma.ravel()).max() <= 1 / 64
    steps = np.clip(y * 2**OUTPUT_EXPONENT, 0, 127)
    assert np.abs(y8 - steps).max() < 0.55

    dy = np.where((y8 > 0) & (y8 < 127), values.error, 0).astype(np.float64)
    np.testing.assert_allclose(layer.row("grad_gamma"), (dy * xhat).sum((1, 2, 3)), rtol=0.01, atol=3)
    np.testing.assert_array_equal(layer.row("grad_beta"), dy.sum((1, 2, 3)))
    # the engine's v has S + ey bits of fraction more than dL/dx, and dx8 is v shifted
    dx = float_gradient(norm, values, dy) * 2.0 ** (12 + OUTPUT_EXPONENT - SHIFT)
    error = dx8 - np.clip(dx, -127, 127)
    assert np.abs(error).max() < 1.15
    assert abs(error.mean()) < 0.08

    assert len(set(results)) == 1


@pytest.mark.parametrize("shape", SHAPES)
def test_l1_is_numerics_md_to_the_byte(engine, shape):
    """What is timed as L1BN is the kernel's: it computes what NUMERICS.md says."""
    values, shift = normal_values(*shape), SHIFT - 2  # so small that some values saturate
    flat = (shape[0], -1)
    x8 = values.x.reshape(flat).astype(np.int64)
    gamma, beta = (np.rint(p * 2.0**C.PARAMETER_FRACTION).astype(np.int64) for p in (values.gamma, values.beta))
    mu, sigma = l1bn.mean_and_deviation(x8)
    m = l1bn.multiplier(gamma, sigma, OUTPUT_EXPONENT)
    kept = l1bn.Statistics(mu, sigma, m, l1bn.signs(x8, mu).sum(axis=1))
    y8 = l1bn.normalize(x8, m, l1bn.constant(beta, mu, m, OUTPUT_EXPONENT), 0)
    dy = l1bn.masked(values.error.reshape(flat).astype(np.int64), y8, 0)
    v = l1bn.input_gradient(dy, x8, kept, *l1bn.parameter_gradients(dy, x8, kept))
    dx8 = np.clip(dsh(v, shift, dither(C.DITHER_INCREMENT, v.shape)), -127, 127)
    over, half = ((np.abs(v) > bound).sum() for bound in (127 << shift, (127 << shift) >> 1))
    assert over > 0
    for isa in instruction_sets(engine):
        layer = NormLayerRun(engine, isa, values, shift)
        layer.run("l1", "forward")
        layer.run("l1", "backward")
        np.testing.assert_array_equal(layer.map("y").reshape(flat), y8)
        np.testing.assert_array_equal(layer.map("dx").reshape(flat), dx8)
        assert layer.saturated() == (over, half)


def test_square_roots_are_exact_for_constant_and_extreme_channels(engine):
    """A constant channel has sigma 1 (2^-6 of a step), two extremes 127: no variance is out of the root's range."""
    values = normal_values(2, 16, 2)
    values.x[0] = -77
    values.x[1, ::2], values.x[1, 1::2] = 127, -127
    layer = NormLayerRun(engine, "portable", values, SHIFT)
    layer.run("l2", "forward")
    assert layer.statistics()[:, :2].tolist() == [[-77 * 64, 1], [0, 127 * 64]]


def test_the_model_knows_the_pass_that_l2_saves(engine):
    """L2's forward pass reads a map once less than L1's, the backward passes are alike, on every board."""
    values = normal_values(8, 32, 16)
    layer = NormLayerRun(engine, "portable", values, SHIFT)
    assert len(boards(engine)) >= 4
    for index, board in enumerate(boards(engine)):
        l1, l2 = (layer.cycles(index, norm, "forward") for norm in ("l1", "l2"))
        assert l1 - l2 >= values.x.size / 16, board
        assert layer.cycles(index, "l1", "backward") == layer.cycles(index, "l2", "backward") > 0, board
