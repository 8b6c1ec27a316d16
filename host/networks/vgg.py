"""VGG-like networks: pairs of 3x3 convolutions, each pair halved by max pooling."""

from __future__ import annotations

from strop.runtime.graph import L1BN, Conv2d, Flatten, Layer, Linear, MaxPool2d, NetworkGraph, ReLU

IMAGE = (3, 32, 32)


def _pairs(widths: tuple[int, ...]) -> list[Layer]:
    layers: list[Layer] = []
    for channels in widths:
        for _ in range(2):
            layers += [Conv2d(channels, (3, 3), padding=(1, 1)), L1BN(), ReLU()]
        layers.append(MaxPool2d())
    return layers


def vgg_small(input: tuple[int, int, int] = (1, 28, 28), classes: int = 10) -> NetworkGraph:
    """A small VGG: three pairs of 3x3 convolutions (32, 64, 128 channels), each pair halved by max pooling."""
    return NetworkGraph("vgg-small", input, (*_pairs((32, 64, 128)), Flatten(), Linear(classes)))


def vgg7(input: tuple[int, int, int] = IMAGE, classes: int = 10) -> NetworkGraph:
    """VGG-7 of WAGE (S. Wu et al., ICLR 2018), the L1BN paper's for SVHN.

    2x128C3-MP2-2x256C3-MP2-2x512C3-MP2-1024-classes.
    """
    head = (Flatten(), Linear(1024), L1BN(), ReLU(), Linear(classes))
    return NetworkGraph("vgg7", input, (*_pairs((128, 256, 512)), *head))
