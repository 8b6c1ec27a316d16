"""How layers become convolutions: pixel maps, Linear layers on maps, and the room of their weight views."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from memory_layout import Region
from small_networks import FLATTENED, LENET5, MIXED, graphs
from strop.runtime.contract import C
from strop.runtime.graph import L1BN, Conv2d, Flatten, GlobalAveragePool, Layer, Linear, NetworkGraph, Shape
from strop.runtime.weight_view import Convolution, convolution_of, is_folded


def convolution(graph: NetworkGraph, name: str) -> Convolution:
    """Return what a layer is to the kernel."""
    return convolution_of(graph, next(node for node in graph.nodes if node.name == name))


@settings(max_examples=80)
@given(graph=graphs())
def test_views_have_the_room_that_the_contract_gives_them(graph: NetworkGraph) -> None:
    """Protects the state's layout: the same bytes as counted from the contract, and the master's columns."""
    for node in graph.weighted:
        conv = convolution_of(graph, node)
        weights = (conv.output[0], conv.input[0] // conv.groups, *conv.kernel)
        layout = "pixel view" if conv.pixels else "view"
        region = Region("weights", weights, np.dtype(np.int8), True, False, False, layout, conv.groups)
        assert np.prod(conv.view_shape) == region.part_bytes
        fields = conv.view_fields
        assert fields["rows"] * fields["columns"] == np.prod(node.weight_shape) == np.prod(weights)


def test_a_first_convolution_of_few_channels_reads_pixels() -> None:
    """Protects the pixel map: its own padding on the left lies in the map, and the window is unchanged."""
    conv = convolution(MIXED, "conv1")  # 2 channels, 15x13 with the border, padding 1 on every side
    assert conv.pixels
    assert (conv.input, conv.columns, conv.padding) == ((2, 15, 14), 1, (1, 0))
    assert conv.view_shape == (6, 2, 3, 1, 4)
    assert not convolution(MIXED, "conv2").pixels
    assert not convolution(FLATTENED, "conv1").pixels  # 3 channels


def one(shape: Shape, *layers: Layer) -> NetworkGraph:
    """Return a network that ends in a Linear layer of 3."""
    return NetworkGraph("one", shape, (*layers, Linear(3)))


@pytest.mark.parametrize(
    ("graph", "pixels"),
    [
        (one((2, 6, 6), Conv2d(4), L1BN(), GlobalAveragePool()), True),
        (one((2, 6, 6), Conv2d(4, groups=2), L1BN(), GlobalAveragePool()), False),
        (one((1, 6, 1024), Conv2d(4, (3, 3), padding=(1, 1)), L1BN(), Flatten()), False),  # no room for a column more
        (one((1, 6, 1023), Conv2d(4, (3, 3), padding=(1, 1)), L1BN(), Flatten()), True),
    ],
)
def test_which_first_convolutions_read_pixels(graph: NetworkGraph, pixels: bool) -> None:
    """Protects the limits of pixel maps: channels, groups and width."""
    assert convolution(graph, "conv1").pixels == pixels


def test_a_linear_layer_on_a_map_is_a_convolution_as_large() -> None:
    """Protects LeNet-5: no command flattens its map, and its gradient counts as that of features."""
    conv = convolution(LENET5, "fc1")
    assert (conv.input, conv.kernel, conv.flat) == ((16, 5, 5), (5, 5), True)
    assert conv.view_shape == (120, 4, 5, 5, 4)
    assert not convolution(LENET5, "fc2").flat
    assert is_folded(LENET5, next(node for node in LENET5.nodes if node.name == "flatten1"))


@pytest.mark.parametrize(
    ("shape", "layers", "folded"),
    [
        ((3, C.MAX_KERNEL, 2), (Flatten(),), True),
        ((3, C.MAX_KERNEL + 1, 2), (Flatten(),), False),
        ((3, 15, 15), (Flatten(), Linear(C.MAX_REDUCTION // 225), L1BN()), True),
        ((3, 15, 15), (Flatten(), Linear(C.MAX_REDUCTION // 225 + 1), L1BN()), False),  # sums of its input gradient
        ((3, 4, 4), (Flatten(), Flatten()), True),
        ((3, 4, 4), (Flatten(), Conv2d(4, (1, 1)), L1BN(), Flatten()), False),
    ],
)
def test_which_flatten_layers_are_no_command(shape: Shape, layers: tuple[Layer, ...], folded: bool) -> None:
    """Protects the kernel's limits on filters and sums, and layers other than Linear that read features."""
    graph = one(shape, *layers)
    first = next(node for node in graph.nodes if isinstance(node.layer, Flatten))
    assert is_folded(graph, first) == folded
    reader = next(node for node in graph.nodes if not isinstance(node.layer, Flatten))
    assert convolution_of(graph, reader).flat == folded
