"""Max pooling against loops, its ties and overlaps; average pooling and upsampling against exact quotients."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import floor

import numpy as np
import pytest

from strop.runtime.reference import pooling
from strop.runtime.reference.windows import Geometry

CASES = {
    "halving": Geometry((2, 2), (2, 2), (0, 0), (6, 8), (3, 4)),
    "remainder": Geometry((2, 3), (2, 3), (0, 0), (5, 8), (2, 2)),  # the last row and columns belong to no window
    "overlapping": Geometry((3, 3), (2, 2), (1, 1), (7, 6), (4, 3)),
    "oblong": Geometry((1, 4), (1, 2), (0, 2), (3, 7), (3, 4)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("spread", [2, 127])
def test_max_pooling_is_the_first_maximum_inside_the_map(name: str, spread: int) -> None:
    """Protects ties (a spread of 2 has many) and windows that leave the map, where negative maxima must survive."""
    g = CASES[name]
    rng = np.random.default_rng(spread)
    y8 = rng.integers(-spread, 1, (3, 2, *g.input)).astype(np.int8)
    e8 = rng.integers(-60, 61, (3, 2, *g.output))
    maxima, back = np.zeros(e8.shape, np.int64), np.zeros(y8.shape, np.int64)
    for c, n, p, q in product(*map(range, e8.shape)):
        places = [
            (h, w)
            for h in range(p * g.stride[0] - g.pad[0], p * g.stride[0] - g.pad[0] + g.kernel[0])
            for w in range(q * g.stride[1] - g.pad[1], q * g.stride[1] - g.pad[1] + g.kernel[1])
            if 0 <= h < g.input[0] and 0 <= w < g.input[1]
        ]
        best = max(places, key=lambda place: y8[(c, n, *place)])  # max keeps the first of equals
        maxima[c, n, p, q] = y8[(c, n, *best)]
        back[(c, n, *best)] += e8[c, n, p, q]
    assert np.array_equal(pooling.max_forward(y8, g), maxima)
    assert np.array_equal(pooling.max_backward(e8, y8, g), np.clip(back, -127, 127))


def test_overlapping_errors_saturate() -> None:
    """Protects the sum: it is clamped once, after all errors have arrived."""
    g = Geometry((2, 2), (1, 1), (0, 0), (3, 3), (2, 2))
    y8 = np.zeros((1, 1, 3, 3), np.int8)
    y8[0, 0, 1, 1] = 9  # the maximum of all four windows
    for errors, want in (([100, 100, 100, -120], 127), ([-100, -100, -100, 50], -127), ([127, 127, -127, -120], 7)):
        back = pooling.max_backward(np.array(errors).reshape(1, 1, 2, 2), y8, g)
        assert back[0, 0, 1, 1] == want
        assert np.count_nonzero(back) == 1


def test_global_average_rounds_half_up() -> None:
    """Protects ties of negative means."""
    y8 = np.array([[1, 2, 2, 1], [-1, -2, -2, -1], [-1, -2, -2, -2], [127, 127, 127, 127]]).reshape(4, 1, 2, 2)
    assert pooling.global_average_forward(y8, 0).ravel().tolist() == [2, -1, -2, 127]


def test_the_gain_comes_before_the_rounding() -> None:
    """Protects what the gain is for: fractions of a small mean are kept, and what is too large saturates."""
    y8 = np.array([[1, 2, 2, 1], [-1, -2, -2, -2], [0, 0, 0, 1], [127, 127, 127, 127]]).reshape(4, 1, 2, 2)
    assert pooling.global_average_forward(y8, 2).ravel().tolist() == [6, -7, 1, 127]


@pytest.mark.parametrize("name", CASES)
def test_average_pooling_is_that_of_real_numbers(name: str) -> None:
    """Protects the mean with padding counted as 0, and what each position gets back from all windows over it."""
    g = CASES[name]
    rng = np.random.default_rng(g.kernel)
    y8, e8 = rng.integers(-127, 128, (3, 2, *g.input)), rng.integers(-60, 61, (3, 2, *g.output))
    area = g.kernel[0] * g.kernel[1]
    sums, arriving = np.zeros(e8.shape, np.int64), np.zeros(y8.shape, np.int64)
    for c, n, p, q, r, s in product(*map(range, (*e8.shape, *g.kernel))):
        h, w = p * g.stride[0] - g.pad[0] + r, q * g.stride[1] - g.pad[1] + s
        if 0 <= h < g.input[0] and 0 <= w < g.input[1]:
            sums[c, n, p, q] += y8[c, n, h, w]
            arriving[c, n, h, w] += e8[c, n, p, q]
    means = [floor(Fraction(int(total), area) + Fraction(1, 2)) for total in sums.ravel()]
    assert pooling.average_forward(y8, g).ravel().tolist() == means
    r = np.arange(y8.size).reshape(y8.shape) * 0x9E37 & 0xFFFF
    spread, gained = pooling.average_backward(e8, g, r)
    exact = arriving / area * 2.0**gained
    off = np.abs(spread - np.clip(exact, -127, 127))
    assert off.max() < 1 + np.abs(exact).max() / 256  # the dither, and what the reciprocal lacks


def test_windows_of_powers_of_two_hand_the_error_on() -> None:
    """Protects the exponent: without overlap nothing is rounded, whatever the dither."""
    g = Geometry((2, 4), (2, 4), (0, 0), (5, 8), (2, 2))
    e8 = np.array([-127, 1, 0, 127]).reshape(1, 1, 2, 2)
    spread, gained = pooling.average_backward(e8, g, np.full((1, 1, 5, 8), 0xFFFF))
    assert gained == 3
    assert spread[0, 0].tolist() == [[-127] * 4 + [1] * 4] * 2 + [[0] * 4 + [127] * 4] * 2 + [[0] * 8]


@pytest.mark.parametrize(("rows", "columns", "k"), [(1, 1, 0), (2, 2, 2), (1, 3, 2), (3, 2, 3), (4, 4, 4)])
def test_upsampling_and_back(rows: int, columns: int, k: int) -> None:
    """Protects the order of a block's values, and its sum: right in the mean over a period of the dither."""
    a8 = np.array([[1, -2, 3], [-4, 5, -6]]).reshape(1, 1, 2, 3)
    large = pooling.upsample_forward(a8, rows, columns)
    for y, x in product(range(2 * rows), range(3 * columns)):
        assert large[0, 0, y, x] == a8[0, 0, y // rows, x // columns]
    samples = 65536
    e8 = np.broadcast_to(np.arange(rows * columns).reshape(1, 1, rows, columns) + 20, (1, samples, rows, columns))
    r = (np.arange(samples) * 0x9E37 & 0xFFFF).reshape(1, samples, 1, 1)
    back, lost = pooling.upsample_backward(e8, r)
    assert lost == k
    assert back.mean() * 2.0**lost == pytest.approx(e8[0, 0].sum(), abs=0.01)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 2), (3, 5), (7, 7), (64, 64)])
def test_average_gradient_has_the_right_mean(height: int, width: int) -> None:
    """Protects the reciprocal and the exponent: over a period of the dither, the mean is E / (H*W)."""
    e8, positions = 93, 65536
    samples = -(-positions // (height * width))
    r = (np.arange(samples * height * width) * 0x9E37 & 0xFFFF).reshape(1, samples, height, width)
    spread, gained = pooling.global_average_backward(np.full((1, samples, 1, 1), e8), r)
    assert spread.max() <= 127
    real = spread.ravel()[:positions].mean() * 2.0**-gained
    assert real == pytest.approx(e8 / (height * width), rel=0.005)
    assert spread.max() >= 46  # at least six bits of the int8 are in use
