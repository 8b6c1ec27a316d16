"""Folding of L1BN into the layer before it, for inference (Wu et al., Algorithm 1: one multiply and one add)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from strop.host.pytorch.l1_batch_norm import L1BatchNorm1d, L1BatchNorm2d
from strop.runtime.errors import InputError

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d)
_FOLDABLE = (nn.Linear, nn.Conv1d, nn.Conv2d, *_TRANSPOSED)


@torch.no_grad()
def fold_l1bn(layer: nn.Module, norm: L1BatchNorm1d | L1BatchNorm2d) -> nn.Module:
    """Return a copy of `layer`, with a bias, that answers as `layer` and then `norm` do in inference.

    `layer` is Linear or a convolution, transposed or not. With s, t = `norm.scale_and_shift()` the pair is
    y = s * (W x + b) + t: a layer of weight s * W, by output channel, and bias s * b + t. Products are taken in float64
    and rounded once. Both arguments stay as they are; the copy is in inference mode. Raises `InputError` for other
    layers (for L2 batch norm there is `torch.nn.utils.fusion`), channels that do not fit, and a norm without running
    statistics.
    """
    if type(layer) not in _FOLDABLE:
        names = ", ".join(kind.__name__ for kind in _FOLDABLE)
        raise InputError(f"L1BN cannot be folded into a layer of type {type(layer).__name__}; allowed: {names}")
    if not isinstance(norm, (L1BatchNorm1d, L1BatchNorm2d)):
        raise InputError(f"a layer of type {type(norm).__name__} is no L1BatchNorm1d or L1BatchNorm2d")
    channels = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    if channels != norm.num_features:
        raise InputError(f"the layer gives {channels} channels and the norm takes {norm.num_features}")
    scale, shift = (values.double() for values in norm.scale_and_shift())
    bias = shift if layer.bias is None else shift + scale * layer.bias.double()
    folded = copy.deepcopy(layer)
    folded.weight.copy_(layer.weight.double() * _by_output_channel(scale, layer))
    folded.bias = nn.Parameter(bias.to(layer.weight.dtype), layer.weight.requires_grad)
    return folded.eval()


def _by_output_channel(scale: Tensor, layer: nn.Module) -> Tensor:
    """`scale` [K] in a shape that multiplies the weight, which is [K, ...], or [C, K/groups, ...] transposed."""
    rest = (1,) * (layer.weight.ndim - 2)
    if not isinstance(layer, _TRANSPOSED):
        return scale.view(-1, 1, *rest)
    each = layer.in_channels // layer.groups
    return scale.view(layer.groups, 1, -1).expand(-1, each, -1).reshape(layer.in_channels, -1, *rest)
