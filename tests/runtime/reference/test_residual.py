"""Residual sums against exact fractions: rounding, clamp, mask, and two gradients of unlike exponents."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest

from strop.runtime.reference import residual

RAMP = np.arange(-127, 128)


@pytest.mark.parametrize(("ea", "eb", "ey"), [(3, 3, 3), (5, 3, 4), (2, 7, 3), (3, -1, 0), (30, 3, 3)])
@pytest.mark.parametrize("lo", [-127, 0])
def test_the_sum_is_that_of_real_numbers(ea: int, eb: int, ey: int, lo: int) -> None:
    """Protects the order: each summand is rounded half up to the sum's grid, then both are added and clamped once."""
    a8, b8 = RAMP, RAMP[::-1] // 2
    want = []
    for a, b in zip(a8.tolist(), b8.tolist(), strict=True):
        parts = (floor(Fraction(a) * Fraction(2) ** (ey - ea) + Fraction(1, 2)),)
        parts += (floor(Fraction(b) * Fraction(2) ** (ey - eb) + Fraction(1, 2)),)
        want.append(min(max(sum(parts), lo), 127))
    assert residual.add_forward(a8, ea, b8, eb, ey, lo).tolist() == want


def test_summands_do_not_saturate_before_they_are_added() -> None:
    """Protects large summands that cancel."""
    got = residual.add_forward(np.array([100, 100]), 0, np.array([-99, 100]), 0, 2, -127)
    assert got.tolist() == [4, 127]


def test_the_gradient_passes_where_nothing_was_cut() -> None:
    """Protects the mask at both of its ends."""
    y8, e8 = np.array([-127, -126, 0, 1, 126, 127]), np.array([1, 2, 3, 4, 5, 6])
    assert residual.add_backward(e8, y8, 0).tolist() == [0, 0, 0, 4, 5, 0]
    assert residual.add_backward(e8, y8, -127).tolist() == [0, 2, 3, 4, 5, 0]


@pytest.mark.parametrize("distance", [0, 1, 4, 17, 24, 40])
def test_the_finer_gradient_is_dithered_onto_the_coarser_grid(distance: int) -> None:
    """Protects the sum of gradients: over a period of the dither it is right in the mean, whichever is finer."""
    r = np.arange(65536) * 0x9E37 & 0xFFFF
    fine, coarse = np.full(65536, 93), np.full(65536, -20)
    one, e = residual.add_gradient(coarse, 5, fine, 5 + distance, r)
    other, e_other = residual.add_gradient(fine, 5 + distance, coarse, 5, r)
    assert (e, e_other) == (5, 5)
    assert np.array_equal(one, other)
    assert one.mean() == pytest.approx(-20 + 93 * 2.0 ** -min(distance, 24), abs=1e-4)


def test_the_sum_of_gradients_saturates() -> None:
    """Protects int8: -128 and beyond are never written."""
    got, _ = residual.add_gradient(np.array([127, -127]), 3, np.array([127, -127]), 3, np.zeros(2, np.int64))
    assert got.tolist() == [127, -127]
