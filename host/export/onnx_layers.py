"""strop's layers as ONNX nodes, one function each, by the equations of NUMERICS.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from strop.host.export.integer_network import IntegerNetwork, low_of
from strop.host.export.onnx_qdq import OnnxParts
from strop.runtime.contract import C
from strop.runtime.graph import (
    L1BN,
    AveragePool2d,
    Bias,
    Concatenate,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    GlobalAveragePool,
    HardSwish,
    LeakyReLU,
    Linear,
    MaxPool2d,
    Node,
    ReLU,
    ReLU6,
    Residual,
    Sigmoid,
    SiLU,
    Tanh,
    Upsample,
)


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the ONNX graph: real values on steps of 2^-grid; before a normalization the int8 numbers themselves,
    on steps of one. rank: 4, or 2 behind Flatten and Linear."""

    name: str
    grid: int
    rank: int = 4


class Writer:
    """Writes a network's nodes into `parts`; `values` has what each strop node gives."""

    def __init__(self, network: IntegerNetwork, parts: OnnxParts) -> None:
        self.network, self.graph, self.parts = network, network.graph, parts
        self.values: dict[str, Value] = {}

    def source(self, node: Node) -> Value:
        """Return what a node reads; of several, the first."""
        return self.values[node.sources[0]]

    def images(self, name: str) -> Value:
        """Write the input conversion: max(p - 128, -127) * 2^-exponent, with a border of black."""
        parts, e, border = self.parts, self.graph.input_exponent, self.graph.border
        middle = parts.constant("middle", 128, np.uint8)
        x = parts.op("DequantizeLinear", [name, parts.power(-e), middle], "input.centred")
        black = parts.constant("black", -127 * 2.0**-e)
        x = parts.op("Max", [x, black], "input.output")
        if border:
            pads = parts.constant("border", [0, 0, border, border] * 2, np.int64)
            x = parts.op("Pad", [x, pads, black], "input.bordered")
        return Value(x, e)

    def convolution(self, node: Node) -> Value:
        """Write a layer with weights that a normalization follows: x8 = sat(rsh(acc, sx)), in steps of one."""
        parts, x, layer = self.parts, self.source(node), node.layer
        view, shift = self.network.layers[node.name].weights, self.network.layers[node.name].shift
        # what is rounded has steps of 2^-shift; not as a bias, which ONNX Runtime would quantize
        nudge = 2.0 ** -(shift + 2) if shift else 0.0
        if isinstance(layer, Linear):
            filters = parts.dequantized(view.reshape(len(view), -1), shift - x.grid, node.name)
            x = self.flat(x, node.name)
            y = parts.op("Gemm", [x.name, filters], node.name, transB=1)
        else:
            assert isinstance(layer, (Conv2d, ConvTranspose2d))
            filters = parts.dequantized(view, shift - x.grid, node.name)
            window = {**_window(layer.kernel, layer.stride, layer.padding), "group": layer.groups}
            if isinstance(layer, ConvTranspose2d):
                window["output_padding"] = list(layer.output_padding)
            kind = "ConvTranspose" if isinstance(layer, ConvTranspose2d) else "Conv"
            y = parts.op(kind, [x.name, filters], node.name, **window)
        return Value(parts.rounded(y, 0, node.name, nudge=nudge), 0, x.rank)

    def flat(self, x: Value, name: str) -> Value:
        """Return the value with rank 2."""
        if x.rank == 2:
            return x
        return Value(self.parts.op("Flatten", [x.name], f"{name}.flat", axis=1), x.grid, 2)

    def logits(self, node: Node, name: str) -> None:
        """Write the last layer: acc + bias, without rounding; of the outputs that have a class."""
        parts, x = self.parts, self.flat(self.source(node), node.name)
        layer = self.network.layers[node.name]
        assert layer.biases is not None
        bias = layer.biases * 2.0**-self.network.logits_exponent
        exponent = int(layer.weight_exponents[0])
        filters = parts.dequantized(layer.weights.reshape(len(layer.weights), -1), exponent, node.name)
        parts.op("Gemm", [x.name, filters, parts.constant(f"{node.name}.bias", bias)], name, transB=1)


def _window(kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]) -> dict[str, Any]:
    return {"kernel_shape": list(kernel), "strides": list(stride), "pads": [*padding, *padding]}


def normalization(w: Writer, node: Node) -> Value:
    """L1BN and Bias: (x8 * M + C) >> 12, clamped, with the running statistics (1.3 steps 5 to 7)."""
    x, name, parts = w.source(node), node.name, w.parts
    norm = w.network.norms[name]
    m, c, ey = norm.multipliers, norm.constants, norm.exponent
    step = 2.0 ** -(C.SCALE_FRACTION + ey)
    # floor(u / 4096) is u - 2048 + 1/2 rounded to the nearest multiple: no ties are left
    shifted = c - (1 << (C.SCALE_FRACTION - 1)) + 0.5
    shape = (-1, 1, 1) if x.rank == 4 else (-1,)
    scale = parts.constant(f"{name}.multiplier", (m * step).reshape(shape))
    shift = parts.constant(f"{name}.constant", (shifted * step).reshape(shape))
    y = parts.op("Mul", [x.name, scale], f"{name}.scaled")
    y = parts.op("Add", [y, shift], f"{name}.shifted")
    return Value(parts.rounded(y, ey, name, low=norm.low), ey, x.rank)


def passed(w: Writer, node: Node) -> Value:
    """ReLU, which is fused into what stands before it."""
    return w.source(node)


def flatten(w: Writer, node: Node) -> Value:
    """Flatten."""
    return w.flat(w.source(node), node.name)


def max_pool(w: Writer, node: Node) -> Value:
    """MaxPool2d."""
    x, layer = w.source(node), node.layer
    assert isinstance(layer, MaxPool2d)
    window = _window(layer.kernel, layer.stride, layer.padding)
    return Value(w.parts.op("MaxPool", [x.name], node.name, **window), x.grid)


def average_pool(w: Writer, node: Node) -> Value:
    """AveragePool2d: rdiv(sum, R*S), padding counted (1.16)."""
    x, layer = w.source(node), node.layer
    assert isinstance(layer, AveragePool2d)
    window = _window(layer.kernel, layer.stride, layer.padding)
    y = w.parts.op("AveragePool", [x.name], node.name, count_include_pad=1, **window)
    nudge = 2.0**-x.grid / (4 * layer.kernel[0] * layer.kernel[1])
    return Value(w.parts.rounded(y, x.grid, node.name, nudge=nudge), x.grid)


def global_average_pool(w: Writer, node: Node) -> Value:
    """GlobalAveragePool: rdiv(sum << g, H*W) (1.10)."""
    x, layer = w.source(node), node.layer
    assert isinstance(layer, GlobalAveragePool)
    grid = x.grid + layer.gain
    y = w.parts.op("GlobalAveragePool", [x.name], node.name)
    nudge = 2.0**-grid / (4 * node.input[1] * node.input[2])  # what is no tie is 1 / (2*H*W) away from one
    return Value(w.parts.rounded(y, grid, node.name, nudge=nudge), grid)


def upsample(w: Writer, node: Node) -> Value:
    """Upsample, by the nearest."""
    x, layer, parts = w.source(node), node.layer, w.parts
    assert isinstance(layer, Upsample)
    scales = parts.constant(f"{node.name}.scales", [1, 1, *layer.scale])
    how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return Value(parts.op("Resize", [x.name, "", scales], node.name, **how), x.grid)


def residual(w: Writer, node: Node) -> Value:
    """Residual: each summand rounded to the sum's grid by itself, the sum clamped (1.11)."""
    assert isinstance(node.layer, Residual)
    ey, names = node.layer.exponent, []
    for index, source in enumerate(node.sources):
        x = w.values[source]
        rounds = x.grid > ey
        nudge = 2.0 ** -(x.grid + 2)
        names.append(w.parts.rounded(x.name, ey, f"{node.name}.{index}", nudge=nudge) if rounds else x.name)
    y = w.parts.op("Add", names, node.name)
    return Value(w.parts.rounded(y, ey, node.name, low=low_of(w.graph, node)), ey, w.source(node).rank)


def concatenate(w: Writer, node: Node) -> Value:
    """Concatenate."""
    values = [w.values[source] for source in node.sources]
    y = w.parts.op("Concat", [value.name for value in values], node.name, axis=1)
    return Value(y, values[0].grid, values[0].rank)


def activation(w: Writer, node: Node) -> Value:
    """An activation that strop looks up in a table (1.15): the function itself, rounded as the table is."""
    x, layer, parts, name = w.source(node), node.layer, w.parts, node.name
    assert isinstance(layer, (LeakyReLU, ReLU6, Tanh, Sigmoid, HardSwish, SiLU))
    if isinstance(layer, LeakyReLU):
        y = parts.op("LeakyRelu", [x.name], name, alpha=layer.slope)
    elif isinstance(layer, ReLU6):
        y = parts.op("Clip", [x.name, parts.constant("0.0", 0.0), parts.constant("6.0", 6.0)], name)
    elif isinstance(layer, SiLU):
        y = parts.op("Mul", [x.name, parts.op("Sigmoid", [x.name], f"{name}.gate")], name)
    else:
        y = parts.op({Tanh: "Tanh", Sigmoid: "Sigmoid", HardSwish: "HardSwish"}[type(layer)], [x.name], name)
    return Value(parts.rounded(y, layer.exponent, name), layer.exponent, x.rank)


LAYERS: dict[type[Any], Callable[[Writer, Node], Value]] = {
    **dict.fromkeys((Conv2d, ConvTranspose2d, Linear), Writer.convolution),
    **dict.fromkeys((L1BN, Bias), normalization),
    **dict.fromkeys((LeakyReLU, ReLU6, Tanh, Sigmoid, HardSwish, SiLU), activation),
    ReLU: passed,
    Flatten: flatten,
    MaxPool2d: max_pool,
    AveragePool2d: average_pool,
    GlobalAveragePool: global_average_pool,
    Upsample: upsample,
    Residual: residual,
    Concatenate: concatenate,
}
