"""Networks of other people's measurements, declared as closely as strop has layers for."""

from __future__ import annotations

from strop.runtime.graph import L1BN, Conv2d, Flatten, Linear, MaxPool2d, NetworkGraph, ReLU


def es_fl() -> NetworkGraph:
    """The network that ES-FL (github.com/Manwlis/ES-FL, `final_model`) trains on Fashion-MNIST: 105,866 parameters.

    Theirs has biases and no batch normalization; here each layer but the last has L1BN, whose beta is the bias;
    its gamma comes on top (112 values).
    """
    layers = (
        *(Conv2d(16, (3, 3), padding=(1, 1)), L1BN(), ReLU(), MaxPool2d()),
        *(Conv2d(32, (3, 3), padding=(1, 1)), L1BN(), ReLU(), MaxPool2d()),
        *(Flatten(), Linear(64), L1BN(), ReLU(), Linear(10)),
    )
    return NetworkGraph("es-fl", (1, 28, 28), layers)


def cl_cnn() -> NetworkGraph:
    """The small network of the continual-learning benches, on 28x28 images: about 0.2 million parameters.

    Two convolutions and two fully-connected layers; its front, to be frozen or read as features, ends behind "pool2".
    """
    layers = (
        *(Conv2d(16, (3, 3), padding=(1, 1)), L1BN(), ReLU(), MaxPool2d()),
        *(Conv2d(32, (3, 3), padding=(1, 1)), L1BN(), ReLU(), MaxPool2d()),
        *(Flatten(), Linear(128), L1BN(), ReLU(), Linear(10)),
    )
    return NetworkGraph("cl-cnn", (1, 28, 28), layers)


def cl_cnn_wide() -> NetworkGraph:
    """`cl_cnn` with twice the channels: 3,136 features behind "pool2", for heads that keep no samples."""
    layers = (
        *(Conv2d(32, (3, 3), padding=(1, 1)), L1BN(), ReLU(), MaxPool2d()),
        *(Conv2d(64, (3, 3), padding=(1, 1)), L1BN(), ReLU(), MaxPool2d()),
        *(Flatten(), Linear(128), L1BN(), ReLU(), Linear(10)),
    )
    return NetworkGraph("cl-cnn-wide", (1, 28, 28), layers)
