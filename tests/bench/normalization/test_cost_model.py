"""The paper's cost model: Table IV's counts, the traced networks against the literature, and the ratios that follow."""

from __future__ import annotations

import pytest

import cost_model
import engine_operations
from paper_costs import NormLayer, energy_fj, operation_counts, time_ns
from paper_networks import (
    NETWORKS,
    alexnet,
    dcgan_discriminator,
    dcgan_generator,
    densenet_bc,
    lenet5_network,
    mobilenet,
    resnet_cifar,
    vgg7,
)


def test_counts_are_those_of_table_iv():
    """m and c that share no factor keep the terms in mc and in c apart."""
    layer = NormLayer(channels=5, values=7)
    assert operation_counts("l2", layer) == {
        "sign": 0, "abs": 0, "add": 180, "sub": 70, "mul": 150, "div": 10, "square": 35, "sqrt": 5
    }  # fmt: skip
    assert operation_counts("l1", layer) == {
        "sign": 35, "abs": 35, "add": 180, "sub": 70, "mul": 115, "div": 10, "square": 0, "sqrt": 0
    }  # fmt: skip


def test_costs_of_long_channels_are_those_of_the_table():
    """A typing error in a row shows here: the sums for a large m, worked out by hand from the printed table."""
    layer = [NormLayer(1, 10**9)]
    per_value = {
        ("l2", "int8"): (91.53, 498.55),
        ("l1", "int8"): (75.00, 360.07),
        ("l2", "float32"): (471.55, 23883.5),
        ("l1", "float32"): (409.20, 19336.1),
    }
    for (norm, number_type), (time, energy) in per_value.items():
        assert time_ns(norm, number_type, layer) / 10**9 == pytest.approx(time, abs=0.01)
        assert energy_fj(norm, number_type, layer) / 10**9 == pytest.approx(energy, rel=1e-4)
    with pytest.raises(ValueError, match="no costs for 'float16'; it has them for float32, int8"):
        time_ns("l1", "float16", layer)


@pytest.mark.parametrize(
    ("parameters", "published"),
    [
        # akamaster/pytorch_resnet_cifar10 and He et al. print 0.27M, 0.85M, 1.7M
        (resnet_cifar(20, bottleneck=False).parameters, 269_722),
        (resnet_cifar(56, bottleneck=False).parameters, 853_018),
        (resnet_cifar(110, bottleneck=False).parameters, 1_727_962),
        # Keras counts 4,231,976 trainable parameters in MobileNet
        (mobilenet().parameters, 4_231_976),
        # Krizhevsky's two-tower network has 60,965,224; gamma and beta of 352 channels come on top
        (alexnet().parameters, 60_965_224 + 2 * 352),
        # classic LeNet-5 has 61,706; its 226 hidden biases give way to gamma and beta
        (lenet5_network().parameters, 61_706 + 226),
        # PyTorch's DCGAN example
        (dcgan_generator(64, 4).parameters, 3_576_704),
        (dcgan_discriminator(64, 4).parameters, 2_765_568),
    ],
)
def test_traced_networks_have_the_published_number_of_parameters(parameters, published):
    """A wrong kernel, width or depth anywhere in a definition changes the number of its parameters."""
    assert parameters == published


@pytest.mark.parametrize(
    ("network", "millions"),
    [
        (resnet_cifar(164, bottleneck=True), 1.7),
        (densenet_bc(100, 12, 10, ""), 0.8),
        (densenet_bc(40, 48, 10, ""), 2.7),
        (densenet_bc(250, 24, 10, ""), 15.3),
        (densenet_bc(190, 40, 10, ""), 25.6),
    ],
)
def test_deep_networks_have_the_published_millions_of_parameters(network, millions):
    """He et al. (ECCV 2016) and Huang et al. print one decimal."""
    assert round(network.parameters / 1e6, 1) == millions


def test_norm_layers_stand_where_the_architectures_have_them():
    """Layers, channels and m of some networks, worked out by hand."""
    assert [(x.channels, x.values // 128) for x in lenet5_network().layers] == [(6, 784), (16, 100), (120, 1), (84, 1)]
    sides = [(128, 32), (128, 32), (256, 16), (256, 16), (512, 8), (512, 8), (1024, 1)]
    assert [(x.channels, x.values) for x in vgg7().layers] == [(c, 128 * side**2) for c, side in sides]
    assert [(x.channels, x.values) for x in alexnet().layers] == [(96, 256 * 55**2), (256, 256 * 27**2)]
    assert (len(mobilenet().layers), mobilenet().layers[-1]) == (27, NormLayer(1024, 128 * 7**2))
    # 110 convolutions and fully connected layers, of which the last has no norm; 3 projections
    assert len(resnet_cifar(110, bottleneck=True).layers) == 109 + 3
    # Figure 3: layers 38 to 73 have 1152 channels
    assert sum(layer.channels for layer in resnet_cifar(110, bottleneck=False).layers[37:73]) == 1152
    assert len(densenet_bc(100, 12, 100, "").layers) == 99
    assert dcgan_discriminator().side == 1 and dcgan_generator().side == 64


def test_every_network_lies_between_the_limits_of_the_model():
    """m moves a ratio only between its value for one-value channels and for endless ones."""
    for build in NETWORKS:
        network = build()
        for number_type, slowest, cheapest in (("int8", 91.53 / 75.00, 498.63 / 360.07), ("float32", 1.1524, 1.2352)):
            time = cost_model.ratio("time", number_type, network.layers)
            energy = cost_model.ratio("energy", number_type, network.layers)
            assert 1.1 < time <= slowest + 1e-3, network.name
            assert 1.2 < energy <= cheapest + 1e-3, network.name


def test_integer_engine_multiplies_as_often_as_table_iv_says():
    """Two independent counts of the multiplies of a value: 3 for L1; 4 and a square for L2."""
    for norm in ("l1", "l2"):
        counts = operation_counts(norm, NormLayer(1, 1000))
        expected = (counts["mul"] + counts["square"]) // 1000
        assert engine_operations.total(norm).multiplies == expected
    assert engine_operations.multipliers("l1", shared=False) == 48
    assert engine_operations.multipliers("l2", shared=True) == 32


def test_table_and_plot_show_every_network(tmp_path):
    """The command's output: a row a network, the means, and a picture."""
    networks = [build() for build in NETWORKS]
    rows = cost_model.table(networks).splitlines()
    assert [row.split(" | ")[0] for row in rows[2:]] == [f"| {n.name}" for n in networks] + ["| **mean**"]
    cost_model.draw(networks, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
