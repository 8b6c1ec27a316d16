"""Builds an `OperationGraph`: what readers call for each node, with the checks that do not depend on the format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from strop.host.importing.activations import named_activation
from strop.host.importing.errors import Unsupported
from strop.host.importing.operations import (
    INPUT,
    Activate,
    Affine,
    AveragePool,
    Convolve,
    ConvolveTransposed,
    Dense,
    Edges,
    Flat,
    Floats,
    GlobalAverage,
    Join,
    MaxPool,
    Operation,
    OperationGraph,
    Pad,
    Pair,
    Sum,
    Upsample,
    What,
)
from strop.runtime.contract import C
from strop.runtime.graph import Layer, ReLU, ReLU6, Shape, Sigmoid

SOFTMAX = "softmax"


@dataclass(frozen=True)
class Traced:
    """A value on its way: the operation that gives it, its shape [C, H, W], and how the foreign graph holds it.

    rank: dimensions there, with that of samples: 4 or 2. channels_last: [N, H, W, C] there. flattened: of rank 2, made
    from a map [C, H, W] whose channels came last, so that its features count otherwise than here.
    """

    name: str
    shape: Shape
    rank: int = 4
    channels_last: bool = False
    flattened: Shape | None = None

    @property
    def foreign_shape(self) -> tuple[int, ...]:
        """The shape as the foreign graph sees it, for one sample."""
        c, h, w = self.shape
        if self.rank == 2:
            return (1, c * h * w)
        return (1, h, w, c) if self.channels_last else (1, c, h, w)


class Builder:
    """Collects operations. `at(node, op)` says which foreign node the next ones belong to.

    samples: how many the foreign graph takes at a time, where that is fixed in its shapes; else 1.
    """

    def __init__(self, name: str, input: Shape, samples: int = 1) -> None:
        self.name, self.input, self.samples = name, input, max(1, samples)
        self._operations: list[Operation] = []
        self._pending: dict[str, tuple[Traced, str]] = {}  # what becomes an operation only where it is read
        self._node = self._op = ""

    def at(self, node: str, op: str) -> None:
        """Name the foreign node that is being translated."""
        self._node, self._op = node, op

    def finish(self, output: Traced) -> OperationGraph:
        """Return the graph up to `output`, without what does not lead there."""
        source, kind = self._pending.get(output.name, (output, ""))
        output = source if kind == SOFTMAX else self._real(output)
        wanted, kept = {output.name}, []
        for operation in reversed(self._operations):
            if operation.name in wanted:
                wanted.update(operation.inputs)
                kept.append(operation)
        return OperationGraph(self.name, self.input, tuple(reversed(kept)), output.name)

    # -- operations -------------------------------------------------------------------------------------------------
    def convolution(
        self,
        x: Traced,
        weight: Floats,
        bias: Floats | None,
        *,
        stride: Pair = (1, 1),
        padding: Edges = (0, 0, 0, 0),
        dilation: Pair = (1, 1),
        groups: int = 1,
    ) -> Traced:
        """Add a convolution with weight [K, C/groups, R, S] and perhaps a bias [K]."""
        _need_maps(x)
        if weight.ndim != 4:
            raise Unsupported(
                f"it has weights {list(weight.shape)}, and strop convolves images alone, with [K, C, R, S]",
                "use two-dimensional convolutions",
            )
        if dilation != (1, 1):
            raise Unsupported(
                f"its dilation is {dilation}, and strop's convolutions have none",
                "replace it by a larger kernel, a stride or pooling",
            )
        channels, height, width = x.shape
        k, per_group, r, s = weight.shape
        if groups < 1 or channels != per_group * groups or k % groups:
            raise Unsupported(
                f"weights {list(weight.shape)} in {groups} groups do not fit {channels} channels",
                "the file contradicts itself; export it again",
            )
        p, q = _windows((height, width), (r, s), stride, padding)
        out = self._add(Convolve(_finite(weight), stride, padding, groups), (x,), (k, p, q), x)
        return out if bias is None else self.affine(out, np.ones(k), bias)

    def transposed(
        self,
        x: Traced,
        weight: Floats,
        bias: Floats | None,
        *,
        stride: Pair,
        padding: Edges,
        output_padding: Pair,
        dilation: Pair,
        groups: int,
    ) -> Traced:
        """Add a transposed convolution with weight [C, K/groups, R, S] and perhaps a bias [K]."""
        _need_maps(x)
        top, left, bottom, right = padding
        if weight.ndim != 4 or dilation != (1, 1) or (top, left) != (bottom, right):
            raise Unsupported(
                f"weights {list(weight.shape)}, dilation {dilation}, padding {padding}: strop's transposed convolution "
                "has two dimensions, no dilation and equal padding on opposite sides",
                "use such a one, or upsampling and a convolution",
            )
        channels, height, width = x.shape
        c, per_group, r, s = weight.shape
        if c != channels or groups < 1 or c % groups:
            raise Unsupported(
                f"weights {list(weight.shape)} do not fit {channels} channels",
                "the file contradicts itself; export it again",
            )
        p = (height - 1) * stride[0] - 2 * top + r + output_padding[0]
        q = (width - 1) * stride[1] - 2 * left + s + output_padding[1]
        what = ConvolveTransposed(_finite(weight), stride, (top, left), output_padding, groups)
        out = self._add(what, (x,), (per_group * groups, p, q), x)
        return out if bias is None else self.affine(out, np.ones(per_group * groups), bias)

    def dense(self, x: Traced, weight: Floats, bias: Floats | None) -> Traced:
        """Add a fully-connected layer with weight [K, features] and perhaps a bias [K], on a value of rank 2."""
        if x.rank != 2 or weight.ndim != 2:
            raise Unsupported(
                f"a matrix product of {list(x.foreign_shape)} with {list(weight.shape)}; strop's Linear takes "
                "[samples, features]",
                "flatten or pool the map before it; attention and sequences are not supported",
            )
        features = int(np.prod(x.shape))
        if weight.shape[1] != features:
            raise Unsupported(
                f"weights for {weight.shape[1]} features on a value of {features}",
                "check the size of the input image",
            )
        if x.flattened is not None:  # from rows, columns, channels to channels, rows, columns
            c, h, w = x.flattened
            weight = weight.reshape(-1, h, w, c).transpose(0, 3, 1, 2).reshape(len(weight), -1)
        source = x if x.shape[1:] == (1, 1) else self._add(Flat(), (x,), (features, 1, 1), x)
        out = self._add(Dense(_finite(weight)), (source,), (len(weight), 1, 1), x)
        out = replace(out, flattened=None)
        return out if bias is None else self.affine(out, np.ones(len(weight)), bias)

    def affine(self, x: Traced, scale: Floats, shift: Floats) -> Traced:
        """Add scale * x + shift, each one number or [C]; for features of a flattened map in the foreign order."""
        channels = x.shape[0]
        scale, shift = (np.asarray(a, np.float64).reshape(-1) for a in (scale, shift))
        if x.flattened is not None:
            c, h, w = x.flattened
            scale, shift = (a if a.size == 1 else a.reshape(h, w, c).transpose(2, 0, 1).ravel() for a in (scale, shift))
        if {scale.size, shift.size} - {1, channels}:
            raise Unsupported(
                f"it scales or shifts {channels} channels by {max(scale.size, shift.size)} numbers",
                "one number, or one a channel, can be imported",
            )
        scale, shift = (np.broadcast_to(_finite(a), (channels,)).copy() for a in (scale, shift))
        return self._add(Affine(scale, shift), (x,), x.shape, x)

    def activation(self, x: Traced, layer: Layer) -> Traced:
        """Add an activation."""
        return self._add(Activate(layer), (x,), x.shape, x)

    def not_negative(self, x: Traced) -> Traced:
        """Add a ReLU where values may be below 0."""
        waiting, seen = [x.name], set()
        while waiting:
            name = waiting.pop()
            if name in self._pending or name in seen:  # what is pending is a sigmoid, or at the end
                continue
            seen.add(name)
            what = self._operations[int(name)].what if name.isdecimal() else None
            if isinstance(what, (AveragePool, Flat, GlobalAverage, Join, MaxPool, Pad, Sum, Upsample)):
                waiting += self._operations[int(name)].inputs
            elif not isinstance(what, Activate) or not isinstance(what.layer, (ReLU, ReLU6, Sigmoid)):
                return self.activation(x, ReLU())
        return x

    def max_pool(self, x: Traced, kernel: Pair, stride: Pair, padding: Edges, size: Pair | None = None) -> Traced:
        """Add max pooling; `size` is that of its output where it is not what the padding makes (ceil mode)."""
        _need_maps(x)
        p, q = size or _windows(x.shape[1:], kernel, stride, padding)
        return self._add(MaxPool(kernel, stride, padding), (x,), (x.shape[0], p, q), x)

    def average_pool(self, x: Traced, kernel: Pair, stride: Pair, padding: Edges, count_padding: bool) -> Traced:
        """Add average pooling."""
        _need_maps(x)
        if any(padding) and not count_padding:
            raise Unsupported(
                "it averages over the positions inside the map alone; strop counts the padding as zeros",
                "set count_include_pad, or pool without padding",
            )
        if kernel == x.shape[1:] and not any(padding):
            return self.global_average(x)
        p, q = _windows(x.shape[1:], kernel, stride, padding)
        return self._add(AveragePool(kernel, stride, padding), (x,), (x.shape[0], p, q), x)

    def global_average(self, x: Traced) -> Traced:
        """Add the mean of each channel's map."""
        _need_maps(x)
        return self._add(GlobalAverage(), (x,), (x.shape[0], 1, 1), x)

    def pad(self, x: Traced, padding: Edges) -> Traced:
        """Add zeros around a map."""
        _need_maps(x)
        c, h, w = x.shape
        if min(padding) < 0:
            raise Unsupported(f"padding {padding} cuts the map", "crop the images before they come in")
        top, left, bottom, right = padding
        return self._add(Pad(padding), (x,), (c, h + top + bottom, w + left + right), x)

    def upsample(self, x: Traced, scale: Pair) -> Traced:
        """Add upsampling by the nearest."""
        _need_maps(x)
        c, h, w = x.shape
        return self._add(Upsample(scale), (x,), (c, h * scale[0], w * scale[1]), x)

    def flat(self, x: Traced) -> Traced:
        """Give a map the rank 2; its features are counted here as channels, rows, columns."""
        if x.rank == 2:
            return x
        c, h, w = x.shape
        if (h, w) == (1, 1):
            return replace(x, rank=2, channels_last=False)
        out = self._add(Flat(), (x,), (c * h * w, 1, 1), x)
        return replace(out, rank=2, channels_last=False, flattened=x.shape if x.channels_last and c > 1 else None)

    def sum(self, a: Traced, b: Traced) -> Traced:
        """Add the sum of two maps."""
        if a.shape != b.shape or a.flattened != b.flattened:
            raise Unsupported(
                f"a sum of {list(a.foreign_shape)} and {list(b.foreign_shape)}",
                "only maps of one shape can be added; broadcasting cannot be imported",
            )
        return self._add(Sum(), (a, b), a.shape, a)

    def join(self, values: Sequence[Traced]) -> Traced:
        """Add a concatenation along the channels."""
        first = values[0]
        if any(v.shape[1:] != first.shape[1:] or v.rank != first.rank or v.flattened is not None for v in values):
            raise Unsupported(
                f"a concatenation of {', '.join(str(list(v.foreign_shape)) for v in values)}",
                "only maps of one height and width can be joined",
            )
        if len(values) == 1:
            return first
        return self._add(Join(), tuple(values), (sum(v.shape[0] for v in values), *first.shape[1:]), first)

    def gate(self, x: Traced, product: str) -> Traced:
        """Add sigmoid or hard sigmoid, which times x is the activation `product` (SiLU, HardSwish)."""
        return self._later(x, product)

    def gated(self, a: Traced, b: Traced) -> Traced:
        """Add the product of a value and its gate."""
        for x, gate in ((a, b), (b, a)):
            source, product = self._pending.get(gate.name, (gate, SOFTMAX))
            if product != SOFTMAX and source.name == x.name:
                return self.activation(x, named_activation(product))
        raise Unsupported(
            "it multiplies two values that depend on the images",
            "x * sigmoid(x) and x * hardsigmoid(x) can be imported; squeeze-and-excitation cannot",
        )

    def at_end(self, x: Traced) -> Traced:
        """Add a softmax, which nothing may read: strop's loss has it."""
        return self._later(x, SOFTMAX)

    def _later(self, x: Traced, kind: str) -> Traced:
        name = f"{kind} of {x.name}"
        self._pending[name] = (x, kind)
        return replace(x, name=name)

    def _real(self, x: Traced) -> Traced:
        """Return a value that an operation gives."""
        if x.name not in self._pending:
            return x
        source, kind = self._pending[x.name]
        if kind == "SiLU":
            return self.activation(source, named_activation("Sigmoid"))
        what = "a softmax" if kind == SOFTMAX else "a hard sigmoid"
        raise Unsupported(
            f"it reads {what}, which strop has {'at the end alone' if kind == SOFTMAX else 'in HardSwish alone'}",
            "cut the network in front of it with output=" if kind == SOFTMAX else "use Sigmoid or HardSwish",
        )

    def _add(self, what: What, sources: tuple[Traced, ...], shape: Shape, like: Traced) -> Traced:
        if min(shape) < 1 or max(shape[1:]) > C.MAX_SIDE or shape[0] > C.MAX_CHANNELS * C.MAX_SIDE:
            raise Unsupported(
                f"it gives a map of {list(shape)}",
                f"allowed: 1 to {C.MAX_SIDE} a side, at most {C.MAX_CHANNELS} channels",
            )
        inputs = tuple(self._real(source).name for source in sources)
        name = f"{len(self._operations)}"
        self._operations.append(Operation(name, self._node, self._op, what, inputs, shape))
        return replace(like, name=name, shape=shape)


def input_value(shape: Shape, rank: int, channels_last: bool) -> Traced:
    """Return the network's input."""
    flattened = shape if rank == 2 and channels_last and shape[0] > 1 else None
    return Traced(INPUT, shape, rank, channels_last and rank == 4, flattened)


def _windows(size: Pair, kernel: Pair, stride: Pair, padding: Edges) -> Pair:
    if min(kernel) < 1 or min(stride) < 1 or min(padding) < 0:
        raise Unsupported(f"kernel {kernel}, stride {stride}, padding {padding}", "they must be positive")
    top, left, bottom, right = padding
    room = (size[0] + top + bottom - kernel[0], size[1] + left + right - kernel[1])
    if min(room) < 0:
        raise Unsupported(f"its kernel {kernel} is larger than the padded map {size}", "use larger images")
    return room[0] // stride[0] + 1, room[1] // stride[1] + 1


def _need_maps(x: Traced) -> None:
    if x.rank != 4:
        raise Unsupported(f"it takes images, and gets {list(x.foreign_shape)}", "give input_shape=(C, H, W)")


def _finite(array: Floats) -> Floats:
    found = np.asarray(array, np.float64)
    if not np.isfinite(found).all():
        raise Unsupported("its parameters hold numbers that are not finite", "train or export the network again")
    return found
