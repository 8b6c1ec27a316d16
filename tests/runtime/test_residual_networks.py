"""Residual networks compiled: where branches begin and end, and what runs backward with layers frozen."""

from __future__ import annotations

import pytest

from program_access import base_for, check_memory, state_arrays, steps_of
from small_networks import BRANCHES, RESIDUAL
from strop.runtime.compiler import compile_inference, compile_training
from strop.runtime.contract import C
from strop.runtime.graph import L1BN, Conv2d, Flatten, Linear, NetworkGraph, ReLU, Residual
from strop.runtime.hyperparameters import Hyperparameters
from strop.runtime.program import Program
from strop.runtime.state import StateLayout, blocks_of

Steps = list[tuple[str, str]]
BATCH = 6


def training(graph: NetworkGraph, *frozen: str) -> Program:
    """Compile a training step."""
    layout = StateLayout(graph)
    return compile_training(graph, layout, BATCH, base_for(layout), Hyperparameters(), frozenset(frozen))


def way_back(graph: NetworkGraph, *frozen: str) -> Steps:
    """Return the commands after the loss, without updates."""
    steps = steps_of(training(graph, *frozen))
    after_loss = steps[steps.index(("softmax_cross_entropy", "loss")) + 1 :]
    return [step for step in after_loss if step[0] != "sgd"]


def backward(number: int, *, trained: bool = True, below: bool = True) -> Steps:
    """Return what convolution `number` and its L1BN do on the way back."""
    weights = [("conv_weight_gradient", f"conv{number}")] if trained else []
    return [
        ("l1bn_backward", f"bn{number}"),
        *weights,
        *([("conv_input_gradient", f"conv{number}")] if below else []),
    ]


HEAD_BACK = [("conv_weight_gradient", "fc1"), ("conv_input_gradient", "fc1")]
POOL_BACK = ("global_average_pool_backward", "global_average_pool1")


def test_the_steps_of_a_residual_network() -> None:
    """Protects both directions: branches one after the other, a sum at their end; on the way back at their start."""
    steps = steps_of(training(RESIDUAL))
    assert steps[: steps.index(("softmax_cross_entropy", "loss"))] == [
        ("input", "input"),
        *(("conv_forward", "conv1"), ("l1bn_forward", "bn1")),
        *(("conv_forward", "conv2"), ("l1bn_forward", "bn2"), ("conv_forward", "conv3"), ("l1bn_forward", "bn3")),
        ("add_forward", "add1"),
        *(("conv_forward", "conv4"), ("l1bn_forward", "bn4"), ("conv_forward", "conv5"), ("l1bn_forward", "bn5")),
        *(("conv_forward", "conv6"), ("l1bn_forward", "bn6")),
        ("add_forward", "add2"),
        ("global_average_pool_forward", "global_average_pool1"),
        ("conv_forward", "fc1"),
    ]
    assert way_back(RESIDUAL) == [
        *(*HEAD_BACK, POOL_BACK, ("add_backward", "add2")),
        *(*backward(6), *backward(5), *backward(4), ("add_gradient", "relu3")),
        *(("add_backward", "add1"), *backward(3), *backward(2), ("add_gradient", "relu1")),
        *backward(1, below=False),
    ]


def test_branches_read_and_give_what_they_should() -> None:
    """Protects the wiring, by offsets: who reads the sum, the masked gradient and the two that meet."""
    program = training(RESIDUAL)
    at = {step: command for step, command in zip(steps_of(program), program.commands, strict=True) if step[0] != "sgd"}
    begin = at["l1bn_forward", "bn1"]["target"]
    assert at["conv_forward", "conv2"]["source"] == at["add_forward", "add1"]["source_2"] == begin
    assert at["add_forward", "add1"]["source"] == at["l1bn_forward", "bn3"]["target"]
    end = at["add_forward", "add1"]["target"]
    assert at["conv_forward", "conv4"]["source"] == at["conv_forward", "conv6"]["source"] == end
    assert at["conv_weight_gradient", "conv4"]["source_2"] == at["conv_weight_gradient", "conv6"]["source_2"] == end
    assert at["add_backward", "add1"]["source_2"] == end
    masked = at["add_backward", "add1"]["target"]
    assert at["l1bn_backward", "bn3"]["source"] == at["add_gradient", "relu1"]["source"] == masked
    assert at["add_gradient", "relu1"]["source_2"] == at["conv_input_gradient", "conv2"]["target"]
    assert at["l1bn_backward", "bn1"]["source"] == at["add_gradient", "relu1"]["target"]
    fork = at["add_gradient", "relu3"]
    assert {int(fork["source"]), int(fork["source_2"])} == {
        int(at["conv_input_gradient", name]["target"]) for name in ("conv4", "conv6")
    }
    for operation in ("add_forward", "add_backward"):
        assert at[operation, "add1"]["activation"] == C.ACTIVATION_RELU
    branches = training(BRANCHES)
    activations = {
        name: int(command["activation"])
        for (operation, name), command in zip(steps_of(branches), branches.commands, strict=True)
        if operation == "add_forward"
    }
    none, relu = C.ACTIVATION_NONE, C.ACTIVATION_RELU
    assert activations == {"add1": none, "add2": none, "add3": none, "add4": relu, "add5": relu}


def test_blocks_of_a_residual_network() -> None:
    """Protects the state: the last L1BN of a body has no ReLU, which follows the sum; one layer is the first."""
    found = [(b.node.name, b.norm.name if b.norm else None, b.relu, b.first) for b in blocks_of(RESIDUAL)]
    assert found == [
        ("conv1", "bn1", True, True),
        ("conv2", "bn2", True, False),
        ("conv3", "bn3", False, False),
        ("conv4", "bn4", True, False),
        ("conv5", "bn5", False, False),
        ("conv6", "bn6", False, False),
        ("fc1", None, False, False),
    ]


TO_ADD2 = [*HEAD_BACK, POOL_BACK, ("add_backward", "add2")]
FROZEN: dict[str, tuple[tuple[str, ...], Steps]] = {
    "below a block": (
        ("conv1",),
        [
            *(*TO_ADD2, *backward(6), *backward(5), *backward(4), ("add_gradient", "relu3")),
            *(("add_backward", "add1"), *backward(3), *backward(2, below=False)),
        ],
    ),
    "up to half of a body": (
        ("conv1", "conv2"),
        [
            *(*TO_ADD2, *backward(6), *backward(5), *backward(4), ("add_gradient", "relu3")),
            *(("add_backward", "add1"), *backward(3, below=False)),
        ],
    ),
    "up to a block's end": (
        ("conv1", "conv2", "conv3"),
        [*TO_ADD2, *backward(6, below=False), *backward(5), *backward(4, below=False)],
    ),
    "all but a shortcut": (
        ("conv1", "conv2", "conv3", "conv4", "conv5", "fc1"),
        [HEAD_BACK[1], POOL_BACK, ("add_backward", "add2"), *backward(6, below=False)],
    ),
    "all but the first of a body": (
        ("conv1", "conv2", "conv3", "conv5", "conv6", "fc1"),
        [
            *(HEAD_BACK[1], POOL_BACK, ("add_backward", "add2")),
            *(*backward(5, trained=False), *backward(4, below=False)),
        ],
    ),
    "a whole body, in the middle": (
        ("conv2", "conv3"),
        [
            *(*TO_ADD2, *backward(6), *backward(5), *backward(4), ("add_gradient", "relu3"), ("add_backward", "add1")),
            *(*backward(3, trained=False), *backward(2, trained=False), ("add_gradient", "relu1")),
            *backward(1, below=False),
        ],
    ),
    "all but the last layer": (tuple(f"conv{i}" for i in range(1, 7)), HEAD_BACK[:1]),
}


@pytest.mark.parametrize("name", FROZEN)
def test_nothing_runs_backward_that_no_trained_layer_needs(name: str) -> None:
    """Protects the time that freezing saves: on each branch the way back ends at its first trained layer."""
    frozen, expected = FROZEN[name]
    assert way_back(RESIDUAL, *frozen) == expected


@pytest.mark.parametrize("frozen", [(), *(names for names, _ in FROZEN.values())], ids=["", *FROZEN])
def test_memory_of_a_residual_network(frozen: tuple[str, ...]) -> None:
    """Protects what lives long: a block's input until the sum, the masked gradient until both branches have it."""
    layout = StateLayout(RESIDUAL)
    check_memory(training(RESIDUAL, *frozen), layout, base_for(layout))


def test_memory_and_state_of_any_branches() -> None:
    """Protects the same where branches pool and Linear layers add up; all of the state is trained."""
    layout = StateLayout(BRANCHES)
    for program in (training(BRANCHES), compile_inference(BRANCHES, layout, BATCH, base_for(layout))):
        check_memory(program, layout, base_for(layout))
    assert state_arrays(training(BRANCHES), layout, written=True) == set(layout.tensors)


def test_a_flatten_that_two_branches_read_is_a_command() -> None:
    """Protects an identity shortcut over Linear layers: it adds to features, so the map cannot be left as it lies."""
    first = (Conv2d(3, (2, 2)), L1BN(), Flatten())
    body = (Linear(27), L1BN())
    shape = (2, 4, 4)
    shared = NetworkGraph("shared", shape, (*first, Residual(body), ReLU(), Linear(2)))
    within = NetworkGraph("within", shape, (*first[:2], Residual((Flatten(), *body), (Flatten(), *body)), Linear(2)))
    assert [step for step in steps_of(training(shared)) if "flatten" in step[0]] == [
        ("flatten", "flatten1"),
        ("unflatten", "flatten1"),
    ]
    assert not any("flatten" in operation for operation, _ in steps_of(training(within)))
