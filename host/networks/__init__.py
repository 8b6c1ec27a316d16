"""The networks of the zoo, each declared in a few lines."""

from __future__ import annotations

from strop.host.networks.alexnet import alexnet
from strop.host.networks.dcgan import dcgan
from strop.host.networks.densenet import densenet100, densenet_bc, wide_densenet40
from strop.host.networks.lenet import lenet5
from strop.host.networks.mobilenet import mobilenet, mobilenet_small
from strop.host.networks.resnet import resnet, resnet8, resnet20, resnet110, resnet_bottleneck
from strop.host.networks.vgg import vgg7, vgg_small

__all__ = [
    "alexnet",
    "dcgan",
    "densenet100",
    "densenet_bc",
    "lenet5",
    "mobilenet",
    "mobilenet_small",
    "resnet",
    "resnet110",
    "resnet20",
    "resnet8",
    "resnet_bottleneck",
    "vgg7",
    "vgg_small",
    "wide_densenet40",
]
