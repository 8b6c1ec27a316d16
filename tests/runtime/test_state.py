"""A network's state: where it lies, and what a state that is loaded must be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from small_networks import LENET5, SMALL, State, first_state, graphs
from strop.runtime.contract import SITE, C
from strop.runtime.errors import CheckpointMismatch
from strop.runtime.graph import L1BN, Linear, NetworkGraph
from strop.runtime.state import StateLayout, blocks_of


def test_names_shapes_and_dtypes_of_a_small_network() -> None:
    """Protects checkpoints: names, shapes and dtypes of a state, in layout order."""
    site = ((8,), "int32")
    expected = {
        "dither": ((1,), "uint32"),
        "conv1.weight": ((4, 1, 3, 3), "int32"),
        "conv1.weight.momentum": ((4, 1, 3, 3), "int32"),
        "conv1.pre_norm_site": site,
        "bn1.gamma": ((4,), "int32"),
        "bn1.gamma.momentum": ((4,), "int32"),
        "bn1.beta": ((4,), "int32"),
        "bn1.beta.momentum": ((4,), "int32"),
        "bn1.running_mu": ((4,), "int32"),
        "bn1.running_sigma": ((4,), "int32"),
        "bn1.running_steps": ((1,), "uint32"),
        "bn1.gradient_site": site,
        "fc1.weight": ((7, 36, 1, 1), "int32"),
        "fc1.weight.momentum": ((7, 36, 1, 1), "int32"),
        "fc1.input_gradient_site": site,
        "fc1.pre_norm_site": site,
        "bn2.gamma": ((7,), "int32"),
        "bn2.gamma.momentum": ((7,), "int32"),
        "bn2.beta": ((7,), "int32"),
        "bn2.beta.momentum": ((7,), "int32"),
        "bn2.running_mu": ((7,), "int32"),
        "bn2.running_sigma": ((7,), "int32"),
        "bn2.running_steps": ((1,), "uint32"),
        "bn2.gradient_site": site,
        "fc2.weight": ((3, 7, 1, 1), "int32"),
        "fc2.weight.momentum": ((3, 7, 1, 1), "int32"),
        "fc2.input_gradient_site": site,
        "fc2.bias": ((3,), "int32"),
        "fc2.bias.momentum": ((3,), "int32"),
    }
    layout = StateLayout(SMALL)
    assert {t.name: (t.shape, t.dtype.name) for t in layout.stored} == expected
    assert [t.name for t in layout.stored] == list(expected)
    derived = {t.name: (t.shape, t.dtype.name) for t in layout.tensors.values() if t.derived}
    assert derived == {
        "conv1.view": ((4, 1, 3, 1, 4), "int8"),  # pixels: a row of three taps is one word
        "conv1.view_exponent": ((4,), "int32"),
        "fc1.view": ((7, 1, 3, 3, 4), "int8"),  # 36 features are a map of 4 channels of 3x3
        "fc1.view_exponent": ((7,), "int32"),
        "fc2.view": ((3, 2, 1, 1, 4), "int8"),
        "fc2.view_exponent": ((3,), "int32"),
    }


@settings(max_examples=50)
@given(graph=graphs())
def test_arrays_lie_apart_and_aligned(graph: NetworkGraph) -> None:
    """Protects every array from its neighbour."""
    check_layout(StateLayout(graph))


def test_arrays_of_every_length_lie_apart_and_aligned() -> None:
    """Protects the ends of arrays: any number of words past a whole line."""
    for features in range(1, 70):
        check_layout(StateLayout(NetworkGraph("flat", (1, 1, 1), (Linear(features), L1BN(), Linear(2)))))


def check_layout(layout: StateLayout) -> None:
    """Fail where an array is not aligned, or shares a byte with another."""
    end = 0
    for tensor in layout.tensors.values():
        assert tensor.offset % C.ALIGN_BYTES == 0
        assert tensor.offset >= end
        assert layout.offset(tensor.name) == tensor.offset
        assert tensor.nbytes == np.zeros(tensor.shape, tensor.dtype).nbytes
        end = tensor.offset + tensor.nbytes
    assert end <= layout.nbytes


def test_blocks() -> None:
    """Protects what is trained as one: each weighted layer with its L1BN and whether ReLU follows."""
    found = [(b.node.name, b.norm.name if b.norm else None, b.relu, b.first) for b in blocks_of(LENET5)]
    assert found == [
        ("conv1", "bn1", True, True),
        ("conv2", "bn2", True, False),
        ("fc1", "bn3", True, False),
        ("fc2", "bn4", True, False),
        ("fc3", None, False, False),
    ]


def test_the_initial_state_is_accepted() -> None:
    """Protects the start: zeros, gamma 1, a dither counter of 1; and it is a state that may be loaded."""
    layout = StateLayout(SMALL)
    state = layout.initial()
    layout.check(state)
    for name, array in state.items():
        expected = 1 if name == "dither" else 1 << C.PARAMETER_FRACTION if name.endswith(".gamma") else 0
        assert (array == expected).all(), name


def test_a_trained_state_is_accepted_in_any_memory_order() -> None:
    """Protects callers: Fortran order and other strides are their affair."""
    layout = StateLayout(SMALL)
    state = first_state(SMALL)
    state = {name: np.asfortranarray(array) for name, array in state.items()}
    strided = np.zeros(16, np.int32)[::2]
    layout.check({**state, "conv1.pre_norm_site": strided})


def changed(name: str, array: Any) -> State:
    """Return a good state with one array replaced, or without it."""
    state = first_state(SMALL)
    if array is None:
        del state[name]
    else:
        state[name] = array
    return state


def site_with(field: str, value: int) -> Any:
    """Return a strop_site's words with one field set."""
    record = np.zeros(1, SITE)
    record[field] = value
    return record.view(np.int32)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("fc1.weight", None, r"another network: missing \['fc1.weight'\], unknown nothing"),
        ("fc9.weight", np.zeros(3), r"another network: missing nothing, unknown \['fc9.weight'\]"),
        ("fc1.view", np.zeros((7, 36, 1, 1), np.int8), r"unknown \['fc1.view'\]"),  # derived: never stored
        ("bn1.gamma", np.zeros(5, np.int32), r"bn1.gamma is int32\[5\], expected int32\[4\]"),
        ("bn1.gamma", np.zeros((4, 1), np.int32), r"bn1.gamma is int32\[4, 1\], expected int32\[4\]"),
        ("bn1.gamma", np.zeros(4, np.int64), r"bn1.gamma is int64\[4\], expected int32\[4\]"),
        ("bn1.gamma", np.zeros(4, ">i4"), r"bn1.gamma is >i4\[4\], expected int32\[4\]"),
        ("dither", np.zeros(1, np.int32), r"dither is int32\[1\], expected uint32\[1\]"),
        ("fc1.weight.momentum", np.full((7, 36, 1, 1), -(2**31), np.int32), r"momentum holds -2\^31"),
        ("conv1.pre_norm_site", site_with("next", 25), "conv1.pre_norm_site holds .*; a shift is 0 to 24"),
        ("conv1.pre_norm_site", site_with("next", -1), "a shift is 0 to 24"),
        ("bn2.gradient_site", site_with("used", 25), "bn2.gradient_site holds .*; a shift is 0 to 24"),
        ("bn2.gradient_site", site_with("used", -(2**31)), "a shift is 0 to 24"),
        ("fc2.input_gradient_site", site_with("set", 2), "fc2.input_gradient_site holds"),
    ],
)
def test_what_is_not_this_networks_state_is_refused(name: str, array: Any, message: str) -> None:
    """Protects the device from a foreign or damaged checkpoint: the message names the array and what was expected."""
    with pytest.raises(CheckpointMismatch, match=message):
        StateLayout(SMALL).check(changed(name, array))
