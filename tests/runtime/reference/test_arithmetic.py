"""Rounding, saturation, dither and shift control: every tie, both signs, and the ends of the ranges."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest

from strop.runtime.reference.arithmetic import (
    Site,
    advance_dither,
    bitlen,
    bitlens,
    control,
    dither,
    dsh,
    rdiv,
    rsh,
    sat,
    sat32,
)


def integers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def rounded_half_up(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))


@pytest.mark.parametrize(
    ("x", "s", "want"),
    [
        (5, 1, 3),  # 2.5: a tie goes up
        (-5, 1, -2),  # -2.5: up means towards plus infinity
        (-6, 2, -1),  # -1.5
        (-7, 2, -2),  # -1.75
        (6, 2, 2),  # 1.5
        (3, 0, 3),
        (3, -2, 12),
        (-3, -16, -3 << 16),
        (-3, -40, -3 << 16),  # the shift is clipped to -16
        (2**60, 62, 0),  # 1/4
        (2**61, 62, 1),  # 1/2
        (2**61, 90, 1),  # the shift is clipped to 62
    ],
)
def test_rsh_rounds_half_up_and_clips_its_shift(x: int, s: int, want: int) -> None:
    """Protects the tie of a right shift on both signs, and the range of shifts."""
    assert rsh(integers(x), s)[0] == want


def test_rsh_takes_a_shift_for_each_channel() -> None:
    """Protects the steps that shift by a channel's own exponent, left and right in one call."""
    assert rsh(integers(7, 7, -7), integers(1, -1, 1)).tolist() == [4, 14, -3]


@pytest.mark.parametrize("b", [1, 2, 3, 7, 10, 128])
def test_rdiv_rounds_half_up_for_either_sign(b: int) -> None:
    """Protects division of negative sums, where truncation and floor differ."""
    values = range(-3 * b - 1, 3 * b + 2)
    want = [rounded_half_up(Fraction(a, b)) for a in values]
    assert rdiv(integers(*values), b).tolist() == want


def test_saturation_is_symmetric() -> None:
    """Protects the bounds: neither -128 nor -2^31 is ever produced."""
    assert sat(integers(-1000, -128, -127, 127, 128)).tolist() == [-127, -127, -127, 127, 127]
    low, high = -(2**31 - 1), 2**31 - 1
    assert sat32(integers(-(2**31), low, high, 2**31)).tolist() == [low, low, high, high]


def test_bitlen() -> None:
    """Protects the first shift of a site: powers of two are where an estimate by logarithms goes wrong."""
    assert [bitlen(n) for n in (0, 1, 127, 128, 2**31 - 1)] == [0, 1, 7, 8, 31]
    near = integers(0, *(2**k + d for k in range(2, 52) for d in (-1, 0, 1)))
    assert bitlens(near).tolist() == [int(n).bit_length() for n in near]


def test_dither_is_a_counter_times_an_odd_constant() -> None:
    """Protects the formula: offset from the upper half of the counter, 16 bits, channel-major order."""
    counter = advance_dither(1)
    assert counter == 1664525 + 1013904223
    assert advance_dither(2**32 - 1) == (1013904223 - 1664525) % 2**32
    r = dither(counter, (2, 3))
    offset = counter >> 16
    assert r.ravel().tolist() == [((offset + i) * 0x9E37) % 65536 for i in range(6)]


@pytest.mark.parametrize("s", [1, 8, 16])
def test_dithered_shift_is_unbiased_over_a_period(s: int) -> None:
    """Protects the mean: over all 65536 dither values the rounded results average to the exact quotient."""
    r = dither(0, (65536,))
    for x in (5, -5, 2**s - 1, -(2**s)):
        assert dsh(np.full(65536, x, np.int64), s, r).sum() * 2**s == x * 65536


def test_dithered_shift_widens_the_dither_above_sixteen_bits() -> None:
    """Protects shifts above 16, where r is shifted left, and shift 0, which leaves x alone."""
    r = integers(0, 1, 0xFFFF)
    assert dsh(integers(-3, 0, 5), 0, r).tolist() == [-3, 0, 5]
    x = 2**20 - (0xFFFF << 4)  # the largest dither just carries
    assert dsh(integers(x - 1, x - 1, x - 1), 20, r).tolist() == [0, 0, 0]
    assert dsh(integers(x, x, x), 20, r).tolist() == [0, 0, 1]


def used(s: int) -> Site:
    return Site(1, s, 9, 0, 0)


def test_a_new_site_takes_its_shift_from_the_tensor() -> None:
    """Protects the first step: the largest magnitude fits, and the next step keeps the shift whatever the counts."""
    assert control(Site(0, 7, 5, 3, 3), integers(0, -256), 11) == (2, Site(1, 2, 2, 0, 1))
    assert control(Site(0, 0, 0, 0, 0), integers(0, 100), 11) == (0, Site(1, 0, 0, 0, 1))
    assert control(Site(0, 0, 0, 0, 0), integers(255, 1), 11) == (1, Site(1, 1, 1, 1, 1))  # 255 > 254: cut by one


def test_control_follows_the_rate_of_saturation() -> None:
    """Protects the rule: up above the tolerated count, down when half the range would do, otherwise still."""
    n = 4096  # tolerates two at 2^-11
    v = np.zeros(n, np.int64)
    v[:2] = 255  # over 127 << 1
    assert control(used(1), v, 11) == (1, Site(1, 0, 1, 2, 2))  # two are tolerated, and at half the range too
    v[2] = -255
    assert control(used(1), v, 11) == (1, Site(1, 2, 1, 3, 3))
    v[:3] = 254  # at the limit, not over it
    assert control(used(1), v, 11) == (1, Site(1, 1, 1, 0, 3))
    v[:3] = 127  # half the limit of shift 1
    assert control(used(1), v, 11) == (1, Site(1, 0, 1, 0, 0))
    assert control(used(0), np.zeros(n, np.int64), 11)[1].next == 0  # never below 0
    assert control(used(0), v, 11)[1] == Site(1, 0, 0, 0, 3)  # half of 127 is 63


def test_control_never_exceeds_24() -> None:
    """Protects the largest shift: it brings any int32 into int8, and a tensor beyond that moves it no further."""
    assert control(Site(0, 0, 0, 0, 0), integers(-(2**31 - 1)), 13) == (24, Site(1, 24, 24, 1, 1))
    v = np.full(8, 2**40, np.int64)
    assert control(used(23), v, 13) == (23, Site(1, 24, 23, 8, 8))
    assert control(used(24), v, 13) == (24, Site(1, 24, 24, 8, 8))


def test_shift_of_an_error_follows_what_arrives() -> None:
    """Protects deep networks: a site keeps its grid when sites above it change theirs, within 0 to 24."""
    site = Site(1, 7, 7, 0, 0, reference=10)
    small = integers(100)
    assert control(site, small << 9, 13, exponent=12)[0] == 9
    assert control(site, small << 3, 13, exponent=6)[0] == 3
    assert control(site, small << 7, 13, exponent=10)[0] == 7
    assert control(site, small, 13, exponent=1)[0] == 0
    assert control(site, small, 13, exponent=40)[0] == 24
    assert control(site, small << 9, 13, exponent=12)[1].reference == 12
    assert control(Site(0, 7, 7, 0, 0, 10), small, 13, exponent=5)[1] == Site(1, 0, 0, 0, 1, 5)
    assert control(site, small, 11)[0] == 7  # of a forward pass: it does not move with anything
