"""The three convolution phases against loops that follow the definition, over strides, paddings and groups."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from strop.runtime.reference import convolution
from strop.runtime.reference.windows import Geometry

Place = tuple[int, int, int, int]

# C, K, groups, geometry; sizes differ from each other throughout
CASES = {
    "plain": (3, 5, 1, Geometry((3, 2), (1, 1), (0, 0), (6, 7), (4, 6))),
    "padded": (2, 4, 2, Geometry((5, 3), (1, 2), (2, 1), (6, 5), (6, 3))),
    "depthwise": (4, 8, 4, Geometry((3, 3), (2, 1), (1, 0), (7, 5), (4, 3))),
    "gaps": (3, 2, 1, Geometry((1, 2), (3, 4), (0, 0), (8, 9), (3, 2))),  # pixels that no window covers
    "one_sided": (1, 3, 1, Geometry((4, 4), (1, 1), (3, 0), (5, 6), (5, 5))),  # padded at the top and the right
    "linear": (7, 5, 1, Geometry((1, 1), (1, 1), (0, 0), (1, 1), (1, 1))),
}


def tensors(name: str) -> tuple[NDArray[np.int8], NDArray[np.int8], NDArray[np.int8], Geometry, int]:
    """Return a8 [C, N, H, W], w8 [K, C/groups, R, S], dx8 [K, N, P, Q] and the rest of a case."""
    c, k, groups, g = CASES[name]
    rng = np.random.default_rng(len(name))

    def draw(*shape: int) -> NDArray[np.int8]:
        return rng.integers(-127, 128, shape).astype(np.int8)

    return draw(c, 2, *g.input), draw(k, c // groups, *g.kernel), draw(k, 2, *g.output), g, groups


def terms(w8: NDArray[np.int8], g: Geometry, groups: int, n_samples: int) -> Iterator[tuple[Place, Place, Place]]:
    """Yield each product of the sums: (n, k, p, q), (k, c', r, s) and (c, n, h, w)."""
    k_count, depth = w8.shape[:2]
    for n, k, p, q in product(range(n_samples), range(k_count), range(g.output[0]), range(g.output[1])):
        for c, r, s in product(range(depth), range(g.kernel[0]), range(g.kernel[1])):
            h, w = p * g.stride[0] + r - g.pad[0], q * g.stride[1] + s - g.pad[1]
            if 0 <= h < g.input[0] and 0 <= w < g.input[1]:
                yield (k, n, p, q), (k, c, r, s), (k // (k_count // groups) * depth + c, n, h, w)


@pytest.mark.parametrize("name", CASES)
def test_forward_is_the_sum_of_the_definition(name: str) -> None:
    """Protects the forward sums: which input meets which weight."""
    a8, w8, dx8, g, groups = tensors(name)
    want = np.zeros(dx8.shape, np.int64)
    for out, weight, source in terms(w8, g, groups, 2):
        want[out] += int(w8[weight]) * int(a8[source])
    assert np.array_equal(convolution.forward(a8, w8, g, groups), want)


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_the_transposed_sums(name: str) -> None:
    """Protects both backward phases: the same products as forward, gathered by input and by weight."""
    a8, w8, dx8, g, groups = tensors(name)
    da, dw = np.zeros(a8.shape, np.int64), np.zeros(w8.shape, np.int64)
    for out, weight, source in terms(w8, g, groups, 2):
        da[source] += int(w8[weight]) * int(dx8[out])
        dw[weight] += int(a8[source]) * int(dx8[out])
    assert np.array_equal(convolution.input_gradient(dx8, w8, g, groups), da)
    assert np.array_equal(convolution.weight_gradient(dx8, a8, g, groups), dw)


def test_cutting_the_batch_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects large mini-batches, which are computed in portions."""
    a8, w8, dx8, g, groups = tensors("padded")
    whole = convolution.forward(a8, w8, g, groups), convolution.weight_gradient(dx8, a8, g, groups)
    monkeypatch.setattr(convolution, "_WINDOW_ELEMENTS", 1)
    assert np.array_equal(convolution.forward(a8, w8, g, groups), whole[0])
    assert np.array_equal(convolution.weight_gradient(dx8, a8, g, groups), whole[1])


def test_the_longest_sum_is_exact() -> None:
    """Protects exactness at the bound: 132104 products of -127 and 127 still fit int32."""
    terms_count = 132104
    g = Geometry((1, 1), (1, 1), (0, 0), (1, 1), (1, 1))
    a8 = np.full((terms_count, 1, 1, 1), 127, np.int8)
    acc = convolution.forward(a8, np.full((1, terms_count, 1, 1), -127, np.int8), g, 1)
    assert acc.item() == -terms_count * 127 * 127 > -(2**31)
