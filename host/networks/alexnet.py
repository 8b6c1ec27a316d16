"""AlexNet (Krizhevsky et al., NIPS 2012) with batch normalization for local response normalization."""

from __future__ import annotations

from strop.runtime.graph import L1BN, Bias, Conv2d, Flatten, Layer, Linear, MaxPool2d, NetworkGraph, ReLU


def alexnet(input: tuple[int, int, int] = (3, 224, 224), classes: int = 1000) -> NetworkGraph:
    """AlexNet as the L1BN paper has it: L1BN after the first two convolutions, no dropout, groups of 2 as in 2012.

    Other layers have a bias and no normalization.
    """
    pool = MaxPool2d((3, 3), (2, 2))
    layers: tuple[Layer, ...] = (
        *(Conv2d(96, (11, 11), (4, 4), (2, 2)), L1BN(), ReLU(), pool),
        *(Conv2d(256, (5, 5), padding=(2, 2), groups=2), L1BN(), ReLU(), pool),
        *(Conv2d(384, (3, 3), padding=(1, 1)), Bias(), ReLU()),
        *(Conv2d(384, (3, 3), padding=(1, 1), groups=2), Bias(), ReLU()),
        *(Conv2d(256, (3, 3), padding=(1, 1), groups=2), Bias(), ReLU(), pool),
        Flatten(),
        *(Linear(4096), Bias(), ReLU()),
        *(Linear(4096), Bias(), ReLU()),
        Linear(classes),
    )
    return NetworkGraph("alexnet", input, layers)
