"""Tables of activations against the functions in double precision, for every layer and grid."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from strop.runtime.activation_table import activation_table
from strop.runtime.contract import C
from strop.runtime.layers import TABLES, HardSwish, LeakyReLU, ReLU6, Sigmoid, SiLU, Table, Tanh


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + math.exp(-x))


# f and f', written for this test
FUNCTIONS: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "leaky_relu": (lambda x: x if x > 0 else 0.2 * x, lambda x: 1.0 if x > 0 else 0.2),
    "relu6": (lambda x: min(max(x, 0.0), 6.0), lambda x: float(0 < x < 6)),
    "tanh": (math.tanh, lambda x: 1 / math.cosh(x) ** 2),
    "sigmoid": (sigmoid, lambda x: sigmoid(x) * sigmoid(-x)),
    "hard_swish": (
        lambda x: x * min(max(x + 3, 0.0), 6.0) / 6,
        lambda x: 0.0 if x <= -3 else 1.0 if x >= 3 else x / 3 + 0.5,
    ),
    "silu": (lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * sigmoid(-x))),
}
LAYERS: list[Table] = [
    *(LeakyReLU(0.2, 3), LeakyReLU(0.2, 5), ReLU6(3), ReLU6(5), Tanh(), Tanh(3)),
    *(Sigmoid(), Sigmoid(8), HardSwish(3), HardSwish(0), SiLU(3), SiLU(6)),
]


def test_every_kind_of_table_is_here() -> None:
    """Protects this file: a new activation is compared, too."""
    assert {layer.kind for layer in LAYERS} == FUNCTIONS.keys() == {kind.kind for kind in TABLES}


@pytest.mark.parametrize("layer", LAYERS, ids=str)
@pytest.mark.parametrize("exponent", [0, 3, 5, 8])
def test_values_and_slopes_are_rounded_functions(layer: Table, exponent: int) -> None:
    """Protects every entry: f on the output's grid, saturated, and the slope in 256ths, within half a step."""
    words = activation_table(layer, exponent)
    assert words.dtype == np.int32 and words.shape == (C.TABLE_WORDS,)
    function, slope = FUNCTIONS[layer.kind]
    for x in range(-127, 128):
        word = int(words[x + 128])
        value = (word & 0xFF) - 256 * (word >> 7 & 1)
        exact = function(x * 2.0**-exponent) * 2.0**layer.exponent
        assert abs(value - min(max(exact, -127.0), 127.0)) <= 0.5 + 1e-9, x
        assert abs((word >> 16) - 256 * slope(x * 2.0**-exponent)) <= 0.5 + 1e-9, x


def test_a_slope_of_one_is_exact() -> None:
    """Protects gradients where nothing is bent: 256 leaves an error as it is."""
    words = activation_table(LeakyReLU(0.2, 3), 3)
    assert {int(word) >> 16 for word in words[129:]} == {256}
    assert [int(word) & 0xFF for word in words[129:]] == list(range(1, 128))
