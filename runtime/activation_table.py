"""Tables of activations (NUMERICS.md 1.15): what the kernel looks up for each int8 value.

Made with decimal arithmetic, which rounds alike on every machine: a table of floats could differ in a bit between two.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

import numpy as np
from numpy.typing import NDArray

from strop.runtime.contract import C
from strop.runtime.layers import HardSwish, LeakyReLU, ReLU6, SiLU, Table, Tanh

_CONTEXT = Context(prec=40, rounding=ROUND_HALF_EVEN)
_SLOPE_BITS = 16


def activation_table(layer: Table, source_exponent: int) -> NDArray[np.int32]:
    """Return the table, int32 [256], of `layer` for inputs on the grid 2^-source_exponent: word x + 128 is that of x.

    Bits 0 to 7 hold f(x) on the layer's own grid, int8; bits 16 to 31 its slope, int16 with C.SLOPE_FRACTION bits.
    """
    words = np.zeros(C.TABLE_WORDS, np.int64)
    with localcontext(_CONTEXT):
        for x in range(-127, 128):
            value, slope = _function(layer, Decimal(x) / 2**source_exponent)
            y = max(-127, min(127, _rounded(value * 2**layer.exponent)))
            words[x + 128] = (_rounded(slope * 2**C.SLOPE_FRACTION) << _SLOPE_BITS) | (y & 0xFF)
    words[0] = words[1]  # -128 occurs in no map
    return (words & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


def _rounded(value: Decimal) -> int:
    return int(value.to_integral_value())


def _function(layer: Table, x: Decimal) -> tuple[Decimal, Decimal]:
    """Return f(x) and f'(x)."""
    if isinstance(layer, LeakyReLU):
        slope = Decimal(1) if x > 0 else Decimal(layer.slope)
        return x * slope, slope
    if isinstance(layer, ReLU6):
        inside = 0 < x < 6
        return max(Decimal(0), min(x, Decimal(6))), Decimal(int(inside))
    if isinstance(layer, HardSwish):
        if x <= -3 or x >= 3:
            return (x if x > 0 else Decimal(0)), Decimal(int(x > 0))
        return x * (x + 3) / 6, (2 * x + 3) / 6
    sigmoid = 1 / (1 + (-x).exp())
    if isinstance(layer, Tanh):
        y = 2 / (1 + (-2 * x).exp()) - 1
        return y, 1 - y * y
    if isinstance(layer, SiLU):
        return x * sigmoid, sigmoid * (1 + x * (1 - sigmoid))
    return sigmoid, sigmoid * (1 - sigmoid)
