"""DenseNet-BC (Huang et al., "Densely Connected Convolutional Networks", CVPR 2017).

Each layer's output is put in front of what it read: the joint map of a block grows without being copied, and its first
part alone may have a number of channels that is no multiple of 4.
"""

from __future__ import annotations

from strop.runtime.errors import InputError
from strop.runtime.graph import (
    L1BN,
    AveragePool2d,
    Concatenate,
    Conv2d,
    GlobalAveragePool,
    Layer,
    Linear,
    NetworkGraph,
    ReLU,
)

CIFAR = (3, 32, 32)
POOL_GAIN = 2


def densenet_bc(
    depth: int, growth: int, input: tuple[int, int, int] = CIFAR, classes: int = 10, name: str | None = None
) -> NetworkGraph:
    """DenseNet-BC of `depth` = 6n + 4: three blocks of n layers BN-ReLU-1x1-BN-ReLU-3x3, compression 1/2.

    Raises `InputError` for another depth.
    """
    per_block, rest = divmod(depth - 4, 6)
    if rest or per_block < 1:
        raise InputError(f"a DenseNet-BC of depth {depth} cannot be built; allowed: 6n + 4, as 40 or 100")
    channels = 2 * growth
    layers: list[Layer] = [Conv2d(channels, (3, 3), padding=(1, 1))]
    for block in range(3):
        if block:
            channels //= 2
            layers += [L1BN(), ReLU(), Conv2d(channels, (1, 1)), AveragePool2d()]
        for _ in range(per_block):
            bottleneck = (L1BN(), ReLU(), Conv2d(4 * growth, (1, 1)), L1BN(), ReLU())
            layers.append(Concatenate(((*bottleneck, Conv2d(growth, (3, 3), padding=(1, 1))), ())))
            channels += growth
    layers += [L1BN(), ReLU(), GlobalAveragePool(POOL_GAIN), Linear(classes)]
    return NetworkGraph(name or f"densenet{depth}-bc-{growth}", input, tuple(layers))


def densenet100(input: tuple[int, int, int] = CIFAR, classes: int = 100) -> NetworkGraph:
    """DenseNet-100, growth rate 12, the L1BN paper's for CIFAR-100."""
    return densenet_bc(100, 12, input, classes, "densenet100")


def wide_densenet40(input: tuple[int, int, int] = CIFAR, classes: int = 10) -> NetworkGraph:
    """Wide-DenseNet, L = 40, K = 48, the L1BN paper's for CIFAR-10."""
    return densenet_bc(40, 48, input, classes, "wide-densenet40")
