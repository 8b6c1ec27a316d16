"""Real hyperparameters as the kernel's fixed-point numbers."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from strop.runtime.contract import C
from strop.runtime.errors import InputError
from strop.runtime.hyperparameters import Hyperparameters, batch_mantissa_and_shift, mantissa_and_shift


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.1, (205, 11)),
        (0.01, (164, 14)),
        (0.001, (131, 17)),
        (0.0, (0, 0)),
        (1.0, (128, 7)),
        (0.5, (128, 8)),
        (255.0, (255, 0)),
        (0.9999, (128, 7)),  # rounds up to the next power of two
        (2.0**-40, (128, 47)),
    ],
)
def test_known_values(value: float, expected: tuple[int, int]) -> None:
    """Protects the numbers of NUMERICS.md 1.8: these are what runs are recorded with."""
    assert mantissa_and_shift(value) == expected


@given(value=st.floats(2.0**-40, 256.0, exclude_max=True))
@example(value=math.nextafter(256.0, 0.0))
@example(value=127.75)
def test_the_mantissa_is_the_nearest_of_eight_bits(value: float) -> None:
    """Protects learning rates: normalized, and no other pair of that form is nearer to the real value."""
    mantissa, shift = mantissa_and_shift(value)
    assert 128 <= mantissa <= 255
    exact = Fraction(value)

    def distance(m: int) -> Fraction:
        return abs(m * Fraction(2) ** -shift - exact)

    assert distance(mantissa) <= min(distance(mantissa - 1), distance(mantissa + 1))
    assert distance(mantissa) <= exact / 256


@given(values=st.tuples(st.floats(2.0**-40, 255.0), st.floats(2.0**-40, 255.0)))
def test_a_larger_value_is_never_made_smaller(values: tuple[float, float]) -> None:
    """Protects schedules: a rate that falls never rises in fixed point."""
    small, large = (m * 2.0**-k for m, k in map(mantissa_and_shift, sorted(values)))
    assert small <= large


@pytest.mark.parametrize("value", [-0.1, 256.0, 1e9, 2.0**-41, 5e-324, math.inf, -math.inf, math.nan])
def test_values_out_of_range_are_refused(value: float) -> None:
    """Protects against rates that would do nothing or overflow: the message names value and range."""
    with pytest.raises(InputError, match=r"learning rate is .*; allowed: 0, or 2\^-40 to 256"):
        mantissa_and_shift(value, "learning rate")


@given(batch=st.integers(1, C.MAX_BATCH))
def test_the_mean_over_a_mini_batch(batch: int) -> None:
    """Protects the gradient's mean: 1/N exact for a power of two, else within 2^-15, with the least shift."""
    mantissa, shift = batch_mantissa_and_shift(batch)
    if batch & (batch - 1) == 0:
        assert (mantissa, 2**shift) == (1, batch)
    else:
        assert 2**14 <= mantissa < 2**15 + 1
        assert abs(Fraction(mantissa, 2**shift) * batch - 1) <= Fraction(1, 2**15)
        assert round(2 ** (shift - 1) / batch) < 2**14


@pytest.mark.parametrize(("momentum", "decay"), [(0.9, 26), (0.0, 256), (255 / 256, 1), (0.99, 3)])
def test_momentum(momentum: float, decay: int) -> None:
    """Protects the momentum's form: 256 * (1 - momentum), rounded; and that what it became is told."""
    hyper = Hyperparameters(momentum=momentum)
    assert hyper.momentum_decay == decay
    assert hyper.effective_momentum == (256 - decay) / 256 and abs(hyper.effective_momentum - momentum) <= 1 / 512


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"momentum": -0.01}, "momentum is -0.01; allowed: 0 to 0.996"),
        ({"momentum": 1.01}, "momentum is 1.01; allowed: 0 to 0.996"),
        ({"momentum": 1.0}, "momentum is 1.0; allowed: 0 to 0.996"),
        ({"momentum": 0.999}, r"momentum is 0.999; allowed: 0 to 0.99609375 \(255/256\)"),  # would never forget
        ({"momentum": math.nan}, "momentum is nan; allowed: 0 to 0.996"),
        ({"weight_decay": -1e-4}, "weight_decay is -0.0001; allowed: 0"),
        ({"weight_decay": math.inf}, "weight_decay is inf; allowed: 0"),
    ],
)
def test_bad_hyperparameters_are_refused_when_they_are_made(values: dict[str, float], message: str) -> None:
    """Protects long runs from a mistake in their first line."""
    with pytest.raises(InputError, match=message):
        Hyperparameters(**values)  # type: ignore[arg-type]
