"""DCGAN (Radford et al., ICLR 2016): generator and discriminator, declared as one network, cut behind the first."""

from __future__ import annotations

from strop.runtime.errors import InputError
from strop.runtime.graph import (
    L1BN,
    Bias,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    Layer,
    LeakyReLU,
    Linear,
    NetworkGraph,
    ReLU,
    Tanh,
)

NOISE = 100  # values that a sample is generated from
IMAGES_BEHIND = "tanh1"  # the layer that gives the generated images
SIZES = (32, 64, 128)
BEFORE_TANH = 5  # exponent: steps of 1/32 up to 4, where tanh is 0.999


def dcgan(size: int = 32, channels: int = 3, width: int = 64) -> NetworkGraph:
    """DCGAN for images of `size` = 32, 64 or 128: 4x4 transposed convolutions up, 4x4 convolutions down, one output.

    At 64 it is the usual one; 128 has one more layer each, as the L1BN paper's for LSUN, 32 one less, as for CIFAR-10.
    The generator reads `NOISE` bytes. No normalization at the generator's output and the discriminator's input. Raises
    `InputError` for another size.
    """
    if size not in SIZES:
        raise InputError(f"dcgan: images of {size}; allowed: {', '.join(map(str, SIZES))}")
    steps = SIZES.index(size) + 2  # that double the map
    up: list[Layer] = [ConvTranspose2d(width << steps, (4, 4), (1, 1), (0, 0)), L1BN(), ReLU()]
    down: list[Layer] = [Conv2d(width, (4, 4), (2, 2), (1, 1)), Bias(), LeakyReLU(0.2)]
    for step in range(1, steps + 1):
        up += [ConvTranspose2d(width << (steps - step)), L1BN(), ReLU()]
        down += [Conv2d(width << step, (4, 4), (2, 2), (1, 1)), L1BN(), LeakyReLU(0.2)]
    up += [ConvTranspose2d(channels), Bias(BEFORE_TANH), Tanh()]
    return NetworkGraph(f"dcgan{size}", (NOISE, 1, 1), (*up, *down, Flatten(), Linear(1)))
