"""LeNet-5 (LeCun et al., Proc. IEEE 1998)."""

from __future__ import annotations

from strop.runtime.graph import L1BN, Conv2d, Flatten, Layer, Linear, MaxPool2d, NetworkGraph, ReLU


def lenet5(input: tuple[int, int, int] = (1, 28, 28), classes: int = 10) -> NetworkGraph:
    """LeNet-5 with L1BN (Wu et al., Table II): 6C5-MP2-16C5-MP2-120-84-classes, on the image with a border of 2."""
    layers: tuple[Layer, ...] = (
        *(Conv2d(6, (5, 5)), L1BN(), ReLU(), MaxPool2d()),
        *(Conv2d(16, (5, 5)), L1BN(), ReLU(), MaxPool2d()),
        Flatten(),
        *(Linear(120), L1BN(), ReLU()),
        *(Linear(84), L1BN(), ReLU()),
        Linear(classes),
    )
    return NetworkGraph("lenet5", input, layers, border=2)
