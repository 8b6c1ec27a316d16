"""The PyTorch module that computes what a layer of strop's does, in float32: one entry for each kind of layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from strop.host.pytorch.l1_batch_norm import L1BatchNorm2d
from strop.runtime.errors import InputError
from strop.runtime.node import Node

Norm = Literal["l1", "l2", "none"]
EPSILON = 1e-5
RUNNING_RATE = 1 / 16  # 1 - alpha of Algorithm 1 (Wu et al.), with the alpha of int8 training


class TwinL1BatchNorm2d(L1BatchNorm2d):
    """`L1BatchNorm2d` with int8 training's alpha; as there, the first training step sets the running statistics."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, EPSILON, RUNNING_RATE)

    def _rate(self, batches: Tensor) -> float | Tensor:
        return super()._rate(batches) if batches > 1 else 1.0


class ChannelBias(nn.Module):
    """x + beta [C] for x [N, C, H, W]: the layer `Bias`, and what is left of batch norm without norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return y [N, C, H, W]."""
        return x + self.bias.view(-1, 1, 1)


class Addition(nn.Module):
    """Where the branches of a `Residual` meet."""

    def forward(self, body: Tensor, shortcut: Tensor) -> Tensor:
        """Return the sum of two maps of one shape."""
        return body + shortcut


class Concatenation(nn.Module):
    """Where the branches of a `Concatenate` meet."""

    def forward(self, *branches: Tensor) -> Tensor:
        """Return the channels of all maps [N, C, H, W], one map's after the other's."""
        return torch.cat(branches, 1)


def module_of(node: Node, norm: Norm, last: bool) -> nn.Module:
    """Return the module of a node; the `last` of a network has a bias. Raises `InputError` for a kind without one."""
    if node.layer.kind not in MODULES:
        kinds = ", ".join(MODULES)
        raise InputError(f"layer {node.name} ({node.layer.kind}) has no twin in PyTorch; those that have: {kinds}")
    return MODULES[node.layer.kind](node.layer, node.input[0], norm, last)


def _norm(channels: int, norm: Norm) -> nn.Module:
    if norm == "none":
        return ChannelBias(channels)
    return TwinL1BatchNorm2d(channels) if norm == "l1" else nn.BatchNorm2d(channels, EPSILON, RUNNING_RATE)


# by kind: of the layer, the channels that it reads, the norm, and whether it is the last one
MODULES: dict[str, Callable[[Any, int, Norm, bool], nn.Module]] = {
    "conv2d": lambda layer, channels, norm, last: nn.Conv2d(
        channels, layer.channels, layer.kernel, layer.stride, layer.padding, groups=layer.groups, bias=False
    ),
    "conv_transpose2d": lambda layer, channels, norm, last: nn.ConvTranspose2d(
        *(channels, layer.channels, layer.kernel, layer.stride, layer.padding, layer.output_padding, layer.groups),
        bias=False,
    ),
    "linear": lambda layer, channels, norm, last: nn.Linear(channels, layer.features, bias=last),
    "l1bn": lambda layer, channels, norm, last: _norm(channels, norm),
    "bias": lambda layer, channels, norm, last: ChannelBias(channels),
    "relu": lambda layer, channels, norm, last: nn.ReLU(),
    "leaky_relu": lambda layer, channels, norm, last: nn.LeakyReLU(layer.slope),
    "relu6": lambda layer, channels, norm, last: nn.ReLU6(),
    "tanh": lambda layer, channels, norm, last: nn.Tanh(),
    "sigmoid": lambda layer, channels, norm, last: nn.Sigmoid(),
    "hard_swish": lambda layer, channels, norm, last: nn.Hardswish(),
    "silu": lambda layer, channels, norm, last: nn.SiLU(),
    "max_pool2d": lambda layer, channels, norm, last: nn.MaxPool2d(layer.kernel, layer.stride, layer.padding),
    "average_pool2d": lambda layer, channels, norm, last: nn.AvgPool2d(
        layer.kernel, layer.stride, layer.padding, count_include_pad=True
    ),
    "global_average_pool": lambda layer, channels, norm, last: nn.AdaptiveAvgPool2d(1),
    "upsample": lambda layer, channels, norm, last: nn.Upsample(scale_factor=layer.scale),
    "flatten": lambda layer, channels, norm, last: nn.Flatten(),
    "residual": lambda layer, channels, norm, last: Addition(),
    "concatenate": lambda layer, channels, norm, last: Concatenation(),
}
