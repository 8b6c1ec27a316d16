"""Reads an ONNX graph as operations: node by node, with constants computed on the way, and every obstacle collected."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.host.importing.builder import Builder, Traced, input_value
from strop.host.importing.errors import ModelImportError, Obstacle, Unsupported, UnsupportedNodes
from strop.host.importing.onnx_call import Call
from strop.host.importing.onnx_constants import FOLDED, fold
from strop.host.importing.onnx_file import array_of, open_onnx, opset_of, require_onnx
from strop.host.importing.onnx_operators import OPERATORS
from strop.host.importing.operations import OperationGraph
from strop.runtime.graph import Shape

PAST_THE_END = ("ZipMap", "ArgMax", "Cast", "Identity", "Softmax", "LogSoftmax", "ArrayFeatureExtractor", "Normalizer")
MAX_NODES = 20_000


@dataclass(frozen=True)
class Layout:
    """How the file takes images: the input's name and dtype, axes, and samples at a time (0: any number)."""

    name: str
    dtype: np.dtype[Any]
    samples: int
    flat: bool
    channels_last: bool

    def of(self, images: NDArray[Any]) -> NDArray[Any]:
        """Return images [n, C, H, W] in this layout."""
        if self.flat:
            images = images.reshape(len(images), -1)
        elif self.channels_last:
            images = images.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(images, self.dtype)


def read_onnx(
    path: str | Path, *, input_shape: Shape | None = None, output: str | None = None
) -> tuple[OperationGraph, str, Layout]:
    """Return the operations of an ONNX file up to `output` (None: its scores), that output's name, and its input.

    input_shape: (channels, height, width), where the file does not say it or takes flat samples. Raises
    `ModelImportError`, and `UnsupportedNodes` with all nodes that have no counterpart.
    """
    return _Reader(Path(path).expanduser(), open_onnx(path)).read(input_shape, output)


class _Reader:
    def __init__(self, path: Path, model: Any) -> None:
        self.path, self.model = path, model
        self.opset = opset_of(model)
        self.constants: dict[str, NDArray[Any]] = {}
        self.values: dict[str, Traced] = {}
        self.lost: set[str] = set()  # what unsupported nodes give
        self.obstacles: list[Obstacle] = []

    def read(self, input_shape: Shape | None, output: str | None) -> tuple[OperationGraph, str, Layout]:
        graph = self.model.graph
        if len(graph.node) > MAX_NODES:
            raise ModelImportError(f"{self.path} has {len(graph.node):,} nodes; allowed: {MAX_NODES:,}")
        producers = {name: node for node in graph.node for name in node.output if name}
        wanted = self._output(producers, output)
        nodes = self._needed(wanted)
        for tensor in graph.initializer:
            self.constants[tensor.name] = array_of(tensor, self.path.parent)
        self.values[self._input_name(nodes)] = value = self._input(nodes, input_shape)
        layout = self._layout(nodes, value)
        self.builder = Builder(graph.name or self.path.stem, value.shape, layout.samples)
        self._inferred = self._infer_shapes(value)
        for node in nodes:
            self._translate(node)
        if self.obstacles:
            raise UnsupportedNodes(str(self.path), tuple(self.obstacles))
        if wanted not in self.values:
            raise ModelImportError(f"{self.path}: the output {wanted!r} does not depend on the images")
        return self._finished(self.values[wanted]), wanted, layout

    def _finished(self, value: Traced) -> OperationGraph:
        try:
            return self.builder.finish(value)
        except Unsupported as reason:
            raise ModelImportError(f"{self.path}: {reason.why}; {reason.remedy}") from reason

    def _layout(self, nodes: list[Any], value: Traced) -> Layout:
        name = self._input_name(nodes)
        entry = next(e for e in self.model.graph.input if e.name == name)
        dtype = require_onnx().helper.tensor_dtype_to_np_dtype(entry.type.tensor_type.elem_type)
        samples = entry.type.tensor_type.shape.dim[0].dim_value
        return Layout(name, np.dtype(dtype), samples, value.rank == 2, value.channels_last)

    # -- what to read ---------------------------------------------------------------------------------------------
    def _output(self, producers: dict[str, Any], asked: str | None) -> str:
        """Return the scores' name: the output that was asked for, or the first that is no label."""
        names = [entry.name for entry in self.model.graph.output]
        if asked is not None:
            if asked not in producers:
                raise ModelImportError(f"{self.path} has no value {asked!r}; its outputs: {', '.join(names)}")
            return asked
        candidates = []
        for name in names:
            node = producers.get(name)
            while node is not None and node.op_type in PAST_THE_END:
                if node.op_type in ("ArgMax", "ArrayFeatureExtractor"):
                    break  # a label
                name = str(node.input[0])
                node = producers.get(name)
            if node is not None and node.op_type not in ("ArgMax", "ArrayFeatureExtractor", "Reshape"):
                candidates.append(name)
        found = candidates or [name for name in names if name in producers]
        if not found:
            raise ModelImportError(f"{self.path} has no output that a node gives")
        return str(found[0])

    def _needed(self, wanted: str) -> list[Any]:
        """Return the nodes that `wanted` depends on; onnx's checker made sure that each follows those that it reads."""
        names, found = {wanted}, []
        for node in reversed(self.model.graph.node):
            if any(name in names for name in node.output if name):
                names.update(node.input)
                found.append(node)
        return found[::-1]

    def _input_name(self, nodes: list[Any]) -> str:
        read = {name for node in nodes for name in node.input}
        names = [e.name for e in self.model.graph.input if e.name not in self.constants and e.name in read]
        if len(names) != 1:
            raise ModelImportError(
                f"{self.path} takes {len(names)} inputs ({', '.join(names) or 'none'}); strop takes one, images"
            )
        return str(names[0])

    def _input(self, nodes: list[Any], asked: Shape | None) -> Traced:
        name = self._input_name(nodes)
        entry = next(e for e in self.model.graph.input if e.name == name)
        dims = [d.dim_value if d.HasField("dim_value") else 0 for d in entry.type.tensor_type.shape.dim]
        if not entry.type.HasField("tensor_type") or len(dims) not in (2, 4):
            raise ModelImportError(
                f"{self.path}: the input {name!r} has the shape {dims}; strop takes images, [samples, channels, "
                "height, width] or [samples, features]"
            )
        if len(dims) == 2:
            shape = asked or (dims[1], 1, 1)
            if dims[1] and int(np.prod(shape)) != dims[1]:
                raise ModelImportError(f"{self.path} takes {dims[1]} features; input_shape={asked} has another number")
            channels_last = False
        else:
            # [N, H, W, C], by what libraries with channels last do first, or by sizes
            firsts = [node for node in nodes if name in node.input]
            transposed = any(n.op_type == "Transpose" and _attribute(n, "perm") == [0, 3, 1, 2] for n in firsts)
            channels_last = transposed or (dims[3] in (1, 3, 4) and dims[1] not in (0, 1, 3, 4))
            shape = asked or ((dims[3], dims[1], dims[2]) if channels_last else (dims[1], dims[2], dims[3]))
        if min(shape) < 1:
            raise ModelImportError(
                f"{self.path}: the size of the input {name!r} is not fixed ({dims}); pass input_shape=(channels, "
                "height, width), in the shell --input-shape CxHxW"
            )
        declared = input_value(shape, len(dims), channels_last)
        if any(d and d != s for d, s in zip(dims[1:], declared.foreign_shape[1:], strict=True)):
            raise ModelImportError(f"{self.path} takes {dims}; input_shape={asked} differs")
        return declared

    def _infer_shapes(self, value: Traced) -> dict[str, list[int]]:
        """Return the shapes that onnx infers for one sample, by which reading goes on behind an unsupported node."""
        onnx, model = require_onnx(), self.model
        copy = type(model)()
        copy.CopyFrom(model)
        for entry in copy.graph.input:
            if entry.name in self.values:
                del entry.type.tensor_type.shape.dim[:]
                for size in value.foreign_shape:
                    entry.type.tensor_type.shape.dim.add().dim_value = size
        try:
            inferred = onnx.shape_inference.infer_shapes(copy, data_prop=True)
        except Exception:
            return {}
        return {
            entry.name: [d.dim_value for d in entry.type.tensor_type.shape.dim]
            for entry in inferred.graph.value_info
            if all(d.HasField("dim_value") for d in entry.type.tensor_type.shape.dim)
        }

    # -- node by node ---------------------------------------------------------------------------------------------
    def _translate(self, node: Any) -> None:
        label = node.name or (node.output[0] if node.output else "")
        try:
            known = node.domain in ("", "ai.onnx") and (node.op_type in OPERATORS or node.op_type in FOLDED)
            if not known and node.op_type != "Constant":
                domain = f" of the domain {node.domain!r}" if node.domain not in ("", "ai.onnx") else ""
                raise Unsupported(f"strop has no layer for it{domain}", _remedy(node.op_type))
            if any(name in self.lost for name in node.input):
                self._lose(node)
                return
            self._compute(node, label)
        except Unsupported as reason:
            self.obstacles.append(Obstacle(label, node.op_type, reason.why, reason.remedy))
            self._lose(node)

    def _compute(self, node: Any, label: str) -> None:
        if node.op_type == "Constant":
            self.constants[node.output[0]] = _constant(node, self.path.parent)
            return
        for name in node.input:
            if name and name not in self.values and name not in self.constants:
                raise Unsupported(f"its input {name!r} is a further result of a node", "use first results alone")
        if node.op_type in ("Shape", "Size") and node.input[0] in self.values:
            known = np.broadcast_to(np.int8(0), self.values[node.input[0]].foreign_shape)
            self.constants[node.output[0]] = fold(node, [known], self.opset)[0]
            return
        if not any(name in self.values for name in node.input):
            found = fold(node, [self.constants[name] if name else None for name in node.input], self.opset)
            self.constants.update(zip((n for n in node.output if n), found, strict=False))
            return
        if node.op_type not in OPERATORS:
            raise Unsupported("strop has no layer for it", _remedy(node.op_type))
        inputs = [self.values.get(n) if n in self.values else self.constants.get(n) for n in node.input]
        self.builder.at(label, node.op_type)
        call = Call(self.builder, inputs, {a.name: a for a in node.attribute}, self.opset)
        self.values[node.output[0]] = OPERATORS[node.op_type](call)

    def _lose(self, node: Any) -> None:
        """Go on behind a node without a counterpart, in the shape that onnx infers, so that others are told of, too."""
        for name in node.output:
            shape = self._inferred.get(name, [])
            if len(shape) == 4 and min(shape) > 0:
                self.values[name] = Traced("?", (shape[1], shape[2], shape[3]))
            elif len(shape) == 2 and min(shape) > 0:
                self.values[name] = Traced("?", (shape[1], 1, 1), rank=2)
            elif name:
                self.lost.add(name)


def _attribute(node: Any, name: str) -> list[int]:
    return next((list(a.ints) for a in node.attribute if a.name == name), [])


def _constant(node: Any, folder: Path) -> NDArray[Any]:
    for a in node.attribute:
        if a.name == "value":
            return array_of(a.t, folder)
        if a.name in ("value_float", "value_int"):
            return np.asarray(
                a.f if a.name == "value_float" else a.i, np.float32 if a.name == "value_float" else np.int64
            )
        if a.name in ("value_floats", "value_ints"):
            floats = a.name == "value_floats"
            return np.asarray(list(a.floats if floats else a.ints), np.float32 if floats else np.int64)
    raise Unsupported("its constant is of a kind without numbers", "remove strings from the network")


def _remedy(op: str) -> str:
    if op in ("LSTM", "GRU", "RNN", "Attention", "MultiHeadAttention", "LayerNormalization", "Einsum", "Gelu", "Erf"):
        return "strop trains convolutional networks; take one without recurrence or attention"
    if op in ("InstanceNormalization", "GroupNormalization", "LpNormalization", "LRN"):
        return "train the network with batch normalization instead"
    if op in ("If", "Loop", "Scan"):
        return "export the network without control flow (tracing instead of scripting)"
    return "replace it by layers that strop has, or cut the network in front of it with output="
