"""What of an ONNX graph does not depend on the images: computed once, by the operators' definitions in onnx itself."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.host.importing.errors import Unsupported
from strop.host.importing.onnx_file import MAX_PARAMETERS, require_onnx

FOLDED = frozenset(
    {"Abs", "Add", "Cast", "Ceil", "Concat", "ConstantOfShape", "DequantizeLinear", "Div", "Equal", "Exp", "Expand"}
    | {"Flatten", "Floor", "Gather", "Identity", "Max", "Min", "Mod", "Mul", "Neg", "Not", "Pow", "QuantizeLinear"}
    | {"Range", "Reciprocal", "ReduceProd", "Reshape", "Round", "Shape", "Size", "Slice", "Split", "Sqrt", "Squeeze"}
    | {"Sub", "Transpose", "Unsqueeze", "Where"}
)


def fold(node: Any, inputs: Sequence[NDArray[Any] | None], opset: int) -> list[NDArray[Any]]:
    """Return what a node gives for constant inputs. Raises `Unsupported` for operators that are not folded."""
    if node.op_type not in FOLDED or node.domain not in ("", "ai.onnx"):
        raise Unsupported(
            "its inputs are constants, and it is not among what is computed at import",
            "fold constants before: onnxruntime's optimized_model_filepath, or onnxsim",
        )
    _check_size(node, inputs)
    onnx = require_onnx()
    from onnx.reference import ReferenceEvaluator

    h, names = onnx.helper, list(node.input)
    feeds = {name: array for name, array in zip(names, inputs, strict=True) if name and array is not None}
    types = [
        h.make_tensor_value_info(name, h.np_dtype_to_tensor_dtype(array.dtype), list(array.shape))
        for name, array in feeds.items()
    ]
    outputs = [h.make_value_info(name, onnx.TypeProto()) for name in node.output if name]
    model = h.make_model(h.make_graph([node], "constant", types, outputs), opset_imports=[h.make_opsetid("", opset)])
    try:
        found = ReferenceEvaluator(model).run(None, feeds)
    except Exception as error:
        raise Unsupported(f"its constants cannot be computed ({error})", "export the network again") from error
    return [np.asarray(array) for array in found]


def _check_size(node: Any, inputs: Sequence[NDArray[Any] | None]) -> None:
    """Refuse what would make large arrays of small ones."""
    arrays = [array for array in inputs if array is not None]
    try:
        total = _size(node, arrays)
    except (ArithmeticError, IndexError, ValueError) as error:
        raise Unsupported(f"its inputs do not fit each other ({error})", "export the network again") from error
    if total > MAX_PARAMETERS:
        raise Unsupported(f"it makes a constant of {total:,} numbers", f"allowed: {MAX_PARAMETERS:,}")


def _size(node: Any, arrays: list[NDArray[Any]]) -> int:
    """Return at least how many numbers a node gives, in Python's integers. Raises where its inputs do not fit."""
    if node.op_type == "ConstantOfShape":
        return prod(_whole(arrays[0]))
    if node.op_type == "Expand":
        return _broadcast_size([arrays[0].shape, _whole(arrays[1])])
    if node.op_type == "Range":
        first, last, step = (float(array.reshape(-1)[0]) for array in arrays[:3])
        return int(abs((last - first) / step))
    if node.op_type == "Gather":
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
        return arrays[1].size * prod(_whole(np.delete(arrays[0].shape, axis)))
    if node.op_type == "Concat":
        return sum(array.size for array in arrays)
    if node.op_type in ("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Where", "Mod", "Equal"):
        return _broadcast_size([array.shape for array in arrays])
    return max((array.size for array in arrays), default=0)


def _whole(array: NDArray[Any]) -> tuple[int, ...]:
    return tuple(int(value) for value in array.reshape(-1))


def _broadcast_size(shapes: Sequence[tuple[int, ...]]) -> int:
    """Return the size of what shapes broadcast to, without an array of it."""
    rank = max(map(len, shapes), default=0)
    total = 1
    for sizes in zip(*((1,) * (rank - len(shape)) + tuple(shape) for shape in shapes), strict=True):
        wide = {size for size in sizes if size != 1}
        if len(wide) > 1:
            raise ValueError(f"{' and '.join(str(list(shape)) for shape in shapes)}")
        total *= wide.pop() if wide else 1
    return total
