"""What of an ONNX graph does not depend on the images: computed once, by the operators' definitions in onnx itself."""

from __future__ import annotations

from collections.abc import Sequence
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
    sizes = [array.size for array in arrays]
    total = max(sizes, default=0)
    if node.op_type in ("ConstantOfShape", "Expand"):
        total = int(np.prod(arrays[-1].astype(np.float64)))
    elif node.op_type == "Range":
        first, last, step = (float(array) for array in arrays)
        total = int(abs((last - first) / step)) if step else MAX_PARAMETERS + 1
    elif len(arrays) > 1 and node.op_type in ("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Where", "Mod", "Equal"):
        try:
            total = int(np.prod([float(d) for d in np.broadcast_shapes(*(array.shape for array in arrays))]))
        except ValueError:
            raise Unsupported("its shapes do not fit each other", "export the network again") from None
    if total > MAX_PARAMETERS:
        raise Unsupported(f"it makes a constant of {total:,} numbers", f"allowed: {MAX_PARAMETERS:,}")
