"""Activations by table: the words of the contract, and the chain rule in the mean."""

from __future__ import annotations

import numpy as np
import pytest

from strop.runtime.reference.activation import Table

X8 = np.arange(-128, 128)


def words(values: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Return table words as contract.h has them, with bits set where none counts."""
    return ((slopes.astype(np.int64) << 16) | 0xA500 | (values & 0xFF)).astype(np.int32)


def test_the_words_hold_value_and_slope() -> None:
    """Protects both fields and their signs; the bits between them do not matter."""
    values, slopes = np.clip(X8[::-1], -127, 127), np.linspace(-(2**15), 2**15 - 1, 256).astype(int)
    table = Table.of(words(values, slopes))
    assert table.forward(X8.astype(np.int8)).tolist() == values.tolist()
    assert table.slopes.tolist() == slopes.tolist()


def test_a_slope_of_one_hands_the_error_on() -> None:
    """Protects 1.15: where the slope is 256 the error is unchanged, whatever the dither; where it is 0 none is left."""
    table = Table.of(words(X8 * 0, np.where(X8 < 0, 0, 256)))
    e8 = np.clip(X8, -127, 127)
    assert table.backward(e8, np.full(256, 5), np.full(256, 0xFFFF)).tolist() == e8.tolist()
    assert not table.backward(e8, np.full(256, -5), np.full(256, 0xFFFF)).any()


@pytest.mark.parametrize("slope", [1, 100, -77, 300, 30000, -(2**15)])
def test_the_gradient_is_the_slope_in_the_mean(slope: int) -> None:
    """Protects the product and its saturation: over a period of the dither it is exact."""
    table = Table.of(words(X8 * 0, np.full(256, slope)))
    r = np.arange(65536) * 0x9E37 & 0xFFFF
    got = table.backward(np.full(65536, 93), np.full(65536, 17), r)
    assert got.mean() == pytest.approx(np.clip(93 * slope / 256, -127, 127), abs=1e-3)
