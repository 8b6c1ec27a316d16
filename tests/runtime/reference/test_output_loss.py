"""Losses without softmax: error, loss and right outputs against float64, and their ends."""

from __future__ import annotations

import numpy as np
import pytest

from strop.runtime.reference import loss, output_loss


@pytest.mark.parametrize("e", [4, 10, 23, 1, -2])
def test_sigmoid_cross_entropy_is_that_of_float(e: int) -> None:
    """Protects scale and sign: loss within 0.001 nat of float64 on the same sixteenths, the error within 2^-14."""
    rng = np.random.default_rng(5)
    logits = np.rint(rng.normal(0, 4, (9, 64)) * 2.0**e).astype(np.int64)
    targets = rng.integers(0, 32769, logits.shape)
    z = np.floor(logits * 2.0 ** (4 - e) + 0.5) / 16
    share = targets / 32768
    got = output_loss.sigmoid_cross_entropy(logits, e, targets)
    want = np.logaddexp(0, z) - share * z
    assert np.abs(got.loss / 65536 - want).max() < 0.001
    assert np.abs(got.e15 / 32768 - (1 / (1 + np.exp(-z)) - share)).max() < 2.0**-14
    assert np.array_equal(got.right, (z >= 0) == (share >= 0.5))


def test_sigmoid_cross_entropy_at_its_ends() -> None:
    """Protects logits beyond the table and beyond 16 bits: a sure answer costs nothing if right, all of it if wrong."""
    logits = np.array([[2**31 - 1], [-(2**31 - 1)], [2**31 - 1], [-(2**31 - 1)], [0]])
    targets = np.array([[32768], [0], [0], [32768], [16384]])
    got = output_loss.sigmoid_cross_entropy(logits, 4, targets)
    assert got.loss[:, 0].tolist() == [0, 0, 32767 * 4096, 32767 * 4096, 45426]
    assert got.e15[:, 0].tolist() == [0, 0, 32767, -32767, 0]
    assert got.right[:, 0].tolist() == [True, True, False, False, True]


@pytest.mark.parametrize("e", [0, 8, 15, 16, 25])
def test_squared_error_is_that_of_float(e: int) -> None:
    """Protects scale and sign: half the square in 2^-16, the error within half of 2^-15."""
    rng = np.random.default_rng(6)
    logits = np.rint(rng.normal(0, 0.4, (9, 64)) * 2.0**e).astype(np.int64)
    targets = rng.integers(-32768, 32769, logits.shape)
    distance = logits / 2.0**e - targets / 32768
    got = output_loss.squared_error(logits, e, targets)
    assert np.abs(got.loss / 65536 - distance**2 / 2).max() < np.abs(distance).max() * 2.0**-15
    assert np.abs(got.e15 / 32768 - np.clip(distance, -1, 1)).max() <= 2.0**-15
    sure = np.abs(np.abs(distance) - 0.5) > 2.0**-14
    assert np.array_equal(got.right[sure], (np.abs(distance) < 0.5)[sure])


def test_squared_error_at_its_ends() -> None:
    """Protects the clips: of the output at 32, of the error at one; half a target away is wrong."""
    logits = np.array([[2**31 - 1], [-(2**31 - 1)], [16384], [16383]])
    got = output_loss.squared_error(logits, 15, np.array([[32768], [32768], [0], [0]]))
    assert got.loss[:, 0].tolist() == [31**2 << 15, 33**2 << 15, 8192, (16383**2 + 2**14) >> 15]
    assert got.e15[:, 0].tolist() == [32767, -32767, 16384, 16383]
    assert got.right[:, 0].tolist() == [False, False, False, True]


def test_errors_round_by_their_dither() -> None:
    """Protects the rounding of a small error: down without dither, up with all of it."""
    e15 = np.array([[129], [-129], [32767]])
    assert loss.rounded(e15, np.zeros((3, 1), np.int64))[:, 0].tolist() == [0, -1, 127]
    assert loss.rounded(e15, np.full((3, 1), 0xFFFF))[:, 0].tolist() == [1, 0, 127]
