"""L1BN: statistics, running averages, inference and the extremes. Gradients are judged in test_gradient_sense.py."""

from __future__ import annotations

import numpy as np
import pytest

from strop.runtime.contract import C
from strop.runtime.reference import l1bn
from strop.runtime.reference.arithmetic import Integers

ONE = 1 << 20  # gamma, beta: LSB 2^-20


def integers(*values: int) -> Integers:
    return np.array(values, np.int64)


def test_statistics_by_hand() -> None:
    """Protects mu and sigma: 6 fraction bits, rounded half up, sigma about the rounded mean."""
    mu, sigma = l1bn.mean_and_deviation(np.array([[1, 2, 4], [-1, -2, -4]]))
    assert mu.tolist() == [149, -149]  # 7 * 64 / 3 = 149.33
    assert sigma.tolist() == [71, 71]  # (85 + 21 + 107) / 3 = 71
    assert l1bn.mean_and_deviation(np.array([[0, 1, 0, 0, 0, 0, 0, 0]]))[0].tolist() == [8]
    assert l1bn.mean_and_deviation(np.array([[0, -1] + [0] * 126]))[0].tolist() == [0]  # -64/128: the tie goes up


def test_statistics_in_a_stream_by_hand() -> None:
    """Protects 1.12: the running mean moves first, the deviation is about it, and both normalize."""
    x8, ex = integers(20).reshape(1, 1), integers(10)  # one sample of 20 * 2^-10; the running unit is 2^-16: 1 to 1
    found = l1bn.in_stream(x8, integers(640), integers(320), ex, first=False)
    assert [part.tolist() for part in found] == [[680], [338], [680], [338]]  # + 640/16; about 680: 600, + 280/16
    first = l1bn.in_stream(x8, integers(-5), integers(-5), ex, first=True)
    assert [part.tolist() for part in first] == [[1280], [1], [1280], [1]]  # copied: the sample itself, deviation 1
    far = l1bn.in_stream(np.array([[-127, 127]]), integers(2**31 - 1), integers(0), ex, first=False)
    assert far[2].tolist() == [32767]  # cut, far beyond int8
    assert far[1].tolist() == [2048] == far[3].tolist()  # both are 32767 away on average, a sixteenth of which counts


def test_a_constant_channel_has_deviation_one() -> None:
    """Protects the division: sigma never is 0, and the output is beta."""
    x8 = np.full((1, 10), 77, np.int64)
    mu, sigma = l1bn.mean_and_deviation(x8)
    assert (mu.tolist(), sigma.tolist()) == ([77 * 64], [1])
    m = l1bn.multiplier(integers(ONE), sigma, 3)
    assert m.tolist() == [2**17 - 1]  # clipped to 18 bits
    y8 = l1bn.normalize(x8, m, l1bn.constant(integers(3 * ONE), mu, m, 3), 0)
    assert (y8 == 24).all()  # beta = 3, exponent 3
    assert l1bn.signs(x8, mu).sum() == 0


@pytest.mark.parametrize("ey", [3, 5])
def test_output_is_the_float_layer_rounded(ey: int) -> None:
    """Protects Eq. 9 and 10: within one unit of the float64 layer, cut at 0 and 127."""
    rng = np.random.default_rng(ey)
    x8 = np.clip(np.rint(rng.normal([[3], [-40]], [[25], [9]], (2, 500))), -127, 127).astype(np.int64)
    gamma, beta = np.array([1.3, -0.7]), np.array([0.2, -0.1])
    mu, sigma = l1bn.mean_and_deviation(x8)
    m = l1bn.multiplier(np.rint(gamma * ONE).astype(np.int64), sigma, ey)
    y8 = l1bn.normalize(x8, m, l1bn.constant(np.rint(beta * ONE).astype(np.int64), mu, m, ey), 0)
    centered = x8 - x8.mean(axis=1, keepdims=True)
    want = gamma[:, None] * centered / np.abs(centered).mean(axis=1, keepdims=True) + beta[:, None]
    assert np.abs(y8 - np.clip(want * 2**ey, 0, 127)).max() < 1.0
    assert y8.min() == 0


def test_activation_bounds() -> None:
    """Protects the clamp: ReLU cuts at 0, no activation at -127, both at 127."""
    x8, m, c = np.array([[-127, -1, 0, 1, 127]]), integers(2 << l1bn.S), integers(0)
    assert l1bn.normalize(x8, m, c, l1bn.lowest(C.ACTIVATION_RELU)).tolist() == [[0, 0, 0, 2, 127]]
    assert l1bn.normalize(x8, m, c, l1bn.lowest(C.ACTIVATION_NONE)).tolist() == [[-127, -2, 0, 2, 127]]


def test_running_statistics_average_and_invert() -> None:
    """Protects Algorithm 1: first the mini-batch's value, then 1/16 of the difference; inference gets it back."""
    ex = integers(2, 9, 14)
    mu, sigma = integers(-300, 8000, 5), integers(700, 1, 32)
    running_mu, running_sigma = l1bn.to_running(mu, ex), l1bn.to_running(sigma, ex)
    assert running_mu.tolist() == [-300 << 8, 8000 << 1, 0]  # 5 / 16 is below one half
    assert running_sigma.tolist() == [700 << 8, 1 << 1, 2]
    got_mu, got_sigma = l1bn.from_running(running_mu, running_sigma, ex)
    assert got_mu.tolist() == [-300, 8000, 0]
    assert got_sigma.tolist() == [700, 1, 32]
    assert l1bn.advance_running(integers(5, -100), integers(16, 21), first=True).tolist() == [16, 21]
    assert l1bn.advance_running(integers(0, -100), integers(24, 20), first=False).tolist() == [2, -92]  # 1.5, 7.5


def test_inference_bounds_the_statistics() -> None:
    """Protects the division of inference after a shift that moved far: sigma stays in [1, 32767], mu in 16 bits."""
    mu, sigma = l1bn.from_running(integers(2**31 - 1, -(2**31) + 1, 3), integers(0, 2**31 - 1, -5), integers(12, 12, 0))
    assert mu.tolist() == [32767, -32767, 0]
    assert sigma.tolist() == [1, 32767, 1]


def test_mask_needs_both_bounds() -> None:
    """Protects long runs: no gradient where the clamp cut, neither below nor above."""
    e8, y8 = integers(1, 2, 3, 4, 5), integers(-127, 0, 1, 126, 127)
    assert l1bn.masked(e8, y8, 0).tolist() == [0, 0, 3, 4, 0]
    assert l1bn.masked(e8, y8, -127).tolist() == [0, 2, 3, 4, 0]


def test_backward_by_hand() -> None:
    """Protects the integers of steps 2 to 4 on a channel small enough to compute by hand."""
    x8, dy = np.array([[-3, -1, 1, 7]]), np.array([[10, 0, -5, 2]])
    mu, sigma = l1bn.mean_and_deviation(x8)
    assert (mu.tolist(), sigma.tolist()) == ([64], [192])  # 1 and (4 + 2 + 0 + 6) / 4
    kept = l1bn.Statistics(mu, sigma, integers(1000), l1bn.signs(x8, mu).sum(axis=1))
    assert kept.sign_sum.tolist() == [-1]
    dgamma, dbeta = l1bn.parameter_gradients(dy, x8, kept)
    assert dbeta.tolist() == [7]
    assert dgamma.tolist() == [-9]  # (-21 * 64 - 64 * 7) / 192 = -9.33
    # B = -9 * 256 / 4 = -576; A = 448 - rdiv(576, 4) = 304; P = 1000 * 304 / 256 = 1187.5 -> 1188; Q = -2250
    v = l1bn.input_gradient(dy, x8, kept, dgamma, dbeta)
    assert v.tolist() == [[10000 - 1188 - 2250, -1188 - 2250, -5000 - 1188, 2000 - 1188 + 2250]]
    assert l1bn.scaled(dy, kept).tolist() == [[10000, 0, -5000, 2000]]
