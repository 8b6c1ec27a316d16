"""Residual networks for small images (He et al., "Deep Residual Learning for Image Recognition", CVPR 2016).

Where a block changes the shape its shortcut is a 1x1 convolution with L1BN (their option B).
"""

from __future__ import annotations

from collections.abc import Callable

from strop.runtime.errors import InputError
from strop.runtime.graph import L1BN, Conv2d, GlobalAveragePool, Layer, Linear, NetworkGraph, ReLU, Residual

_Block = Callable[[int, int, int], tuple[Layer, ...]]  # of channels, stride and exponent
CIFAR = (3, 32, 32)
FINE, WIDE = 4, 3  # exponents: steps of 1/16 up to 8, and of 1/8 up to 16
POOLED = 5  # the mean of a map is a few steps of its grid; a finer one keeps what the last layer reads


def _exponent(blocks: int) -> int:
    """Return the grid of the maps: each block of a stage adds to what the next one reads, so many need the range."""
    return FINE if blocks <= 3 else WIDE


def _conv(channels: int, side: int, stride: int, exponent: int) -> tuple[Layer, Layer]:
    padding = side // 2
    return Conv2d(channels, (side, side), (stride, stride), (padding, padding)), L1BN(exponent)


def _basic(channels: int, stride: int, exponent: int) -> tuple[Layer, ...]:
    return (*_conv(channels, 3, stride, exponent), ReLU(), *_conv(channels, 3, 1, exponent))


def _bottleneck(channels: int, stride: int, exponent: int) -> tuple[Layer, ...]:
    first = (*_conv(channels, 1, 1, exponent), ReLU(), *_conv(channels, 3, stride, exponent), ReLU())
    return (*first, *_conv(4 * channels, 1, 1, exponent))


def _blocks_of(depth: int, layers: int) -> int:
    """Return the blocks of a stage, of three, each with `layers` layers; stem and head are two more."""
    blocks, rest = divmod(depth - 2, 3 * layers)
    if rest or blocks < 1:
        raise InputError(f"a ResNet of depth {depth} cannot be built; allowed: {3 * layers}n + 2, as {3 * layers + 2}")
    return blocks


def _stages(block: _Block, widening: int, blocks: int, exponent: int) -> list[Layer]:
    """Return the first convolution and three stages of `blocks` blocks, which give `widening` times their channels."""
    layers: list[Layer] = [*_conv(16, 3, 1, exponent), ReLU()]
    arriving = 16
    for channels, first in ((16, 1), (32, 2), (64, 2)):
        for stride in (first, *[1] * (blocks - 1)):
            given = widening * channels
            shortcut = _conv(given, 1, stride, exponent) if (given, stride) != (arriving, 1) else ()
            layers += [Residual(block(channels, stride, exponent), shortcut, exponent), ReLU()]
            arriving = given
    return layers


def resnet(depth: int, input: tuple[int, int, int] = CIFAR, classes: int = 10) -> NetworkGraph:
    """ResNet of `depth` = 6n + 2: three stages of n basic blocks with 16, 32 and 64 channels; two halve the map.

    Raises `InputError` for another depth.
    """
    blocks = _blocks_of(depth, 2)
    exponent = WIDE if depth == 8 else _exponent(blocks)  # checkpoints of ResNet-8 are older than the finer grids
    head = (GlobalAveragePool(0 if depth == 8 else POOLED - exponent), Linear(classes))
    return NetworkGraph(f"resnet{depth}", input, (*_stages(_basic, 1, blocks, exponent), *head))


def resnet8(input: tuple[int, int, int] = (1, 28, 28), classes: int = 10) -> NetworkGraph:
    """ResNet-8: a convolution and three residual blocks (16, 32, 64 channels), the last two of which halve the map."""
    return resnet(8, input, classes)


def resnet20(input: tuple[int, int, int] = CIFAR, classes: int = 10) -> NetworkGraph:
    """ResNet-20: three blocks a stage."""
    return resnet(20, input, classes)


def resnet110(input: tuple[int, int, int] = CIFAR, classes: int = 10) -> NetworkGraph:
    """ResNet-110 of basic blocks: that whose layers 38 to 73 have the 1152 channels of the L1BN paper's Figure 3."""
    return resnet(110, input, classes)


def resnet_bottleneck(depth: int = 110, input: tuple[int, int, int] = CIFAR, classes: int = 10) -> NetworkGraph:
    """ResNet of `depth` = 9n + 2 of bottleneck blocks, as the L1BN paper's Table II says; InputError for others."""
    blocks = _blocks_of(depth, 3)
    exponent = _exponent(blocks)
    head = (GlobalAveragePool(POOLED - exponent), Linear(classes))
    return NetworkGraph(f"resnet{depth}-bottleneck", input, (*_stages(_bottleneck, 4, blocks, exponent), *head))
