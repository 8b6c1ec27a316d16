"""ONNX's operators as strop's operations: one function each, by the operators' definitions in ONNX.

https://onnx.ai/onnx/operators/ has them. What a function cannot translate it refuses by `Unsupported`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from strop.host.importing.activations import clip, leaky, named_activation
from strop.host.importing.builder import Builder, Traced
from strop.host.importing.errors import Unsupported
from strop.host.importing.onnx_call import Call, nchw, pair
from strop.host.importing.onnx_file import require_onnx
from strop.host.importing.onnx_shapes import concat, flatten, pad, reduce_mean, reshape, resize, squeeze, transpose
from strop.host.importing.operations import Edges, Floats, Pair
from strop.runtime.graph import ReLU


def _edges(call: Call, size: Pair, kernel: Pair, stride: Pair, dilation: Pair) -> Edges:
    """Return the padding by `pads` or `auto_pad`."""
    auto = call.text("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        totals = [
            max(0, (-(-size[i] // stride[i]) - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1 - size[i])
            for i in (0, 1)
        ]
        less, more = [t // 2 for t in totals], [t - t // 2 for t in totals]
        first, last = (less, more) if auto == "SAME_UPPER" else (more, less)
        return first[0], first[1], last[0], last[1]
    pads = call.numbers("pads") or [0, 0, 0, 0]
    if len(pads) != 4:
        raise Unsupported(f"it has {len(pads) // 2} dimensions", "strop's maps have two; use two-dimensional layers")
    return pads[0], pads[1], pads[2], pads[3]


def conv(call: Call) -> Traced:
    """Conv: weights [K, C/groups, R, S]."""
    x, weight = nchw(call.x), call.needed(1)
    if weight.ndim != 4 or x.rank != 4:
        return call.builder.convolution(x, weight, None)  # refuses it
    kernel = (weight.shape[2], weight.shape[3])
    stride, dilation = pair(call.numbers("strides"), (1, 1)), pair(call.numbers("dilations"), (1, 1))
    padding = _edges(call, x.shape[1:], kernel, stride, dilation)
    bias = None if call.constant(2) is None else call.needed(2)
    groups = call.whole("group", 1)
    return call.builder.convolution(x, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)


def conv_transpose(call: Call) -> Traced:
    """ConvTranspose: weights [C, K/groups, R, S]."""
    x, weight = nchw(call.x), call.needed(1)
    stride, dilation = pair(call.numbers("strides"), (1, 1)), pair(call.numbers("dilations"), (1, 1))
    if "output_shape" in call.attributes or call.text("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise Unsupported("its padding follows from an output shape", "export it with explicit pads")
    return call.builder.transposed(
        x,
        weight,
        None if call.constant(2) is None else call.needed(2),
        stride=stride,
        padding=_edges(call, x.shape[1:], (1, 1), stride, dilation),
        output_padding=pair(call.numbers("output_padding"), (0, 0)),
        dilation=dilation,
        groups=call.whole("group", 1),
    )


def gemm(call: Call) -> Traced:
    """Gemm: alpha * A B + beta * C, with A the samples."""
    if call.whole("transA", 0):
        raise Unsupported("it transposes the samples", "export the network with samples first")
    weight = call.needed(1) * call.number("alpha", 1.0)
    weight = weight if call.whole("transB", 0) else weight.T
    bias = None if call.constant(2) is None else call.needed(2) * call.number("beta", 1.0)
    return call.builder.dense(call.x, weight, None if bias is None else _each(bias, weight.shape[0]))


def matmul(call: Call) -> Traced:
    """MatMul of samples with weights [features, K]."""
    weight = call.needed(1)
    return call.builder.dense(call.x, weight.T, None)


def _each(values: Floats, count: int) -> Floats:
    if values.size not in (1, count):
        raise Unsupported(f"a bias {list(values.shape)} for {count} outputs", "one number an output can be imported")
    return np.broadcast_to(values.reshape(-1), (count,))


def batch_normalization(call: Call) -> Traced:
    """BatchNormalization in inference: gamma * (x - mean) / sqrt(var + eps) + beta."""
    if call.whole("training_mode", 0):
        raise Unsupported("it is in training mode", "export with model.eval() (training=TrainingMode.EVAL)")
    gamma, beta, mean, var = (call.needed(i) for i in (1, 2, 3, 4))
    return normalized(call.builder, nchw(call.x), gamma, beta, mean, var, call.number("epsilon", 1e-5))


def normalized(
    builder: Builder, x: Traced, gamma: Floats, beta: Floats, mean: Floats, var: Floats, epsilon: float
) -> Traced:
    """Add batch normalization with running statistics."""
    if (var < 0).any() or {a.size for a in (gamma, beta, mean, var)} != {x.shape[0]}:
        raise Unsupported(
            f"its statistics do not fit {x.shape[0]} channels, or a variance is negative", "export the network again"
        )
    scale = gamma / np.sqrt(var + epsilon)
    return builder.affine(x, scale, beta - mean * scale)


def channelwise(x: Traced, values: Floats) -> Floats:
    """Return a constant as one number, or one a channel: what broadcasting makes of it on `x`."""
    if values.size == 1:
        return values.reshape(1)
    shape = (1,) * (x.rank - values.ndim) + values.shape
    if len(shape) == x.rank:
        axis = x.rank - 1 if x.rank == 2 or x.channels_last else 1
        if values.size == shape[axis] == x.shape[0]:
            return values.reshape(-1)
    raise Unsupported(
        f"a constant {list(values.shape)} meets a value {list(x.foreign_shape)}",
        "one number, or one a channel, can be imported",
    )


def add(call: Call) -> Traced:
    """Add: a shift by constants, or a residual sum."""
    a, b = call.inputs[0], call.inputs[1]
    if isinstance(a, Traced) and isinstance(b, Traced):
        return call.builder.sum(a, b)
    x, values = (call.value(0), call.needed(1)) if isinstance(a, Traced) else (call.value(1), call.needed(0))
    return call.builder.affine(x, np.ones(1), channelwise(x, values))


def sum_(call: Call) -> Traced:
    """Sum of two."""
    if len(call.inputs) != 2:
        raise Unsupported(f"a sum of {len(call.inputs)}", "add two at a time")
    return add(call)


def sub(call: Call) -> Traced:
    """Sub with a constant."""
    if isinstance(call.inputs[0], Traced):
        return call.builder.affine(call.x, np.ones(1), -channelwise(call.x, call.needed(1)))
    x = call.value(1)
    return call.builder.affine(x, -np.ones(1), channelwise(x, call.needed(0)))


def mul(call: Call) -> Traced:
    """Mul: a scale by constants, or x * sigmoid(x) and x * hard-sigmoid(x)."""
    a, b = call.inputs[0], call.inputs[1]
    if isinstance(a, Traced) and isinstance(b, Traced):
        return call.builder.gated(a, b)
    x, values = (call.value(0), call.needed(1)) if isinstance(a, Traced) else (call.value(1), call.needed(0))
    return call.builder.affine(x, channelwise(x, values), np.zeros(1))


def div(call: Call) -> Traced:
    """Div by a constant."""
    values = channelwise(call.x, call.needed(1))
    if not values.all():
        raise Unsupported("it divides by 0", "the file is damaged; export it again")
    return call.builder.affine(call.x, 1.0 / values, np.zeros(1))


def relu(call: Call) -> Traced:
    """Relu."""
    return call.builder.activation(call.x, ReLU())


def leaky_relu(call: Call) -> Traced:
    """LeakyRelu."""
    return call.builder.activation(call.x, leaky(call.number("alpha", 0.01)))


def prelu(call: Call) -> Traced:
    """PRelu with one slope."""
    slopes = np.unique(call.needed(1))
    if slopes.size != 1:
        raise Unsupported("it has a slope for each channel", "use one slope (LeakyReLU), or ReLU")
    return call.builder.activation(call.x, leaky(float(slopes[0])))


def clip_(call: Call) -> Traced:
    """Clip; opset 11 has its bounds as inputs, older ones as attributes."""
    low, high = (None if call.constant(i) is None else float(call.needed(i).reshape(-1)[0]) for i in (1, 2))
    if call.opset < 11:
        low, high = (call.number(n, d) for n, d in (("min", -3.4e38), ("max", 3.4e38)))
    bounds = (None if low is None or low < -1e38 else low, None if high is None or high > 1e38 else high)
    return call.builder.activation(call.x, clip(*bounds))


def _plain(name: str) -> Callable[[Call], Traced]:
    def translate(call: Call) -> Traced:
        return call.builder.activation(call.x, named_activation(name))

    return translate


def hard_sigmoid(call: Call) -> Traced:
    """HardSigmoid, as the gate of hard swish alone."""
    if abs(call.number("alpha", 0.2) - 1 / 6) > 1e-4 or abs(call.number("beta", 0.5) - 0.5) > 1e-4:
        raise Unsupported("strop has no hard sigmoid", "use Sigmoid or HardSwish")
    return call.builder.gate(call.x, "HardSwish")


def sigmoid(call: Call) -> Traced:
    """Sigmoid, which may be the gate of SiLU."""
    return call.builder.gate(call.x, "SiLU")


def max_pool(call: Call) -> Traced:
    """MaxPool."""
    x = nchw(call.x)
    kernel, stride = pair(call.numbers("kernel_shape"), (1, 1)), pair(call.numbers("strides"), (1, 1))
    if pair(call.numbers("dilations"), (1, 1)) != (1, 1):
        raise Unsupported("it is dilated", "use pooling without dilation")
    padding = _edges(call, x.shape[1:], kernel, stride, (1, 1))
    size = None
    if call.whole("ceil_mode", 0) and x.rank == 4:
        size = ceil_size(x.shape[1:], kernel, stride, padding)
    return call.builder.max_pool(x, kernel, stride, padding, size)


def ceil_size(size: Pair, kernel: Pair, stride: Pair, padding: Edges) -> Pair:
    """Return the output's height and width in ceil mode: the last window begins inside the map or its first padding."""
    found = []
    for i in (0, 1):
        count = -(-(size[i] + padding[i] + padding[i + 2] - kernel[i]) // stride[i]) + 1
        found.append(count - 1 if (count - 1) * stride[i] >= size[i] + padding[i] else count)
    return found[0], found[1]


def average_pool(call: Call) -> Traced:
    """AveragePool."""
    x = nchw(call.x)
    kernel, stride = pair(call.numbers("kernel_shape"), (1, 1)), pair(call.numbers("strides"), (1, 1))
    if call.whole("ceil_mode", 0) or pair(call.numbers("dilations"), (1, 1)) != (1, 1):
        raise Unsupported("it has ceil mode or dilation", "use average pooling without them")
    padding = _edges(call, x.shape[1:], kernel, stride, (1, 1))
    return call.builder.average_pool(x, kernel, stride, padding, bool(call.whole("count_include_pad", 0)))


def global_max_pool(call: Call) -> Traced:
    """GlobalMaxPool."""
    size = nchw(call.x).shape[1:]
    return call.builder.max_pool(call.x, size, (1, 1), (0, 0, 0, 0))


def global_average_pool(call: Call) -> Traced:
    """GlobalAveragePool."""
    return call.builder.global_average(nchw(call.x))


def same(call: Call) -> Traced:
    """What leaves values as they are in inference: Identity, Dropout; rounding to another grid, too."""
    return call.x


def swish(call: Call) -> Traced:
    """Swish: x * sigmoid(alpha * x), with alpha 1."""
    if call.number("alpha", 1.0) != 1.0:
        raise Unsupported(f"its alpha is {call.number('alpha', 1.0):g}", "allowed: 1 (SiLU)")
    return call.builder.activation(call.x, named_activation("SiLU"))


def cast(call: Call) -> Traced:
    """Cast to another type of floating point."""
    kind = type_name(call.whole("to", 0))
    if kind not in ("float", "float16", "bfloat16", "double"):
        raise Unsupported(f"it makes {kind} of values, which cuts what lies between", "cast to floating point alone")
    return call.x


def quantize_linear(call: Call) -> Traced:
    """QuantizeLinear: a rounding, and a ReLU where its type begins at the zero point: quantizers leave that one out.

    Without a zero point it is 0, of the type uint8 unless `output_dtype` says another.
    """
    zero, kind = call.constant(2), type_name(call.whole("output_dtype", UINT8))
    if zero is None:
        zero = np.zeros(1, np.int64)
    else:
        kind = zero.dtype.name
    lowest = np.asarray(zero.astype(np.int64) == _least(kind))
    if lowest.any() and not lowest.all():
        raise Unsupported("it is a ReLU of some channels, by their zero points", "quantize by tensor, not by channel")
    return call.builder.not_negative(call.x) if lowest.all() else call.x


UINT8 = 2  # TensorProto.UINT8


def type_name(number: int) -> str:
    """Return the name of one of ONNX's types of tensors, in lower case: float, int8, ..."""
    types = require_onnx().TensorProto.DataType
    return str(types.Name(number)).lower() if number in types.values() else f"type {number}"


def _least(kind: str) -> int | None:
    """Return the least value of a type of integers, None for other types."""
    found = re.fullmatch(r"(u?)int(\d+)", kind)
    return None if found is None else 0 if found[1] else -(1 << (int(found[2]) - 1))


def softmax(call: Call) -> Traced:
    """Softmax, at the end alone: strop's loss has it."""
    return call.builder.at_end(call.x)


OPERATORS: dict[str, Callable[[Call], Traced]] = {
    "Add": add,
    "AveragePool": average_pool,
    "BatchNormalization": batch_normalization,
    "Cast": cast,
    "Clip": clip_,
    "Concat": concat,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "DequantizeLinear": same,
    "Div": div,
    "Dropout": same,
    "Flatten": flatten,
    "Gemm": gemm,
    "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": global_max_pool,
    "HardSigmoid": hard_sigmoid,
    "HardSwish": _plain("HardSwish"),
    "Identity": same,
    "LeakyRelu": leaky_relu,
    "LogSoftmax": softmax,
    "MatMul": matmul,
    "MaxPool": max_pool,
    "Mul": mul,
    "PRelu": prelu,
    "Pad": pad,
    "QuantizeLinear": quantize_linear,
    "ReduceMean": reduce_mean,
    "Relu": relu,
    "Reshape": reshape,
    "Resize": resize,
    "Sigmoid": sigmoid,
    "Softmax": softmax,
    "Squeeze": squeeze,
    "Sub": sub,
    "Sum": sum_,
    "Swish": swish,
    "Tanh": _plain("Tanh"),
    "Transpose": transpose,
    "Unsqueeze": squeeze,
    "Upsample": resize,
}
