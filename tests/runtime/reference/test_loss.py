"""Softmax cross-entropy: the tables, the error and the reported loss against float64, and extreme logits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from strop.runtime.reference import loss


def softmax(z: NDArray[np.float64]) -> NDArray[np.float64]:
    exponentials: NDArray[np.float64] = np.exp(z - z.max(axis=0))
    shares: NDArray[np.float64] = exponentials / exponentials.sum(axis=0)
    return shares


def test_tables() -> None:
    """Protects the two tables: their ends, and that each entry is the nearest integer."""
    assert (loss.EXP[0], loss.EXP[16], loss.EXP[255]) == (32768, 12055, 0)
    assert (loss.LN[0], loss.LN[128], loss.LN[256]) == (0, 26573, loss.LN2)
    assert loss.LN2 == round(2**16 * math.log(2))
    assert all(abs(int(loss.LN[i]) - 2**16 * math.log1p(i / 256)) <= 0.5 for i in range(257))
    assert all(abs(int(loss.EXP[d]) - 2**15 * math.exp(-d / 16)) <= 0.5 for d in range(256))


@pytest.mark.parametrize("e", [4, 10, 23, 1, -2])
@pytest.mark.parametrize("classes", [2, 10, 100])
def test_loss_and_error_are_those_of_float_softmax(e: int, classes: int) -> None:
    """Protects scale and sign: loss within 0.001 nat of float64 on the same sixteenths, error within 1/128."""
    rng = np.random.default_rng(classes)
    logits = np.rint(rng.normal(0, 2, (classes, 64)) * 2.0**e).astype(np.int64)
    labels = rng.integers(0, classes, 64).astype(np.int32)
    z = np.floor(logits * 2.0 ** (4 - e) + 0.5) / 16
    p = softmax(z)
    want = -np.log(p[labels, np.arange(64)])
    got = loss.cross_entropy(logits, e, labels) / 65536
    assert np.abs(got - want).max() < 0.001
    onehot = np.arange(classes)[:, None] == labels
    none, most = np.zeros(logits.shape, np.int64), np.full(logits.shape, 0xFFFF)
    exact = np.clip(128 * (p - onehot), -127, 127)
    assert (loss.error(logits, e, labels, none) <= exact + 0.01).all()  # rounded down
    assert (loss.error(logits, e, labels, most) >= exact - 0.01).all()  # rounded up
    assert np.abs(loss.error(logits, e, labels, none) - exact).max() < 1.01


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_soft_targets_are_those_of_float_cross_entropy(classes: int) -> None:
    """Protects what distillation asks for: loss within 0.001 nat of float64, error within 1/128, for any targets."""
    rng = np.random.default_rng(classes)
    logits = np.rint(rng.normal(0, 2, (classes, 64)) * 2**8).astype(np.int64)
    targets = rng.multinomial(32768, rng.dirichlet(np.ones(classes)), 64).T
    z = np.floor(logits * 2.0 ** (4 - 8) + 0.5) / 16
    p, share = softmax(z), targets / 32768
    got = loss.soft_cross_entropy(logits, 8, targets) / 65536
    assert np.abs(got - (-(share * np.log(p)).sum(axis=0))).max() < 0.001
    e8 = loss.soft_error(logits, 8, targets, np.full(logits.shape, 0x8000))
    assert np.abs(e8 - np.clip(128 * (p - share), -127, 127)).max() < 0.52


def test_soft_targets_by_hand() -> None:
    """Protects the sum's rounding, half up, and that its distances are not cut at 255 as the exponentials' are."""
    logits = np.array([[16], [15], [0]], np.int64)  # in units of 1/16: exponent 4
    targets = np.array([[32764], [4], [0]], np.int64)
    alone = loss.cross_entropy(logits, 4, np.array([0], np.int32))
    assert (loss.soft_cross_entropy(logits, 4, targets) - alone).tolist() == [1]  # 4 * 1 / 8, rounded up
    far = np.array([[20000], [-20000]], np.int64)
    even = np.array([[16384], [16384]], np.int64)
    assert loss.soft_cross_entropy(far, 4, even).tolist() == [40000 << 11]
    assert loss.soft_error(far, 4, even, np.zeros((2, 1), np.int64)).tolist() == [[64], [-64]]


def test_extreme_logits() -> None:
    """Protects the ends: a certain right answer costs nothing, a certain wrong one what the clip of z4 allows."""
    top = 2**31 - 1
    logits = np.array([[top, top], [-top, -top]])
    labels = np.array([0, 1], np.int32)
    assert loss.cross_entropy(logits, 4, labels).tolist() == [0, 65534 << 12]
    e8 = loss.error(logits, 4, labels, np.zeros((2, 2), np.int64))
    assert e8.tolist() == [[0, 127], [0, -127]]  # one and minus one, saturated


def test_equal_logits_give_the_log_of_the_class_count() -> None:
    """Protects the logarithm between two entries of its table, and at powers of two."""
    for classes in (2, 3, 10, 1000, 4096):
        labels = np.array([classes - 1], np.int32)
        value = loss.cross_entropy(np.zeros((classes, 1), np.int64), 8, labels)[0] / 65536
        assert value == pytest.approx(math.log(classes), abs=3e-5)


def test_first_of_equal_maxima_is_the_answer() -> None:
    """Protects ties: exact int32 logits decide, and among equals the first class."""
    logits = np.array([[5, 5, 1], [5, 4, 2], [2, 5, 3]])
    assert loss.correct(logits, np.array([0, 0, 2], np.int32)) == 3
    assert loss.correct(logits, np.array([1, 2, 1], np.int32)) == 0
