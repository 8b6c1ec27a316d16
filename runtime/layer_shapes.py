"""What shape a layer gives of what shape it reads, within the limits of the contract."""

from __future__ import annotations

from typing import Any

from strop.runtime.contract import C
from strop.runtime.errors import LimitError, NetworkError
from strop.runtime.layers import (
    AveragePool2d,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool2d,
    Upsample,
)
from strop.runtime.node import Shape


def output_shape(where: str, layer: Layer, shape: Shape) -> Shape:
    """Return the shape of what `layer` gives; raises `NetworkError` or `LimitError`, with `where` in front."""
    channels, height, width = shape
    if isinstance(layer, Conv2d):
        p, q = _windows(where, (height, width), layer.kernel, layer.stride, layer.padding)
        _check_channels(where, layer, channels)
        return (layer.channels, p, q)
    if isinstance(layer, ConvTranspose2d):
        _check_channels(where, layer, channels)
        return (layer.channels, *_transposed(where, (height, width), layer))
    if isinstance(layer, Linear):
        if (height, width) != (1, 1):
            raise NetworkError(
                f"{where}: Linear takes [features], got {shape}; put Flatten or GlobalAveragePool before it"
            )
        if layer.features < 1:
            raise NetworkError(f"{where}: {layer.features} features; at least 1 is needed")
        return (layer.features, 1, 1)
    if isinstance(layer, (MaxPool2d, AveragePool2d)):
        p, q = _windows(where, (height, width), layer.kernel, layer.stride, layer.padding)
        return (channels, p, q)
    if isinstance(layer, GlobalAveragePool):
        if height * width > C.MAX_POOL_PLANE:
            raise LimitError(f"{where}: a map of {height}x{width}; allowed: {C.MAX_POOL_PLANE} positions")
        return (channels, 1, 1)
    if isinstance(layer, Upsample):
        if not (1 <= min(layer.scale) and max(layer.scale) <= C.MAX_STRIDE):
            raise LimitError(f"{where}: scale {layer.scale}; allowed: 1 to {C.MAX_STRIDE}")
        return (channels, height * layer.scale[0], width * layer.scale[1])
    if isinstance(layer, Flatten):
        return (channels * height * width, 1, 1)
    return shape


def _windows(where: str, size: tuple[int, int], kernel: Any, stride: Any, padding: Any) -> tuple[int, int]:
    _check_window(where, kernel, stride, padding)
    out = tuple((size[i] + 2 * padding[i] - kernel[i]) // stride[i] + 1 for i in (0, 1))
    if min(size[i] + 2 * padding[i] - kernel[i] for i in (0, 1)) < 0:
        raise NetworkError(f"{where}: kernel {kernel} is larger than its padded input {size}")
    return out[0], out[1]


def _check_window(where: str, kernel: Any, stride: Any, padding: Any) -> None:
    if not (1 <= min(kernel) and max(kernel) <= C.MAX_KERNEL and 1 <= min(stride) and max(stride) <= C.MAX_STRIDE):
        raise LimitError(
            f"{where}: kernel {kernel}, stride {stride}; allowed: kernel 1 to {C.MAX_KERNEL}, "
            f"stride 1 to {C.MAX_STRIDE}"
        )
    if min(padding) < 0 or padding[0] >= kernel[0] or padding[1] >= kernel[1]:
        raise LimitError(f"{where}: padding {padding} must be at least 0 and smaller than the kernel {kernel}")


def _check_channels(where: str, layer: Conv2d | ConvTranspose2d, channels: int) -> None:
    if layer.channels < 1 or layer.groups < 1 or channels % layer.groups or layer.channels % layer.groups:
        raise NetworkError(f"{where}: {channels} to {layer.channels} channels cannot be split in {layer.groups} groups")
    # one pass sums over the channels read, the other over those written
    if max(channels, layer.channels) // layer.groups * layer.kernel[0] * layer.kernel[1] > C.MAX_REDUCTION:
        raise LimitError(f"{where}: a sum of more than {C.MAX_REDUCTION} products does not fit int32")


def _transposed(where: str, size: tuple[int, int], layer: ConvTranspose2d) -> tuple[int, int]:
    kernel, stride, padding, more = layer.kernel, layer.stride, layer.padding, layer.output_padding
    _check_window(where, kernel, stride, padding)
    if min(more) < 0 or more[0] >= stride[0] or more[1] >= stride[1]:
        raise LimitError(f"{where}: output_padding {more} must be at least 0 and smaller than the stride {stride}")
    out = tuple((size[i] - 1) * stride[i] - 2 * padding[i] + kernel[i] + more[i] for i in (0, 1))
    if min(out) < 1:
        raise NetworkError(f"{where}: padding {padding} leaves nothing of a map of {size}")
    return out[0], out[1]
