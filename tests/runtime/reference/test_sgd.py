"""The update against exact rational arithmetic, its saturation, and the int8 view of the weights."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np

from strop.runtime.reference import sgd
from strop.runtime.reference.arithmetic import Integers
from strop.runtime.reference.sgd import Factor

TOP = 2**31 - 1


def half_up(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))


def test_update_is_momentum_sgd() -> None:
    """Protects the order and the signs of the four terms: exact fractions, rounded once each."""
    rng = np.random.default_rng(5)
    w, v, dw = (rng.integers(-(2**b), 2**b, (3, 4)) for b in (26, 24, 22))
    e = np.array([[9], [12], [30]])
    got_w, got_v = sgd.update(
        w,
        v,
        dw,
        e,
        fraction=24,
        reciprocal=Factor(21845, 21),
        decay=26,
        weight_decay=Factor(131, 18),
        learning_rate=Factor(205, 11),
    )
    for index in np.ndindex(3, 4):
        gradient = half_up(Fraction(int(dw[index]) * 21845) * Fraction(2) ** int(24 - 21 - e[index[0], 0]))
        kept = int(v[index]) - half_up(Fraction(26 * int(v[index]), 256))
        new_v = kept + gradient + half_up(Fraction(131 * int(w[index]), 2**18))
        assert got_v[index] == new_v
        assert got_w[index] == int(w[index]) - half_up(Fraction(205 * new_v, 2**11))


def test_pull_by_hand() -> None:
    """Protects 1.13: a power of two of the distance, rounded half up, is taken off; 0 pulls nothing."""
    w, a = np.array([100, 100, 100, -100, 7, 7]), np.array([0, 92, 0, 0, 0, 0])
    k = np.array([2, 2, 0, 3, 1, 31])
    assert sgd.pulled(w, a, k).tolist() == [75, 98, 100, -88, 3, 7]
    ends = sgd.pulled(np.array([TOP, -TOP]), np.array([-TOP, TOP]), np.array([1, 1]))
    assert ends.tolist() == [0, 0]
    assert sgd.pulled(np.array([9]), np.array([1]), np.array([32 + 3])).tolist() == [8]  # of five bits


def test_state_saturates() -> None:
    """Protects int32 masters: momentum and weight stop at the ends instead of wrapping."""

    def step(w: Integers, v: Integers, dw: Integers, exponent: int, rate: int) -> tuple[Integers, Integers]:
        return sgd.update(
            w,
            v,
            dw,
            np.array([[exponent]]),
            fraction=24,
            reciprocal=Factor(1, 0),
            decay=0,
            weight_decay=Factor(0, 0),
            learning_rate=Factor(rate, 0),
        )

    ends = np.array([[TOP, -TOP]])
    w, v = step(-ends, ends, ends, 10, 255)
    assert v.tolist() == ends.tolist()
    assert w.tolist() == (-ends).tolist()
    w, v = step(np.array([[7, -7]]), ends, ends, 40, 0)
    assert w.tolist() == [[7, -7]]  # a learning rate of 0 moves no weight


def test_weight_view() -> None:
    """Protects the exponents: a row's own, or the largest row's for all; ties and saturation of the rounding."""
    master = np.array([[127 << 10, 1 << 9, -(1 << 9), (1 << 9) - 1], [0, 0, 0, 0], [255, -255, 3, 1]])
    w8, ew = sgd.weight_view(master, per_row=True)
    assert w8.tolist() == [[127, 1, 0, 0], [0, 0, 0, 0], [127, -127, 2, 1]]  # 127.5 saturates; 1.5 and 0.5 go up
    assert ew.tolist() == [14, 24, 23]
    w8, ew = sgd.weight_view(master, per_row=False)
    assert ew.tolist() == [14, 14, 14]
    assert w8.tolist() == [[127, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
