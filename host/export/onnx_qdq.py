"""The parts of an ONNX network with QuantizeLinear and DequantizeLinear (QDQ), and strop's rounding in terms of them.

QuantizeLinear rounds ties to even and keeps -128; strop rounds them up and does not. What is no tie is some way from
one: a whole step of an accumulator, or 1/(2n) behind a mean of n. So less than that added beforehand makes every tie go
up and moves nothing else: the integers are strop's as long as float32 holds the sums exactly (2^24 steps).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

OPSET, IR_VERSION = 17, 8  # what runtimes of 2022 and later take


class OnnxParts:
    """Nodes and constants in the making. Constants of equal name are one."""

    def __init__(self, onnx: Any) -> None:
        self._onnx = onnx
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def op(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Add a node; return the name of its output, which is the node's."""
        self.nodes.append(self._onnx.helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, values: Any, dtype: Any = np.float32) -> str:
        """Add a constant; return its name."""
        self.constants[name] = self._onnx.numpy_helper.from_array(np.asarray(values, dtype), name)
        return name

    def dequantized(self, weights: NDArray[np.int8], exponent: int, name: str) -> str:
        """Add int8 weights of real value w * 2^-exponent; return what they are in float."""
        stored, scale = self.constant(f"{name}.int8", weights, np.int8), self.power(-exponent)
        return self.op("DequantizeLinear", [stored, scale, self.zero()], f"{name}.dequantized")

    def rounded(self, x: str, exponent: int, name: str, *, low: int = -127, nudge: float = 0.0) -> str:
        """Add rounding of x to steps of 2^-exponent from `low` to 127 of them; `nudge` is added before."""
        if nudge:
            x = self.op("Add", [x, self.constant(f"nudge {nudge!r}", nudge)], f"{name}.nudged")
        bounds = [self.constant(f"{n} steps of 2^{-exponent}", n * 2.0**-exponent) for n in (low, 127)]
        x = self.op("Clip", [x, *bounds], f"{name}.clipped")
        scale, zero = self.power(-exponent), self.zero()
        x = self.op("QuantizeLinear", [x, scale, zero], f"{name}.quantized")
        return self.op("DequantizeLinear", [x, scale, zero], f"{name}.output")

    def power(self, exponent: int) -> str:
        """Add the constant 2^exponent."""
        return self.constant(f"2^{exponent}", 2.0**exponent)

    def zero(self) -> str:
        """Add the zero point of all int8 values."""
        return self.constant("zero", 0, np.int8)
