"""ONNX networks of many kinds in strop's layers: in float they must compute what ONNX Runtime does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from onnx_files import OnnxFile, runtime_logits, some_images
from strop.host.importing.assemble import assemble
from strop.host.importing.importer import prepared
from strop.host.importing.onnx_reader import read_onnx
from strop.host.importing.pixels import Normalization
from strop.host.quantization import FloatNetwork, float_logits

NORMALIZATION = Normalization.of(1, 0.4, 0.3, 1 / 255)
RELU_PADS = {"pads": [1, 1, 1, 1]}


def restated(
    path: Path,
    shape: tuple[int, int, int] | None = None,
    *,
    mean: float = 0.4,
    std: float = 0.3,
    tolerance: float = 2e-4,
) -> tuple[FloatNetwork, np.ndarray]:
    """Return the network in strop's layers and its logits; assert that ONNX Runtime's are the same."""
    operations, _, layout = read_onnx(path, input_shape=shape)
    images = some_images(shape=operations.input)
    normalization = Normalization.of(operations.input[0], mean, std, 1 / 255)
    network = assemble(operations, normalization, str(path))
    ours, theirs = float_logits(network, images), runtime_logits(path, layout.of(prepared(images, normalization)))
    np.testing.assert_allclose(ours, theirs, atol=tolerance * max(1.0, float(np.abs(theirs).max())))
    return network, ours


def kinds(network: FloatNetwork) -> list[str]:
    """Return the kinds of the declared layers."""
    return [layer.kind for layer in network.graph.layers]


def plain(f: OnnxFile) -> None:
    """Convolution, batch normalization, ReLU, pooling, and a Linear layer."""
    f.conv(1, 4), f.batch_norm(4), f.node("Relu"), f.node("MaxPool", kernel_shape=[2, 2], strides=[2, 2]), f.head(36)


def folded(f: OnnxFile) -> None:
    """Batch normalization folded into convolutions with biases, padded, one depthwise."""
    f.conv(1, 4, bias=True, **RELU_PADS), f.node("Relu")
    f.conv(4, 4, bias=True, group=4, strides=[2, 2], **RELU_PADS), f.node("Relu")
    f.conv(4, 6, 1, bias=True), f.node("Relu"), f.node("GlobalAveragePool"), f.head(6)


def residual(f: OnnxFile) -> None:
    """A residual with a projection, one with x itself, both behind a stem; Softmax at the end."""
    f.conv(1, 4, **RELU_PADS), f.batch_norm(4)
    stem = f.node("Relu")
    f.conv(4, 6, strides=[2, 2], **RELU_PADS), f.batch_norm(6), f.node("Relu"), f.conv(6, 6, **RELU_PADS)
    body = f.batch_norm(6)
    f.last = stem
    f.conv(4, 6, 1, strides=[2, 2])
    shortcut = f.batch_norm(6)
    f.node("Add", shortcut, source=body)
    second = f.node("Relu")
    f.conv(6, 6, **RELU_PADS)
    body = f.batch_norm(6)
    f.node("Add", body, source=second), f.node("Relu"), f.node("GlobalAveragePool"), f.head(6)


def preactivation(f: OnnxFile) -> None:
    """Batch normalization and ReLU before each convolution, sums of what convolutions give."""
    x = f.conv(1, 4, **RELU_PADS)
    for _ in range(2):
        f.batch_norm(4), f.node("Relu"), f.conv(4, 4, **RELU_PADS), f.batch_norm(4), f.node("Relu")
        body = f.conv(4, 4, **RELU_PADS)
        x = f.node("Add", body, source=x)
    f.batch_norm(4), f.node("Relu"), f.node("GlobalAveragePool"), f.head(4)


def dense(f: OnnxFile) -> None:
    """DenseNet as torchvision exports it: every layer concatenates all before it; average pooling in between."""
    f.conv(1, 4, **RELU_PADS), f.batch_norm(4), f.node("Relu")
    values = [f.node("MaxPool", kernel_shape=[2, 2], strides=[2, 2])]
    for count in (4, 8):
        if len(values) > 1:
            f.node("Concat", *values[1:], source=values[0], axis=1)
        f.batch_norm(count), f.node("Relu")
        values.append(f.conv(count, 4, **RELU_PADS))
    f.node("Concat", *values[1:], source=values[0], axis=1)
    f.batch_norm(12), f.node("Relu"), f.conv(12, 6, 1), f.node("AveragePool", kernel_shape=[2, 2], strides=[2, 2])
    f.batch_norm(6), f.node("Relu"), f.node("GlobalAveragePool"), f.head(6)


def inception(f: OnnxFile) -> None:
    """Branches of activations, joined."""
    f.conv(1, 4, **RELU_PADS), f.batch_norm(4)
    x = f.node("Relu")
    ends = []
    for kernel in (1, 3):
        f.last = x
        f.conv(4, 4, kernel, bias=True, pads=[kernel // 2] * 4)
        ends.append(f.node("Relu"))
    ends.append(f.node("MaxPool", source=x, kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
    f.node("Concat", *ends[1:], source=ends[0], axis=1), f.conv(12, 4, 1), f.node("GlobalAveragePool"), f.head(4)


def channels_last(f: OnnxFile) -> None:
    """As tf2onnx writes: transposed at the border, flattened with channels last, biases as sums, MatMul."""
    f.shape = ("N", 8, 8, 2)
    f.node("Transpose", perm=[0, 3, 1, 2]), f.conv(2, 4, auto_pad="SAME_UPPER", strides=[2, 2])
    f.node("Add", f.constant(f.random.normal(0, 1, (1, 4, 1, 1)))), f.node("Relu")
    f.node("Transpose", perm=[0, 2, 3, 1])
    f.node("Reshape", f.constant([-1, 64], np.int64))
    f.node("MatMul", f.constant(f.random.normal(0, 0.2, (64, 8)))), f.node("Add", f.constant(np.arange(8) / 8))
    f.node("Relu"), f.node("MatMul", f.constant(f.random.normal(0, 0.3, (8, 3))))


def activations(f: OnnxFile) -> None:
    """Every activation; SiLU and HardSwish also as products."""
    f.conv(1, 4, bias=True), f.node("LeakyRelu", alpha=0.1), f.conv(4, 4, 1, bias=True)
    f.node("Clip", f.constant(0.0), f.constant(6.0)), f.conv(4, 4, 1), f.node("Tanh"), f.conv(4, 4, 1, bias=True)
    x = f.last
    f.node("Mul", f.node("Sigmoid"), source=x)
    x = f.conv(4, 4, 1, bias=True)
    f.node("Mul", f.node("HardSigmoid", alpha=1 / 6, beta=0.5), source=x)
    f.conv(4, 4, 1), f.node("Sigmoid"), f.conv(4, 4, 1), f.node("HardSwish"), f.node("GlobalAveragePool"), f.head(4)


def pooled_first(f: OnnxFile) -> None:
    """Max pooling between a convolution and its normalization and ReLU; a scale below 0 cannot be exchanged with it."""
    f.conv(1, 4, bias=True), f.node("MaxPool", kernel_shape=[2, 2], strides=[2, 2]), f.node("Relu"), f.conv(4, 4, 1)
    f.node("MaxPool", kernel_shape=[2, 2]), f.node("Mul", f.constant([[[-1.0]], [[2.0]], [[0.5]], [[-0.2]]]))
    f.node("Relu"), f.node("GlobalAveragePool"), f.head(4)


def generator(f: OnnxFile) -> None:
    """Transposed convolution, upsampling, average pooling that counts its padding, padding as a node of its own."""
    (
        f.node("Pad", f.constant([0, 0, 1, 0, 0, 0, 0, 2], np.int64)),
        f.conv(1, 4, bias=True, strides=[2, 2]),
        f.node("Relu"),
    )
    f.node("ConvTranspose", f.weights(4, 3, 4, 4), f.constant([0.1, 0.2, 0.3]), strides=[2, 2], pads=[1, 1, 1, 1])
    (
        f.node("Relu"),
        f.node("Resize", "", f.constant([1, 1, 2, 3]), mode="nearest"),
        f.conv(3, 4, bias=True),
        f.node("Relu"),
    )
    f.node("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1)
    f.conv(4, 4, 1), f.node("GlobalAveragePool"), f.head(4)


def no_head(f: OnnxFile) -> None:
    """A fully convolutional classifier: the last layer is an average."""
    f.conv(1, 4, bias=True), f.node("Relu"), f.conv(4, 3, 1, bias=True), f.node("Relu"), f.node("GlobalAveragePool")
    f.node("Flatten"), f.node("Softmax", axis=1), f.node("Identity"), f.node("Identity")
    f.nodes = [node for node in f.nodes if node.op_type != "Softmax"]
    f.nodes[-2].input[0] = f.nodes[-3].output[0]


PATTERNS: list[Callable[[OnnxFile], None]] = [
    *(plain, folded, residual, preactivation, dense, inception, channels_last),
    *(activations, pooled_first, generator, no_head),
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_float_logits_are_those_of_onnx_runtime(pattern: Callable[[OnnxFile], None], tmp_path: Path) -> None:
    """Protects the function of a network on its way into strop's layers, padding and images' normalization included."""
    file = OnnxFile()
    pattern(file)
    network, logits = restated(file.save(tmp_path))
    assert logits.std() > 0.01, "a network that says the same of all images would prove nothing"
    assert network.graph.classes == 3


def test_affines_are_merged_where_nothing_else_reads_the_first(tmp_path: Path) -> None:
    """Protects a branch behind a normalization: it stays there, and is not moved in front of it by merging."""
    file = OnnxFile()
    file.conv(1, 4)
    first = file.batch_norm(4)
    file.batch_norm(4), file.node("Relu"), file.conv(4, 4, **RELU_PADS)
    body = file.batch_norm(4)
    file.node("Add", first, source=body), file.node("Relu"), file.node("GlobalAveragePool"), file.head(4)
    network, _ = restated(file.save(tmp_path))
    assert kinds(network)[:3] == ["conv2d", "l1bn", "residual"]
    residual_ = network.graph.layers[2]
    assert [layer.kind for layer in residual_.body] == ["conv2d", "l1bn", "relu", "conv2d", "l1bn"]
    assert residual_.shortcut == ()
    chain = OnnxFile()
    chain.conv(1, 4, bias=True), chain.batch_norm(4), chain.node("MaxPool", kernel_shape=[2, 2])
    for value in (2.0, 0.5):
        chain.node("Mul", chain.constant(value)), chain.node("Add", chain.constant(value))
    chain.node("Relu"), chain.head(100)
    network, _ = restated(chain.save(tmp_path))
    assert kinds(network) == ["conv2d", "l1bn", "relu", "max_pool2d", "flatten", "linear"]


@pytest.mark.parametrize("opset", [11, 13, 15, 19, 21])
def test_opsets(opset: int, tmp_path: Path) -> None:
    """Protects files of older and newer exporters."""
    file = OnnxFile(opset=opset)
    residual(file)
    restated(file.save(tmp_path))


def test_layers_are_the_obvious_ones(tmp_path: Path) -> None:
    """Protects plain networks from layers put in between: there is nothing but what the file has."""
    file = OnnxFile()
    plain(file)
    network, _ = restated(file.save(tmp_path))
    assert kinds(network) == ["conv2d", "l1bn", "relu", "max_pool2d", "flatten", "linear"]
    assert network.notes == ()
    file = OnnxFile(seed=3)
    dense(file)
    network, _ = restated(file.save(tmp_path))
    assert kinds(network).count("concatenate") == 2 and kinds(network).count("average_pool2d") == 1


def test_flat_samples_take_the_shape_of_images(tmp_path: Path) -> None:
    """Protects networks for feature vectors, as of scikit-learn."""
    file = OnnxFile(shape=("N", 64))
    file.node("MatMul", file.constant(file.random.normal(0, 0.2, (64, 8)))), file.node("Add", file.constant(np.ones(8)))
    file.node("Relu"), file.node("MatMul", file.constant(file.random.normal(0, 0.3, (8, 3))))
    network, _ = restated(file.save(tmp_path), (1, 8, 8))
    assert network.graph.input == (1, 8, 8) and kinds(network)[0] == "flatten"


def test_shapes_computed_from_shapes(tmp_path: Path) -> None:
    """Protects x.view(x.size(0), -1) as older exporters write it: Shape, Gather, Unsqueeze, Concat, Reshape."""
    file = OnnxFile(opset=12)
    x = file.conv(1, 4, bias=True)
    size = file.node("Gather", file.constant(0, np.int64), source=file.node("Shape"), axis=0)
    size = file.node("Unsqueeze", source=size, axes=[0])
    size = file.node("Concat", file.constant([-1], np.int64), source=size, axis=0)
    file.node("Reshape", size, source=x), file.node("Gemm", file.weights(3, 144), file.constant(np.ones(3)), transB=1)
    restated(file.save(tmp_path))


def test_normalization_inside_the_file(tmp_path: Path) -> None:
    """Protects files that normalize images themselves."""
    file = OnnxFile()
    file.node("Sub", file.constant([[[0.3]]])), file.node("Div", file.constant([[[0.5]]]))
    plain(file)
    restated(file.save(tmp_path))


def test_unequal_padding_becomes_zeros_in_the_filter(tmp_path: Path) -> None:
    """Protects SAME padding with a stride, which has no equal edges."""
    file = OnnxFile()
    file.conv(1, 4, strides=[2, 2], pads=[0, 1, 2, 1]), file.node("Relu"), file.node("GlobalAveragePool"), file.head(4)
    network, _ = restated(file.save(tmp_path))
    first = next(layer for layer in network.graph.layers if layer.kind == "conv2d" and layer.groups != layer.channels)
    assert first.kernel[0] > 3 or first.padding != (1, 1)
