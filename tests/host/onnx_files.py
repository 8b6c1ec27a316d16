"""Small ONNX files with random weights, and what ONNX Runtime makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


class OnnxFile:
    """An ONNX network in the making: nodes one after the other, each reading the last unless told otherwise."""

    def __init__(self, shape: tuple[Any, ...] = ("N", 1, 8, 8), opset: int = 17, seed: int = 0) -> None:
        self.shape, self.opset, self.last = shape, opset, "x"
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.random = np.random.Generator(np.random.PCG64(seed))

    def node(self, op: str, *inputs: str, source: str | None = None, domain: str = "", **attributes: Any) -> str:
        """Add a node that reads `source` (the last value) and then `inputs`; return what it gives."""
        name = f"{op.lower()}{len(self.nodes)}"
        names = [self.last if source is None else source, *inputs]
        self.nodes.append(onnx.helper.make_node(op, names, [name], name=f"/{name}", domain=domain, **attributes))
        self.last = name
        return name

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """Add a constant; return its name."""
        name = f"c{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def weights(self, *shape: int) -> str:
        """Add normal weights of a deviation that keeps values about as large as they are."""
        fan_in = max(1, int(np.prod(shape[1:])))
        return self.constant(self.random.normal(0, 1.5 / np.sqrt(fan_in), shape))

    def conv(self, inputs: int, outputs: int, kernel: int = 3, *, bias: bool = False, **attributes: Any) -> str:
        """Add a convolution."""
        per_group = inputs // attributes.get("group", 1)
        parts = [self.weights(outputs, per_group, kernel, kernel)]
        parts += [self.constant(self.random.normal(0, 0.5, outputs))] if bias else []
        return self.node("Conv", *parts, kernel_shape=[kernel, kernel], **attributes)

    def batch_norm(self, channels: int) -> str:
        """Add batch normalization with running statistics of its own."""
        draw = self.random.uniform
        parts = [
            draw(0.5, 1.5, channels),
            draw(-0.5, 0.5, channels),
            draw(-0.3, 0.3, channels),
            draw(0.3, 1.2, channels),
        ]
        return self.node("BatchNormalization", *(self.constant(part) for part in parts))

    def head(self, features: int, classes: int = 3) -> str:
        """Flatten and add the last layer."""
        self.node("Flatten")
        return self.node("Gemm", self.weights(classes, features), self.constant(np.arange(classes) / 4), transB=1)

    def model(self, classes: int = 3) -> Any:
        """Return the `ModelProto`."""
        x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, list(self.shape))
        y = onnx.helper.make_tensor_value_info(self.last, onnx.TensorProto.FLOAT, ["N", classes])
        graph = onnx.helper.make_graph(self.nodes, "net", [x], [y], self.constants)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", self.opset)])
        model.ir_version = 8
        return model

    def save(self, folder: Path, classes: int = 3, name: str = "net.onnx") -> Path:
        """Write the file; return its path."""
        path = folder / name
        onnx.save(self.model(classes), str(path))
        return path


def runtime_logits(path: Path, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what ONNX Runtime computes."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: x})[0]
    return found


def some_images(count: int = 24, shape: tuple[int, int, int] = (1, 8, 8), seed: int = 1) -> NDArray[np.uint8]:
    """Return random images without the pixel 0, which strop reads as 1."""
    return np.random.Generator(np.random.PCG64(seed)).integers(1, 256, (count, *shape)).astype(np.uint8)
