"""Max pooling against loops, its ties and overlaps; global average pooling against exact quotients."""

from __future__ import annotations

from itertools import product

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
