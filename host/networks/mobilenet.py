"""MobileNet (Howard et al., 2017): depthwise separable convolutions.

Its maps have steps of 1/16, not of 1/8: there are no sums of branches that need the range, and trained in int8 it is
nearer to float.
"""

from __future__ import annotations

from collections.abc import Iterable

from strop.runtime.graph import L1BN, Conv2d, GlobalAveragePool, Layer, Linear, NetworkGraph, ReLU

EXPONENT = 4
POOL_GAIN = 2  # the mean of a map is a few steps of its grid


def _separable(blocks: Iterable[tuple[int, int]], channels: int) -> list[Layer]:
    """Return a depthwise 3x3 and a pointwise 1x1 convolution for each (channels, stride)."""
    layers: list[Layer] = []
    for wanted, stride in blocks:
        layers += [Conv2d(channels, (3, 3), (stride, stride), (1, 1), groups=channels), L1BN(EXPONENT), ReLU()]
        layers += [Conv2d(wanted, (1, 1)), L1BN(EXPONENT), ReLU()]
        channels = wanted
    return layers


def mobilenet(input: tuple[int, int, int] = (3, 224, 224), classes: int = 1000) -> NetworkGraph:
    """MobileNet 1.0, the L1BN paper's for ImageNet."""
    blocks = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    stem: list[Layer] = [Conv2d(32, (3, 3), (2, 2), (1, 1)), L1BN(EXPONENT), ReLU()]
    head: list[Layer] = [GlobalAveragePool(POOL_GAIN), Linear(classes)]
    return NetworkGraph("mobilenet", input, tuple(stem + _separable(blocks, 32) + head))


def mobilenet_small(input: tuple[int, int, int] = (1, 28, 28), classes: int = 10) -> NetworkGraph:
    """A MobileNet for small images: 16 channels at full size, five separable blocks up to 128, two of which halve."""
    stem: list[Layer] = [Conv2d(16, (3, 3), padding=(1, 1)), L1BN(EXPONENT), ReLU()]
    blocks = ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1))
    head: list[Layer] = [GlobalAveragePool(POOL_GAIN), Linear(classes)]
    return NetworkGraph("mobilenet-small", input, tuple(stem + _separable(blocks, 16) + head))
