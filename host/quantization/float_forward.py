"""The float network computed in numpy, layer by layer: what calibration measures, and the yardstick of an import."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.host.quantization.float_network import FloatNetwork
from strop.runtime.graph import (
    IMAGES,
    L1BN,
    AveragePool2d,
    Concatenate,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    GlobalAveragePool,
    HardSwish,
    LeakyReLU,
    Linear,
    MaxPool2d,
    Node,
    ReLU,
    ReLU6,
    Residual,
    Sigmoid,
    SiLU,
    Tanh,
    Upsample,
)

Maps = NDArray[np.float32]  # [n, C, H, W]
Watch = Callable[[Node, tuple[Maps, ...], Maps], None]
CHUNK_VALUES = 1 << 25  # of the largest map's windows at once: 128 MiB


def float_logits(network: FloatNetwork, images: NDArray[np.uint8], watch: Watch | None = None) -> NDArray[np.float32]:
    """Return the logits float32 [n, classes] of images uint8 [n, C, H, W].

    watch is called with each node, what it reads and what it gives, part by part.
    """
    parts = [_part(network, images[start:stop], watch) for start, stop in _parts(network, len(images))]
    return np.concatenate(parts) if parts else np.zeros((0, network.graph.classes), np.float32)


def _parts(network: FloatNetwork, count: int) -> Iterator[tuple[int, int]]:
    windows = 1
    for node in network.graph.nodes:
        taps = int(np.prod(node.layer.kernel)) * node.input[0] if isinstance(node.layer, Conv2d) else node.output[0]
        windows = max(windows, taps * node.output[1] * node.output[2])
    size = max(1, min(256, CHUNK_VALUES // windows))
    yield from ((start, min(start + size, count)) for start in range(0, count, size))


def _part(network: FloatNetwork, images: NDArray[np.uint8], watch: Watch | None) -> NDArray[np.float32]:
    graph = network.graph
    border = graph.border
    centred = np.maximum(images.astype(np.float32) - 128, -127) / 128
    edges = ((0, 0), (0, 0), (border, border), (border, border))
    values: dict[str, Maps] = {IMAGES: np.pad(centred, edges, constant_values=-127 / 128)}
    left = {node.name: len(graph.readers(node.name)) for node in graph.nodes} | {IMAGES: len(graph.readers(IMAGES))}
    found: Maps = values[IMAGES]
    for node in graph.nodes:
        sources = tuple(values[name] for name in node.sources)
        found = _give(network, node, sources)
        if watch is not None:
            watch(node, sources, found)
        values[node.name] = found
        for name in node.sources:
            left[name] -= 1
            if not left[name]:
                del values[name]
    return found[:, :, 0, 0]


def _give(network: FloatNetwork, node: Node, sources: tuple[Maps, ...]) -> Maps:
    layer, x = node.layer, sources[0]
    if isinstance(layer, Conv2d):
        return convolve(x, _weight(network, node), layer.stride, layer.padding, layer.groups)
    if isinstance(layer, ConvTranspose2d):
        return transposed(x, _weight(network, node), layer, node.output)
    if isinstance(layer, Linear):
        logits = x[:, :, 0, 0] @ _weight(network, node)[:, :, 0, 0].T
        if not network.graph.readers(node.name):
            logits = logits + network.bias.astype(np.float32)
        return np.ascontiguousarray(logits[:, :, None, None])
    if isinstance(layer, L1BN):
        scale, shift = (part[node.name].astype(np.float32)[:, None, None] for part in (network.scales, network.shifts))
        return x * scale + shift
    if isinstance(layer, MaxPool2d):
        return np.asarray(_windows(x, layer, -np.inf).max(axis=(4, 5)))
    if isinstance(layer, AveragePool2d):
        return np.asarray(_windows(x, layer, 0.0).mean(axis=(4, 5), dtype=np.float32))
    if isinstance(layer, GlobalAveragePool):
        return np.asarray(x.mean(axis=(2, 3), keepdims=True))
    if isinstance(layer, Flatten):
        return x.reshape(len(x), -1, 1, 1)
    if isinstance(layer, Upsample):
        return x.repeat(layer.scale[0], axis=2).repeat(layer.scale[1], axis=3)
    if isinstance(layer, Residual):
        return sources[0] + sources[1]
    if isinstance(layer, Concatenate):
        return np.concatenate(sources, axis=1)
    return activated(layer, x)


def activated(layer: Any, x: Maps) -> Maps:
    """Return an activation layer's function of x."""
    if isinstance(layer, ReLU):
        return np.maximum(x, 0)
    if isinstance(layer, ReLU6):
        return np.clip(x, 0, 6)
    if isinstance(layer, LeakyReLU):
        return np.where(x > 0, x, np.float32(layer.slope) * x)
    if isinstance(layer, Tanh):
        return np.tanh(x)
    if isinstance(layer, HardSwish):
        return np.asarray(x * np.clip(x + 3, 0, 6) / 6, np.float32)
    sigmoid = np.exp(-np.logaddexp(np.float32(0), -x))
    if isinstance(layer, (Sigmoid, SiLU)):
        return np.asarray(sigmoid if isinstance(layer, Sigmoid) else x * sigmoid, np.float32)
    raise AssertionError(f"no layer that computes: {layer!r}")


def convolve(x: Maps, weight: Maps, stride: tuple[int, int], padding: tuple[int, int], groups: int = 1) -> Maps:
    """Return the convolution of x [n, C, H, W] with weight [K, C/groups, R, S]: [n, K, P, Q]."""
    k, per_group, r, s = weight.shape
    x = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    view = np.lib.stride_tricks.sliding_window_view(x, (r, s), axis=(2, 3))[:, :, :: stride[0], :: stride[1]]
    n, _, p, q = view.shape[:4]
    if per_group == 1 and k == groups:  # depthwise
        return np.ascontiguousarray(np.einsum("nkpqrs,krs->nkpq", view, weight[:, 0], optimize=True))
    parts = []
    for g in range(groups):
        windows = view[:, g * per_group : (g + 1) * per_group].transpose(0, 2, 3, 1, 4, 5).reshape(n * p * q, -1)
        filters = weight[g * k // groups : (g + 1) * k // groups].reshape(k // groups, -1)
        parts.append((windows @ filters.T).reshape(n, p, q, -1).transpose(0, 3, 1, 2))
    return np.ascontiguousarray(np.concatenate(parts, axis=1))


def transposed(x: Maps, weight: Maps, layer: ConvTranspose2d, output: tuple[int, int, int]) -> Maps:
    """Return the transposed convolution of x with weight [C, K/groups, R, S]: each value spreads over a window."""
    (r, s), (top, left), groups = weight.shape[2:], layer.padding, layer.groups
    k, p, q = output
    spread = np.zeros((len(x), k, p + 2 * top + r, q + 2 * left + s), np.float32)
    per_in, per_out = x.shape[1] // groups, k // groups
    for g in range(groups):
        part = np.tensordot(x[:, g * per_in : (g + 1) * per_in], weight[g * per_in : (g + 1) * per_in], axes=(1, 0))
        for i in range(r):
            for j in range(s):
                rows = slice(i, i + layer.stride[0] * x.shape[2], layer.stride[0])
                columns = slice(j, j + layer.stride[1] * x.shape[3], layer.stride[1])
                spread[:, g * per_out : (g + 1) * per_out, rows, columns] += part[:, :, :, :, i, j].transpose(
                    0, 3, 1, 2
                )
    return np.ascontiguousarray(spread[:, :, top : top + p, left : left + q])


def _windows(x: Maps, layer: MaxPool2d | AveragePool2d, outside: float) -> NDArray[np.float32]:
    (h, w), (dh, dw) = layer.padding, layer.stride
    padded = np.pad(x, ((0, 0), (0, 0), (h, h), (w, w)), constant_values=outside)
    return np.lib.stride_tricks.sliding_window_view(padded, layer.kernel, axis=(2, 3))[:, :, ::dh, ::dw]


def _weight(network: FloatNetwork, node: Node) -> Maps:
    return network.weights[node.name].astype(np.float32)
