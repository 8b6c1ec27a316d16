"""Operators whose attributes change what they compute: imported as ONNX Runtime computes them, or refused."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from onnx_files import OnnxFile, onnx
from strop.host.importing import UnsupportedNodes
from strop.host.importing.onnx_reader import read_onnx
from test_onnx_patterns import kinds, restated

PLACES = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "asymmetric", "align_corners")
ROUNDINGS = ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")


def resized(places: str, rounding: str, factors: tuple[int, int]) -> OnnxFile:
    """A convolution, upsampling in the given modes, and a Linear layer that sees every position."""
    file = OnnxFile(opset=19)
    file.conv(1, 4, bias=True), file.node("Relu")
    how = {"mode": "nearest", "coordinate_transformation_mode": places, "nearest_mode": rounding}
    file.node("Resize", "", file.constant([1, 1, *factors]), **how), file.head(4 * 36 * factors[0] * factors[1])
    return file


@pytest.mark.parametrize("places", PLACES)
def test_upsampling_by_the_nearest(places: str, tmp_path: Path) -> None:
    """Protects from taking another neighbour: what repeats is imported as ONNX Runtime has it, all else is refused."""
    for rounding, factors in product(ROUNDINGS, ((2, 2), (2, 1), (3, 3), (2, 3), (4, 4))):
        path = resized(places, rounding, factors).save(tmp_path)
        if places == "asymmetric":
            repeats = rounding == "floor" or (rounding == "round_prefer_floor" and max(factors) <= 2)
        else:
            repeats = places != "align_corners" and rounding.startswith("round")
        if repeats:
            assert "upsample" in kinds(restated(path)[0]), (rounding, factors)
        else:
            with pytest.raises(UnsupportedNodes, match="more than repeating"):
                read_onnx(path)


def test_resizing_of_other_axes_is_refused(tmp_path: Path) -> None:
    """Protects from factors that belong to other axes than they seem to."""
    for options in ({"axes": [0, 1, 3, 2]}, {"keep_aspect_ratio_policy": "not_larger"}):
        file = OnnxFile(opset=19)
        file.conv(1, 4), file.node("Relu")
        file.node("Resize", "", "", file.constant([1, 4, 12, 24], np.int64), mode="nearest", **options), file.head(1152)
        with pytest.raises(UnsupportedNodes, match="axes"):
            read_onnx(file.save(tmp_path))


@pytest.mark.parametrize("scales", [(-1.0, -1.0), (-0.5, 2.0), (0.0, 1.0)])
def test_max_pooling_of_images_that_were_turned_over(scales: tuple[float, float], tmp_path: Path) -> None:
    """Protects the order of values: the largest of negative images is not the negative of the largest."""
    file = OnnxFile(shape=("N", 2, 8, 8))
    file.node("Mul", file.constant(np.reshape(scales, (2, 1, 1)))), file.node("Add", file.constant(0.3))
    file.node("MaxPool", kernel_shape=[2, 2], strides=[2, 2]), file.conv(2, 4), file.node("Relu"), file.head(16)
    network, _ = restated(file.save(tmp_path))
    assert kinds(network)[:3] == ["conv2d", "l1bn", "max_pool2d"] and "max pooling" in network.notes[0]


def test_max_pooling_of_images_adds_nothing(tmp_path: Path) -> None:
    """Protects images that keep their order from a layer in front."""
    file = OnnxFile()
    file.node("MaxPool", kernel_shape=[2, 2], strides=[2, 2]), file.conv(1, 4), file.node("Relu"), file.head(16)
    network, _ = restated(file.save(tmp_path))
    assert kinds(network)[0] == "max_pool2d" and network.notes == ()


@pytest.mark.parametrize("kind", ["FLOAT", "FLOAT16", "DOUBLE", "INT32", "UINT8", "BOOL"])
def test_casts(kind: str, tmp_path: Path) -> None:
    """Protects from whole numbers: a cast that cuts what lies between is refused, one of precision is not."""
    file = OnnxFile()
    file.conv(1, 4), file.node("Cast", to=getattr(onnx.TensorProto, kind)), file.node("Cast", to=onnx.TensorProto.FLOAT)
    file.node("Relu"), file.head(144)
    path = file.save(tmp_path)
    if kind in ("INT32", "UINT8", "BOOL"):
        with pytest.raises(UnsupportedNodes, match=f"makes {kind.lower()} of values"):
            read_onnx(path)
    else:
        restated(path, tolerance=5e-3 if kind == "FLOAT16" else 2e-4)


@pytest.mark.parametrize(
    ("zero", "dtype", "scale", "is_relu"),
    [
        (0, np.uint8, 1 / 64, True),
        (-128, np.int8, 1 / 64, True),
        (None, None, 1 / 64, True),
        (0, np.int8, 1 / 32, False),
        (128, np.uint8, 1 / 32, False),
    ],
)
def test_quantization_from_zero_on_is_a_relu(
    zero: int | None, dtype: type | None, scale: float, is_relu: bool, tmp_path: Path
) -> None:
    """Protects files of quantizers that leave a ReLU out where the zero point says it; it is put in once, not again."""
    file = OnnxFile()

    def rounded() -> None:
        parts = [file.constant(scale)] + ([] if zero is None else [file.constant(zero, dtype)])
        file.node("QuantizeLinear", *parts), file.node("DequantizeLinear", *parts)

    file.conv(1, 4, bias=True), rounded(), file.node("MaxPool", kernel_shape=[2, 2]), rounded()
    file.node("GlobalAveragePool"), rounded(), file.head(4)
    network, logits = restated(file.save(tmp_path), tolerance=0.03)
    assert kinds(network).count("relu") == int(is_relu) and kinds(network).count("conv2d") == 1
    assert logits.std() > 0.1, "more than rounding"


def test_quantized_images_and_gates(tmp_path: Path) -> None:
    """Protects images that are nowhere below 0 from a ReLU, and SiLU, whose gate is quantized; others are refused."""
    file = OnnxFile()

    def rounded(source: str, scale: float) -> str:
        parts = [file.constant(scale), file.constant(0, np.uint8)]
        return file.node("DequantizeLinear", *parts, source=file.node("QuantizeLinear", *parts, source=source))

    rounded("x", 1 / 255)
    x = file.conv(1, 4, bias=True)
    file.node("Mul", rounded(file.node("Sigmoid"), 1 / 256), source=x), file.node("GlobalAveragePool"), file.head(4)
    path = file.save(tmp_path)
    network, _ = restated(path, mean=0.0, std=1.0, tolerance=0.01)
    assert kinds(network)[:3] == ["conv2d", "l1bn", "silu"]
    with pytest.raises(UnsupportedNodes, match="QuantizeLinear.*before any layer with weights"):
        restated(path, mean=0.4)


def test_quantization_by_channel_from_different_zeros(tmp_path: Path) -> None:
    """Protects from a ReLU of some channels."""
    file = OnnxFile()
    file.conv(1, 2)
    parts = [file.constant([0.1, 0.1]), file.constant([0, 5], np.uint8)]
    file.node("QuantizeLinear", *parts, axis=1), file.node("DequantizeLinear", *parts, axis=1), file.head(72)
    with pytest.raises(UnsupportedNodes, match="some channels"):
        read_onnx(file.save(tmp_path))


def test_swish(tmp_path: Path) -> None:
    """Protects from the slope of another gate: alpha 1 is SiLU, others are refused. ONNX Runtime has x * sigmoid(x)."""
    for alpha in (1.0, 1.702):
        file = OnnxFile(opset=24)
        file.conv(1, 4, bias=True), file.node("Swish", alpha=alpha), file.node("GlobalAveragePool"), file.head(4)
        model = file.model()
        model.ir_version = 11
        (tmp_path / f"{alpha}.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UnsupportedNodes, match="alpha is 1.702"):
        read_onnx(tmp_path / "1.702.onnx")
    operations, _, _ = read_onnx(tmp_path / "1.0.onnx")
    twin = OnnxFile()
    twin.conv(1, 4, bias=True)
    twin.node("Mul", twin.node("Sigmoid"), source="conv0"), twin.node("GlobalAveragePool"), twin.head(4)
    network, _ = restated(twin.save(tmp_path))
    assert kinds(network)[2] == "silu"
    assert [o.op for o in operations.operations][2:3] == ["Swish"] and operations.operations[
        2
    ].what.layer.kind == "silu"
