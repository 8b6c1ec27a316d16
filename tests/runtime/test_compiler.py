"""Compiled programs: which commands run, in which order, on which memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from program_access import accesses, base_for, check_memory, state_arrays, steps_of
from small_networks import FLATTENED, LENET5, MIXED, SMALL, assert_same_state, first_state, graphs, minibatches
from strop.runtime import emitter
from strop.runtime.compiler import compile_inference, compile_training, compile_views, largest_batch
from strop.runtime.contract import C
from strop.runtime.emulator import EmulatorDevice
from strop.runtime.errors import InputError, LimitError, MemoryPlanError
from strop.runtime.graph import L1BN, Conv2d, Flatten, GlobalAveragePool, Linear, NetworkGraph, ReLU
from strop.runtime.hyperparameters import Hyperparameters
from strop.runtime.planner import Placement, Tenant, align
from strop.runtime.program import ArenaBase, Program
from strop.runtime.session import Session
from strop.runtime.state import StateLayout

HYPER = Hyperparameters(weight_decay=0.001)
ORIGIN = ArenaBase(0, 0, 0, 0)


def training(graph: NetworkGraph, batch: int = 8, *frozen: str, **more: Any) -> Program:
    """Compile a training step with its arena as `base_for` has it."""
    layout = StateLayout(graph)
    return compile_training(graph, layout, batch, base_for(layout), HYPER, frozenset(frozen), **more)


def inference(graph: NetworkGraph, batch: int = 8) -> Program:
    """Compile an inference with its arena as `base_for` has it."""
    layout = StateLayout(graph)
    return compile_inference(graph, layout, batch, base_for(layout))


def flags(program: Program, operation: str, layer: str) -> int:
    """Return the flags of a layer's first command with that operation."""
    return int(program.commands["flags"][steps_of(program).index((operation, layer))])


LENET5_FORWARD = [
    ("input", "input"),
    *(("conv_forward", "conv1"), ("l1bn_forward", "bn1"), ("max_pool_forward", "pool1")),
    *(("conv_forward", "conv2"), ("l1bn_forward", "bn2"), ("max_pool_forward", "pool2")),
    *(("conv_forward", "fc1"), ("l1bn_forward", "bn3")),
    *(("conv_forward", "fc2"), ("l1bn_forward", "bn4")),
    ("conv_forward", "fc3"),
    ("softmax_cross_entropy", "loss"),
]


def backward(layer: str, norm: str, *, last: bool = False) -> list[tuple[str, str]]:
    """Return what a trained block does on the way back; the last has nothing below it that would need its gradient."""
    below = [] if last else [("conv_input_gradient", layer)]
    gradient = [("l1bn_backward", norm), ("sgd", norm), ("sgd", norm)]
    return [*gradient, ("conv_weight_gradient", layer), *below, ("sgd", layer)]


def test_the_steps_of_lenet5() -> None:
    """Protects the order of a training step: forward, loss, and each block's gradients before its update."""
    assert steps_of(training(LENET5)) == [
        *LENET5_FORWARD,
        *(("conv_weight_gradient", "fc3"), ("conv_input_gradient", "fc3"), ("sgd", "fc3"), ("sgd", "fc3")),
        *backward("fc2", "bn4"),
        *backward("fc1", "bn3"),
        ("max_pool_backward", "pool2"),
        *backward("conv2", "bn2"),
        ("max_pool_backward", "pool1"),
        *backward("conv1", "bn1", last=True),
    ]
    assert steps_of(inference(LENET5)) == LENET5_FORWARD


NETWORKS = pytest.mark.parametrize("graph", [LENET5, MIXED, FLATTENED, SMALL], ids=lambda graph: graph.name)


@NETWORKS
def test_tensors_that_live_together_lie_apart(graph: NetworkGraph) -> None:
    """Protects every value between the command that writes it and the commands that read it."""
    layout = StateLayout(graph)
    for program in (training(graph), training(graph, 37), inference(graph, 5)):
        check_memory(program, layout, base_for(layout))


@settings(max_examples=60, deadline=None)
@given(graph=graphs(), batch=st.integers(2, 20), smaller=st.integers(2, 20), data=st.data())
def test_tensors_that_live_together_lie_apart_in_any_network(
    graph: NetworkGraph, batch: int, smaller: int, data: st.DataObject
) -> None:
    """Protects the same in any network, with any layers frozen, and for a smaller mini-batch in a larger one's room."""
    layout = StateLayout(graph)
    names = [node.name for node in graph.weighted]
    frozen = data.draw(st.lists(st.sampled_from(names), max_size=len(names) - 1, unique=True)) if names[1:] else []
    full = training(graph, batch, *frozen)
    part = training(graph, min(batch, smaller), *frozen, placed=full.tensors)
    assert part.workspace_bytes == full.workspace_bytes
    for program in (full, part, inference(graph, batch)):
        check_memory(program, layout, base_for(layout))
        state_arrays(program, layout, written=True)


@NETWORKS
def test_sharing_memory_changes_no_byte(graph: NetworkGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the liveness that the plan stands on: with a place of its own for each tensor training is the same."""

    def apart(tenants: list[Tenant]) -> tuple[dict[str, Placement], int]:
        placements, at = {}, 0
        for tenant in tenants:
            placements[tenant.name] = Placement(at, tenant.nbytes)
            at += align(tenant.nbytes)
        return placements, at

    def trained() -> tuple[dict[str, NDArray[Any]], int]:
        session = Session(graph, EmulatorDevice(threads=1), batch=6, hyper=HYPER)
        session.load_state(first_state(graph))
        assert len(list(session.train(minibatches(graph, 6, 4)))) == 4
        state, workspace = session.state(), session.memory.workspace
        session.close()
        return state, workspace

    shared, less = trained()
    monkeypatch.setattr(emitter, "place", apart)
    unshared, more = trained()
    assert less < more
    assert_same_state(unshared, shared)


@NETWORKS
def test_a_step_reads_and_writes_the_state_that_it_should(graph: NetworkGraph) -> None:
    """Protects checkpoints: training updates every stored array and view, inference none, views what is derived."""
    layout = StateLayout(graph)
    everything = set(layout.tensors)
    assert state_arrays(training(graph), layout, written=True) == everything
    assert state_arrays(training(graph), layout, written=False) == everything
    assert state_arrays(inference(graph), layout, written=True) == set()
    views = compile_views(graph, layout, base_for(layout), HYPER)
    assert state_arrays(views, layout, written=True) == {t.name for t in layout.tensors.values() if t.derived}


def test_inference_fixes_every_layer_and_leaves_logits_in_the_slot() -> None:
    """Protects evaluation: running statistics and the shifts of training, results where the session reads them."""
    program = inference(LENET5)
    for (operation, layer), command in zip(steps_of(program), program.commands, strict=True):
        if operation == "l1bn_forward" or (operation == "conv_forward" and layer != "fc3"):
            assert command["flags"] == C.FLAG_FIXED | (C.FLAG_PIXELS if layer == "conv1" else 0)
    assert flags(program, "conv_forward", "fc3") == C.FLAG_LOGITS | C.FLAG_TARGET_IN_SLOT
    assert flags(program, "softmax_cross_entropy", "loss") == C.FLAG_FIXED | C.FLAG_SOURCE_IN_SLOT
    in_slot = {access.field: access.offset for access in accesses(program) if access.in_slot and access.written}
    slot = program.slot
    assert in_slot == {"target": slot.logits, "target_exponent": slot.logits_exponent, "slot": 0}


def test_weight_exponents_follow_the_choice() -> None:
    """Protects `per_channel_weights`: an exponent a row before L1BN, one for all rows elsewhere or if so chosen."""
    layout = StateLayout(SMALL)
    for per_channel in (True, False):
        hyper = Hyperparameters(per_channel_weights=per_channel)
        train = compile_training(SMALL, layout, 4, base_for(layout), hyper)
        views = compile_views(SMALL, layout, base_for(layout), hyper)
        for operation, program in (("sgd", train), ("weight_view", views)):
            rows = {layer: bool(flags(program, operation, layer) & C.FLAG_VIEW_PER_ROW) for layer in ("conv1", "fc2")}
            assert rows == {"conv1": per_channel, "fc2": False}


def test_a_map_too_wide_for_a_filter_is_flattened() -> None:
    """Protects large maps: the Linear layer reads features, and the gradient is brought back into the map."""
    layers = (Conv2d(2, (1, 1)), L1BN(), Flatten(), Linear(3))
    graphs_by_width = {width: NetworkGraph("wide", (1, 2, width), layers) for width in (15, 16)}
    commands = {width: steps_of(training(graph)) for width, graph in graphs_by_width.items()}
    assert ("flatten", "flatten1") in commands[16]
    assert ("unflatten", "flatten1") in commands[16]
    assert not [layer for _, layer in commands[15] if layer == "flatten1"]
    assert flags(training(graphs_by_width[15]), "conv_input_gradient", "fc1") == C.FLAG_FLAT
    assert flags(training(graphs_by_width[16]), "conv_input_gradient", "fc1") == 0


# ---- frozen layers ---------------------------------------------------------------------------------------------------


def test_nothing_runs_backward_below_the_first_trainable_layer() -> None:
    """Protects the time that freezing saves: with both convolutions frozen the step ends at fc1's update."""
    program = training(LENET5, 8, "conv1", "conv2")
    assert steps_of(program)[len(LENET5_FORWARD) :] == [
        *(("conv_weight_gradient", "fc3"), ("conv_input_gradient", "fc3"), ("sgd", "fc3"), ("sgd", "fc3")),
        *backward("fc2", "bn4"),
        *backward("fc1", "bn3", last=True),
    ]
    for layer, norm in (("conv1", "bn1"), ("conv2", "bn2")):
        of_convolution = flags(program, "conv_forward", layer) & ~C.FLAG_PIXELS
        assert of_convolution == flags(program, "l1bn_forward", norm) == C.FLAG_FIXED
    for layer, norm in (("fc1", "bn3"), ("fc2", "bn4")):
        assert flags(program, "conv_forward", layer) == flags(program, "l1bn_forward", norm) == 0


def test_a_frozen_layer_in_the_middle_passes_the_gradient_on() -> None:
    """Protects training below a frozen layer: gradient through it with its statistics fixed, and no update of it."""
    program = training(LENET5, 8, "fc1", "fc3")
    after_loss = steps_of(program)[len(LENET5_FORWARD) :]
    assert after_loss == [
        ("conv_input_gradient", "fc3"),
        *backward("fc2", "bn4"),
        *(("l1bn_backward", "bn3"), ("conv_input_gradient", "fc1")),
        ("max_pool_backward", "pool2"),
        *backward("conv2", "bn2"),
        ("max_pool_backward", "pool1"),
        *backward("conv1", "bn1", last=True),
    ]
    assert flags(program, "l1bn_backward", "bn3") == C.FLAG_FIXED
    assert flags(program, "l1bn_backward", "bn4") == 0


@pytest.mark.parametrize("frozen", [("conv1",), ("conv2", "fc1"), ("fc3",), ("conv1", "conv2", "fc1", "fc2")])
def test_a_frozen_layer_stays_as_it_is(frozen: tuple[str, ...]) -> None:
    """Protects what was frozen: of its state only the shifts of the gradient that passes through may move."""
    norms = {"conv1": "bn1", "conv2": "bn2", "fc1": "bn3", "fc2": "bn4"}
    layout = StateLayout(LENET5)
    written = state_arrays(training(LENET5, 8, *frozen), layout, written=True)
    for layer in frozen:
        of_layer = {name for name in written if name.split(".")[0] in (layer, norms.get(layer))}
        assert of_layer <= {f"{layer}.input_gradient_site", f"{norms.get(layer)}.gradient_site"}
    for layer in ({*norms} | {"fc3"}) - set(frozen):
        assert f"{layer}.weight" in written


@pytest.mark.parametrize(
    ("frozen", "message"),
    [
        (("conv3",), "frozen: there is no layer conv3; layers that can be frozen: conv1, conv2, fc1, fc2, fc3"),
        (("bn1", "conv1"), "there is no layer bn1"),
        (("fc9", "fc8"), "there is no layer fc8, fc9"),
        (("conv1", "conv2", "fc1", "fc2", "fc3"), "frozen: every layer is frozen, so nothing would be trained"),
    ],
)
def test_layers_that_cannot_be_frozen(frozen: tuple[str, ...], message: str) -> None:
    """Protects fine-tuning from a mistyped name, and from training nothing."""
    with pytest.raises(InputError, match=message):
        training(LENET5, 8, *frozen)


# ---- limits ----------------------------------------------------------------------------------------------------------


def test_the_largest_mini_batch_is_named_and_compiles() -> None:
    """Protects sums over a channel: LeNet-5's first map has 28*28 values a sample."""
    most = largest_batch(LENET5)
    assert most == C.MAX_REDUCTION // (28 * 28) == 168
    with pytest.raises(LimitError, match="lenet5, layer conv1: a mini-batch of 169 gives 132496 .* at most 168$"):
        training(LENET5, 169)
    assert training(LENET5, most).batch == most
    assert inference(LENET5, most).batch == most


def test_the_largest_mini_batch_of_a_network_whose_later_map_is_larger() -> None:
    """Protects the remedy: the mini-batch named is one that every layer takes."""
    layers = (Conv2d(2, (1, 1)), L1BN(), Conv2d(2, (3, 3), padding=(2, 2)), L1BN(), GlobalAveragePool(), Linear(2))
    graph = NetworkGraph("growing", (1, 60, 60), layers)
    assert largest_batch(graph) == C.MAX_REDUCTION // 62**2 == 34
    with pytest.raises(LimitError, match="layer conv1: a mini-batch of 37 .* at most 34"):
        training(graph, 37)
    training(graph, 34)


def test_a_network_of_small_maps_takes_the_contracts_limit() -> None:
    """Protects the other bound: without maps it is the kernel's own."""
    graph = NetworkGraph("flat", (4, 1, 1), (Linear(3), L1BN(), Linear(2)))
    assert largest_batch(graph) == C.MAX_BATCH
    assert training(graph, C.MAX_BATCH).batch == C.MAX_BATCH
    with pytest.raises(LimitError, match=f"flat: a mini-batch of {C.MAX_BATCH + 1}; allowed: 2 to {C.MAX_BATCH}"):
        training(graph, C.MAX_BATCH + 1)


def test_mini_batches_that_are_too_small() -> None:
    """Protects L1BN, which needs a deviation; inference of one sample is as good as any."""
    for batch in (1, 0, -3):
        with pytest.raises(LimitError, match=f"small: a mini-batch of {batch}; allowed: 2 to {C.MAX_BATCH}"):
            training(SMALL, batch)
    with pytest.raises(LimitError, match=f"a mini-batch of 0; allowed: 1 to {C.MAX_BATCH}"):
        inference(SMALL, 0)
    assert inference(SMALL, 1).batch == 1


def test_maps_that_no_mini_batch_fits_are_refused_with_another_remedy() -> None:
    """Protects the reader from "at most 1" where two samples are the least."""
    layers = (Conv2d(2), L1BN(), *((Conv2d(2, stride=(4, 4)), L1BN()) * 2), GlobalAveragePool(), Linear(2))
    graph = NetworkGraph("vast", (1, 300, 300), layers)
    with pytest.raises(LimitError, match="layer conv1: .* take smaller images or a larger stride"):
        training(graph, 2)


def deep(blocks: int, channels: int, side: int) -> NetworkGraph:
    """Return a chain of 1x1 convolutions."""
    layers = (*((Conv2d(channels, (1, 1)), L1BN(), ReLU()) * blocks), GlobalAveragePool(), Linear(3))
    return NetworkGraph("deep", (3, side, side), layers)


def test_more_commands_than_the_kernel_takes_are_refused() -> None:
    """Protects the start from registers that the kernel would not accept."""
    graph = deep(520, 1, 1)
    with pytest.raises(LimitError, match=rf"deep: \d+ commands a step; allowed: {C.MAX_COMMANDS}: take fewer layers"):
        training(graph, 2)


def test_workspaces_beyond_32_bits_are_refused() -> None:
    """Protects offsets: they are words of 32 bits, in which a larger one would wrap around."""
    with pytest.raises(MemoryPlanError, match=r"deep with mini-batches of 128 needs [\d,]+ bytes or more; .* smaller"):
        training(deep(4, 4096, 32), 128)
    assert training(deep(4, 4096, 32), 8).workspace_bytes > 2**28


def test_states_beyond_32_bits_are_refused() -> None:
    """Protects offsets of the state in the same way."""
    graph = deep(40, 4096, 2)
    layout = StateLayout(graph)
    assert layout.nbytes > 2**32
    with pytest.raises(MemoryPlanError, match="take a smaller mini-batch or a smaller network"):
        compile_training(graph, layout, 2, ORIGIN, HYPER)


def test_the_same_network_compiles_to_the_same_program() -> None:
    """Protects repeated runs and golden programs: nothing depends on the order of a dictionary or on an address."""
    one, two = training(MIXED, 7, "conv2"), training(MIXED, 7, "conv2")
    assert np.array_equal(one.commands, two.commands)
    assert one.tensors == two.tensors
