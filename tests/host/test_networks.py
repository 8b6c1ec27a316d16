"""The networks of the L1BN paper: counts of parameters and multiply-adds that the literature knows them by."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from strop.host.models import MODELS
from strop.host.networks import (
    alexnet,
    dcgan,
    densenet100,
    densenet_bc,
    lenet5,
    mobilenet,
    resnet,
    resnet8,
    resnet20,
    resnet110,
    resnet_bottleneck,
    vgg7,
    wide_densenet40,
)
from strop.host.networks.dcgan import IMAGES_BEHIND
from strop.runtime.arena_plan import plan_memory
from strop.runtime.cut import cut
from strop.runtime.errors import InputError
from strop.runtime.graph import L1BN, GlobalAveragePool, NetworkGraph, Residual
from strop.runtime.hyperparameters import Hyperparameters
from strop.runtime.state import StateLayout


def parameters(graph: NetworkGraph) -> int:
    """Return how many values a network trains."""
    layout = StateLayout(graph)
    return sum(int(np.prod(layout.tensors[name].shape)) for name in layout.parameters)


def multiply_adds(graph: NetworkGraph) -> int:
    """Return the multiply-adds of one image's forward pass."""
    return sum(node.multiply_adds for node in graph.weighted)


# Parameters, scale and shift of batch normalization among them, and multiply-adds where they are published.
# ResNets: option B of He et al., whose 1x1 shortcuts have 2,752 parameters more than option A's 269,722 and 1,727,962.
# DCGAN: the usual 64x64 one has 3,576,704 and 2,765,568; here biases of its two ends are 68 more. AlexNet: 60,965,224
# in 2012; L1BN's two scales are 352 more. Multiply-adds of the others are only kept from changing.
KNOWN: dict[str, tuple[Callable[[], NetworkGraph], int, int]] = {
    "LeNet-5": (lenet5, 61_706 + 226, 416_520),
    "VGG-7": (vgg7, 12_979_082, 615_917_568),
    "ResNet-20": (resnet20, 269_722 + 2_752, 40_813_184),
    "ResNet-110": (resnet110, 1_727_962 + 2_752, 253_149_824),
    "DenseNet-100": (densenet100, 800_032, 287_960_472),
    "Wide-DenseNet-40": (wide_densenet40, 2_733_130, 1_149_867_168),
    "AlexNet": (alexnet, 60_965_224 + 352, 724_406_816),
    "MobileNet": (mobilenet, 4_231_976, 568_740_352),
    "DCGAN-64": (lambda: dcgan(64), 3_576_704 + 2_765_568 + 68, 208_445_440),
}


@pytest.mark.parametrize("name", KNOWN)
def test_counts_are_those_of_the_literature(name: str) -> None:
    """Protects each declaration: a layer that is missing or too wide would show."""
    build, expected, products = KNOWN[name]
    graph = build()
    assert parameters(graph) == expected
    assert multiply_adds(graph) == products


def test_a_convolution_counts_as_by_hand() -> None:
    """Protects the counts themselves: the first layer, a strided one, a depthwise one and a transposed one."""
    assert lenet5().node("conv1").multiply_adds == 6 * 25 * 28 * 28
    assert alexnet().node("conv1").multiply_adds == 96 * 3 * 121 * 55 * 55
    assert mobilenet().node("conv2").multiply_adds == 32 * 9 * 112 * 112
    assert dcgan(64).node("deconv2").multiply_adds == 512 * 256 * 16 * 4 * 4


def test_depths_are_what_the_names_say() -> None:
    """Protects the number of layers with weights on the longest way through."""
    for graph, depth in ((resnet8(), 8), (resnet20(), 20), (resnet110(), 110), (resnet_bottleneck(110), 110)):
        shortcuts = sum(1 for node in graph.weighted if node.weight_shape[2:] == (1, 1) and node.name != "fc1")
        if "bottleneck" in graph.name:
            shortcuts = 3
        assert len(graph.weighted) - shortcuts == depth
    assert len(densenet100().weighted) == 100
    assert len(wide_densenet40().weighted) == 40


def test_figure_3_of_the_paper_has_its_channels() -> None:
    """Protects the choice of ResNet-110 for Figure 3: layers 38 to 73 are its second stage, of 1152 channels."""
    norms = [node for node in resnet110().nodes if isinstance(node.layer, L1BN) and node.output[0] == 32]
    on_the_way = [node for node in norms if resnet110().node(node.sources[0]).weight_shape[2:] == (3, 3)]
    assert sum(node.output[0] for node in on_the_way) == 1152


def test_dcgan_is_cut_into_generator_and_discriminator() -> None:
    """Protects the sizes: images of 32, 64 and 128, one more layer up and down each time."""
    for size, layers in ((32, 4), (64, 5), (128, 6)):
        graph = dcgan(size)
        parts = cut(graph, IMAGES_BEHIND)
        assert parts.rear.input == (3, size, size)
        assert len(parts.frozen) == layers == len(parts.rear.weighted)


def test_depths_that_do_not_exist_are_refused() -> None:
    """Protects who asks for another depth: the message says which there are."""
    with pytest.raises(InputError, match="depth 21 cannot be built; allowed: 6n"):
        resnet(21)
    with pytest.raises(InputError, match="depth 21 cannot be built; allowed: 9n"):
        resnet_bottleneck(21)
    with pytest.raises(InputError, match="depth 41 cannot be built; allowed: 6n"):
        densenet_bc(41, 12)


def test_residual_networks_have_the_range_that_their_sums_need() -> None:
    """Protects the grids: fine where three blocks of a stage add up, wide where 12 or 18 do; pools of 1/32."""
    for graph, exponent in ((resnet20(), 4), (resnet110(), 3), (resnet_bottleneck(110), 3)):
        grids = {node.layer.exponent for node in graph.nodes if isinstance(node.layer, L1BN | Residual)}
        (pool,) = (node.layer for node in graph.nodes if isinstance(node.layer, GlobalAveragePool))
        assert (grids, pool.gain) == ({exponent}, 5 - exponent), graph.name


def test_resnet8_is_what_it_was() -> None:
    """Protects checkpoints of ResNet-8: the digest of its declaration."""
    assert resnet8().digest() == "2d553e41d22cc193e721e493e4ff10c365e4fd7aa90b605b6d4001f9d633b917"


@pytest.mark.parametrize("name", MODELS)
def test_memory_of_every_network_is_planned(name: str) -> None:
    """Protects `strop estimate`: each network compiles for training, at the size of its data set."""
    graph = MODELS[name]()
    assert plan_memory(graph, 8, Hyperparameters()).state > 9 * parameters(graph)  # masters, momenta, int8 weights
