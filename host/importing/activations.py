"""Activations of other libraries as strop's layers."""

from __future__ import annotations

from strop.host.importing.errors import Unsupported
from strop.runtime.graph import HardSwish, Layer, LeakyReLU, ReLU, ReLU6, Sigmoid, SiLU, Tanh

PLAIN = {layer.__name__: layer for layer in (HardSwish, Sigmoid, SiLU, Tanh)}
EXPONENT = 3  # until calibration chooses; one for all, since maps that are joined must share theirs


def named_activation(name: str) -> Layer:
    """Return the layer of one of the names in `PLAIN`."""
    layer: Layer = PLAIN[name](exponent=EXPONENT)
    return layer


def clip(low: float | None, high: float | None) -> Layer:
    """Return the activation that cuts to [low, high], where None is no bound."""
    if low == 0 and high is None:
        return ReLU()
    if low == 0 and high == 6:
        return ReLU6(EXPONENT)
    raise Unsupported(f"it cuts values to [{low}, {high}]", "allowed: from 0 on, or from 0 to 6 (ReLU6)")


def leaky(slope: float) -> Layer:
    """Return leaky ReLU of a slope below 0."""
    if not 0 <= slope <= 1:
        raise Unsupported(f"its slope below 0 is {slope:g}", "allowed: 0 to 1")
    return ReLU() if slope == 0 else LeakyReLU(float(slope), EXPONENT)
