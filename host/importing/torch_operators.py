"""PyTorch's aten operators as strop's operations: one function each, by the schemas of torch.ops.aten."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from strop.host.importing.activations import clip, leaky, named_activation
from strop.host.importing.builder import Builder, Traced
from strop.host.importing.errors import Unsupported
from strop.host.importing.onnx_operators import ceil_size, channelwise, normalized
from strop.host.importing.onnx_shapes import reshaped
from strop.host.importing.operations import Edges, Floats, Pair
from strop.runtime.contract import C
from strop.runtime.graph import Layer, ReLU


@dataclass(frozen=True, eq=False)
class Aten:
    """One call: its arguments by name (values, arrays, numbers), and how many dimensions its result has."""

    builder: Builder
    arguments: Mapping[str, Any]
    rank: int

    def value(self, name: str = "self") -> Traced:
        """Return an argument that depends on the images."""
        found = self.arguments.get(name)
        if not isinstance(found, Traced):
            raise Unsupported(
                f"its argument {name!r} does not depend on the images", "check the order of its arguments"
            )
        return found

    def array(self, name: str) -> Floats:
        """Return a parameter as float64."""
        found = self.arguments.get(name)
        if isinstance(found, Traced):
            raise Unsupported(f"its argument {name!r} depends on the images", "strop's layers have fixed parameters")
        if found is None:
            raise Unsupported(f"it has no {name}", "give the layer its parameters (affine=True, track_running_stats)")
        return np.asarray(found, np.float64)

    def optional(self, name: str) -> Floats | None:
        """Return a parameter, or None where there is none."""
        return None if self.arguments.get(name) is None else self.array(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return a plain argument."""
        found = self.arguments.get(name)
        return default if found is None else found

    def pair(self, name: str, default: Pair) -> Pair:
        """Return (height, width)."""
        found = self.arguments.get(name)
        if isinstance(found, int):
            return found, found
        if not found:
            return default
        values = [int(v) for v in found]
        if len(values) > 2:
            raise Unsupported(f"it has {len(values)} dimensions", "use two-dimensional layers")
        return values[0], values[-1]

    def edges(self) -> Edges:
        """Return the padding of a window."""
        found = self.arguments.get("padding")
        if isinstance(found, str):
            raise Unsupported(f"its padding is {found!r}", "give the padding in numbers")
        (h, w) = self.pair("padding", (0, 0))
        return h, w, h, w


def conv2d(call: Aten) -> Traced:
    """conv2d, with padding in numbers or 'same'."""
    weight, stride, dilation = call.array("weight"), call.pair("stride", (1, 1)), call.pair("dilation", (1, 1))
    if call.get("padding") == "same":
        total = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        edges = (total[0] // 2, total[1] // 2, total[0] - total[0] // 2, total[1] - total[1] // 2)
    elif call.get("padding") == "valid":
        edges = (0, 0, 0, 0)
    else:
        edges = call.edges()
    return call.builder.convolution(
        call.value("input"),
        weight,
        call.optional("bias"),
        stride=stride,
        padding=edges,
        dilation=dilation,
        groups=call.get("groups", 1),
    )


def conv_transpose2d(call: Aten) -> Traced:
    """conv_transpose2d."""
    return call.builder.transposed(
        call.value("input"),
        call.array("weight"),
        call.optional("bias"),
        stride=call.pair("stride", (1, 1)),
        padding=call.edges(),
        output_padding=call.pair("output_padding", (0, 0)),
        dilation=call.pair("dilation", (1, 1)),
        groups=call.get("groups", 1),
    )


def linear(call: Aten) -> Traced:
    """linear; on a map of one position, as behind a pooling that keeps dimensions, that is a reshaping more."""
    return call.builder.dense(call.value("input"), call.array("weight"), call.optional("bias"))


def addmm(call: Aten) -> Traced:
    """addmm: bias + samples times weights."""
    return call.builder.dense(call.value("mat1"), call.array("mat2").T, call.array("self"))


def matmul(call: Aten) -> Traced:
    """matmul and mm of samples with weights."""
    other = "mat2" if "mat2" in call.arguments else "other"
    return call.builder.dense(call.value(), call.array(other).T, None)


def batch_norm(call: Aten) -> Traced:
    """batch_norm in inference."""
    if call.get("training", False):
        raise Unsupported("it is in training mode", "call model.eval() before, and do not force training in forward")
    x, mean = call.value("input"), call.array("running_mean")
    gamma, beta = call.optional("weight"), call.optional("bias")
    gamma = np.ones_like(mean) if gamma is None else gamma
    beta = np.zeros_like(mean) if beta is None else beta
    return normalized(call.builder, x, gamma, beta, mean, call.array("running_var"), float(call.get("eps", 1e-5)))


def _sum_or_shift(call: Aten, sign: float) -> Traced:
    a, b, alpha = call.arguments.get("self"), call.arguments.get("other"), float(call.get("alpha", 1))
    if isinstance(a, Traced) and isinstance(b, Traced):
        if sign * alpha != 1:
            raise Unsupported("a weighted sum of two maps", "add maps without factors")
        return call.builder.sum(a, b)
    if isinstance(a, Traced):
        return call.builder.affine(a, np.ones(1), sign * alpha * channelwise(a, call.array("other")))
    x = call.value("other")
    return call.builder.affine(x, sign * alpha * np.ones(1), channelwise(x, call.array("self")))


def add(call: Aten) -> Traced:
    """add."""
    return _sum_or_shift(call, 1.0)


def sub(call: Aten) -> Traced:
    """sub."""
    return _sum_or_shift(call, -1.0)


def mul(call: Aten) -> Traced:
    """mul by constants, or by a gate."""
    a, b = call.arguments.get("self"), call.arguments.get("other")
    if isinstance(a, Traced) and isinstance(b, Traced):
        return call.builder.gated(a, b)
    x, values = (
        (call.value(), call.array("other")) if isinstance(a, Traced) else (call.value("other"), call.array("self"))
    )
    return call.builder.affine(x, channelwise(x, values), np.zeros(1))


def div(call: Aten) -> Traced:
    """div by constants."""
    values = channelwise(call.value(), call.array("other"))
    if not values.all() or call.get("rounding_mode") is not None:
        raise Unsupported("it divides by 0, or to whole numbers", "divide by numbers other than 0")
    return call.builder.affine(call.value(), 1.0 / values, np.zeros(1))


def _activation(layer: Callable[[Aten], Layer]) -> Callable[[Aten], Traced]:
    return lambda call: call.builder.activation(call.value(), layer(call))


def _bounds(call: Aten, low: str, high: str) -> Layer:
    found = (call.get(low), call.get(high))
    return clip(*(None if bound is None else float(bound) for bound in found))


def hardsigmoid(call: Aten) -> Traced:
    """hardsigmoid, as the gate of hard swish alone."""
    return call.builder.gate(call.value(), "HardSwish")


def sigmoid(call: Aten) -> Traced:
    """sigmoid, which may be the gate of SiLU."""
    return call.builder.gate(call.value(), "SiLU")


def prelu(call: Aten) -> Traced:
    """prelu with one slope."""
    slopes = np.unique(call.array("weight"))
    if slopes.size != 1:
        raise Unsupported("it has a slope for each channel", "use one slope (LeakyReLU), or ReLU")
    return call.builder.activation(call.value(), leaky(float(slopes[0])))


def max_pool2d(call: Aten) -> Traced:
    """max_pool2d, with_indices too."""
    x, kernel, padding = call.value(), call.pair("kernel_size", (1, 1)), call.edges()
    stride = call.pair("stride", kernel)
    if call.pair("dilation", (1, 1)) != (1, 1):
        raise Unsupported("it is dilated", "use pooling without dilation")
    size = ceil_size(x.shape[1:], kernel, stride, padding) if call.get("ceil_mode", False) else None
    return call.builder.max_pool(x, kernel, stride, padding, size)


def avg_pool2d(call: Aten) -> Traced:
    """avg_pool2d."""
    kernel = call.pair("kernel_size", (1, 1))
    if call.get("ceil_mode", False) or call.get("divisor_override") is not None:
        raise Unsupported("it has ceil mode or a divisor of its own", "use average pooling without them")
    stride, counted = call.pair("stride", kernel), bool(call.get("count_include_pad", True))
    return call.builder.average_pool(call.value(), kernel, stride, call.edges(), counted)


def adaptive_avg_pool2d(call: Aten) -> Traced:
    """adaptive_avg_pool2d to one position, or to sizes that divide the map."""
    x, size = call.value(), call.pair("output_size", (1, 1))
    kernel = _adaptive(x, size)
    return call.builder.average_pool(x, kernel, kernel, (0, 0, 0, 0), True)


def adaptive_max_pool2d(call: Aten) -> Traced:
    """adaptive_max_pool2d."""
    x, size = call.value(), call.pair("output_size", (1, 1))
    kernel = _adaptive(x, size)
    return call.builder.max_pool(x, kernel, kernel, (0, 0, 0, 0))


def _adaptive(x: Traced, size: Pair) -> Pair:
    if min(size) < 1 or x.shape[1] % size[0] or x.shape[2] % size[1]:
        raise Unsupported(f"it pools {x.shape[1:]} to {size}", "the size asked for must divide the map's")
    return x.shape[1] // size[0], x.shape[2] // size[1]


def mean(call: Aten) -> Traced:
    """mean over height and width."""
    x, axes = call.value(), call.get("dim")
    if x.rank != 4 or axes is None or sorted(a % 4 for a in axes) != [2, 3]:
        raise Unsupported(f"a mean over {axes}", "only a mean over the whole map can be imported")
    pooled = call.builder.global_average(x)
    return pooled if call.get("keepdim", False) else call.builder.flat(pooled)


def flatten(call: Aten) -> Traced:
    """flatten behind the samples."""
    x = call.value()
    start, end = call.get("start_dim", 0) % x.rank, call.get("end_dim", -1) % x.rank
    if start != 1 or end != x.rank - 1:
        raise Unsupported(f"it flattens dimensions {start} to {end}", "flatten from dimension 1 on")
    return call.builder.flat(x)


def view(call: Aten) -> Traced:
    """view and reshape that flatten, or change nothing."""
    sizes = call.get("size") if "size" in call.arguments else call.get("shape")
    if any(not isinstance(size, int) for size in sizes or [None]):
        raise Unsupported("its size is not fixed", "export with a fixed number of samples")
    return reshaped(call.builder, call.value(), list(sizes))


def squeeze(call: Aten) -> Traced:
    """squeeze of a pooled map."""
    x = call.value()
    if x.shape[1:] != (1, 1) or call.rank != 2:
        raise Unsupported(
            f"it removes dimensions of {list(x.foreign_shape)}", "only those of a pooled map can be removed"
        )
    return call.builder.flat(x)


def cat(call: Aten) -> Traced:
    """cat along the channels."""
    values = call.get("tensors")
    if call.get("dim", 0) not in (1, -3) or not all(isinstance(v, Traced) for v in values):
        raise Unsupported(
            "it joins maps side by side, or constants", "only concatenation along channels can be imported"
        )
    return call.builder.join(values)


def pad(call: Aten) -> Traced:
    """pad and constant_pad_nd with zeros."""
    pads, value = [int(p) for p in call.get("pad")], call.get("value", 0)
    if call.get("mode", "constant") != "constant" or value or any(pads[4:]):
        raise Unsupported(f"it pads by {call.get('mode', 'constant')} {value}", "pad images with zeros")
    left, right, top, bottom = (*pads[:4], 0, 0)[:4]
    return call.builder.pad(call.value(), (top, left, bottom, right))


def upsample_nearest2d(call: Aten) -> Traced:
    """upsample_nearest2d by whole factors."""
    x = call.value("input" if "input" in call.arguments else "self")
    size, factors = call.get("output_size"), call.get("scale_factors")
    ratios = [s / n for s, n in zip(size, x.shape[1:], strict=True)] if size else [float(f) for f in factors or [0, 0]]
    whole = (int(ratios[0]), int(ratios[1]))
    if ratios != [float(w) for w in whole] or min(whole) < 1 or max(whole) > C.MAX_STRIDE:
        raise Unsupported(f"it scales by {ratios}", f"allowed: whole factors up to {C.MAX_STRIDE}")
    return call.builder.upsample(x, whole)


def same(call: Aten) -> Traced:
    """What leaves values as they are in inference."""
    found = call.arguments.get("self", call.arguments.get("input"))
    if not isinstance(found, Traced):
        raise Unsupported("it is computed of constants", "compute constants before, and register them as buffers")
    return found


def to(call: Aten) -> Traced:
    """to and _to_copy: another device, or another type of floating point."""
    dtype = call.get("dtype")
    if dtype is not None and not dtype.is_floating_point:
        raise Unsupported(f"it makes {dtype} of values, which cuts what lies between", "cast to floating point alone")
    return same(call)


def softmax(call: Aten) -> Traced:
    """softmax and log_softmax, at the end alone."""
    return call.builder.at_end(call.value())


Operator = Callable[[Aten], Traced]
_IN_PLACE: dict[str, Operator] = {
    "add": add,
    "div": div,
    "mul": mul,
    "sub": sub,
    "clamp": _activation(lambda call: _bounds(call, "min", "max")),
    "hardtanh": _activation(lambda call: _bounds(call, "min_val", "max_val")),
    "hardswish": _activation(lambda _: named_activation("HardSwish")),
    "leaky_relu": _activation(lambda call: leaky(float(call.get("negative_slope", 0.01)))),
    "relu": _activation(lambda _: ReLU()),
    "relu6": _activation(lambda _: clip(0.0, 6.0)),
    "sigmoid": sigmoid,
    "hardsigmoid": hardsigmoid,
    "silu": _activation(lambda _: named_activation("SiLU")),
    "tanh": _activation(lambda _: named_activation("Tanh")),
    "dropout": same,
    "feature_dropout": same,
}
OPERATORS: dict[str, Operator] = {
    **_IN_PLACE,
    **{f"{name}_": function for name, function in _IN_PLACE.items()},
    "adaptive_avg_pool2d": adaptive_avg_pool2d,
    "adaptive_max_pool2d": adaptive_max_pool2d,
    "addmm": addmm,
    "alias": same,
    "avg_pool2d": avg_pool2d,
    "batch_norm": batch_norm,
    "_native_batch_norm_legit_no_training": batch_norm,
    "cat": cat,
    "clone": same,
    "concat": cat,
    "constant_pad_nd": pad,
    "contiguous": same,
    "conv2d": conv2d,
    "conv_transpose2d": conv_transpose2d,
    "detach": same,
    "flatten": flatten,
    "linear": linear,
    "log_softmax": softmax,
    "matmul": matmul,
    "max_pool2d": max_pool2d,
    "max_pool2d_with_indices": max_pool2d,
    "mean": mean,
    "mm": matmul,
    "pad": pad,
    "prelu": prelu,
    "reshape": view,
    "softmax": softmax,
    "squeeze": squeeze,
    "to": to,
    "_to_copy": to,
    "upsample_nearest2d": upsample_nearest2d,
    "view": view,
}
