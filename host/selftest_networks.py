"""The networks of the self-test: small, and between them every command that the compiler emits."""

from __future__ import annotations

from strop.runtime.graph import (
    L1BN,
    AveragePool2d,
    Bias,
    Concatenate,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    GlobalAveragePool,
    LeakyReLU,
    Linear,
    MaxPool2d,
    NetworkGraph,
    ReLU,
    Residual,
    Tanh,
    Upsample,
)

# a layer without activation, a stride, groups, overlapping pooling, global average pooling; 3 channels are no pixel map
STRIDED = NetworkGraph(
    "strided",
    (3, 13, 10),
    (
        *(Conv2d(6, (3, 3), padding=(1, 1)), L1BN(), ReLU(), MaxPool2d((3, 3), (2, 2), (1, 1))),
        *(Conv2d(10, (3, 2), stride=(2, 1), padding=(1, 0), groups=2), L1BN()),
        *(Conv2d(7, (1, 1)), L1BN(), ReLU(), GlobalAveragePool(), Linear(5)),
    ),
)
# sums of branches: with the map itself, and with one that a convolution brings to another size
RESIDUAL = NetworkGraph(
    "residual",
    (2, 7, 8),
    (
        *(Conv2d(3, (3, 3), padding=(1, 1)), L1BN(), ReLU()),
        *(Residual((Conv2d(3, (3, 3), padding=(1, 1)), L1BN())), ReLU()),
        Residual((Conv2d(5, (3, 3), stride=(2, 2)), L1BN()), (Conv2d(5, (3, 3), stride=(2, 2)), L1BN())),
        *(GlobalAveragePool(), Linear(3)),
    ),
)
# a map too wide for a filter, which a command flattens
WIDE = NetworkGraph("wide", (1, 4, 18), (Conv2d(3, (3, 2), padding=(1, 1)), L1BN(), ReLU(), Flatten(), Linear(3)))
# joint maps before and behind L1BN, in which one part has no whole quads; pooling and upsampling side by side
JOINED = NetworkGraph(
    "joined",
    (3, 8, 9),
    (
        Conv2d(5, (3, 3), padding=(1, 1)),
        Concatenate(((L1BN(), ReLU(), Conv2d(4, (3, 3), padding=(1, 1))), ())),
        *(L1BN(), ReLU(), Conv2d(6, (1, 1)), AveragePool2d((2, 2), (2, 1)), L1BN(4)),
        Concatenate(
            (
                (MaxPool2d(), Conv2d(4, (1, 1)), L1BN(4), ReLU(), Upsample()),
                (AveragePool2d((3, 3), (1, 1), (1, 1)), Conv2d(3, (1, 1)), Bias(4), LeakyReLU(0.1, 4)),
            )
        ),
        *(GlobalAveragePool(2), Linear(4)),
    ),
)
# a generator and a discriminator of one output
GENERATOR = NetworkGraph(
    "generator",
    (5, 3, 4),
    (
        *(ConvTranspose2d(8, (4, 4)), L1BN(), ReLU(), ConvTranspose2d(3, (3, 3), (1, 1)), Bias(5), Tanh()),
        *(Conv2d(6, (4, 4), (2, 2), (1, 1)), Bias(), LeakyReLU(0.2), Flatten(), Linear(1)),
    ),
)
