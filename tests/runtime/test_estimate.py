"""The cycle model from Python: counts that follow from shapes, bounds that physics sets, targets of the kernel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple

import numpy as np
import pytest

from networks import es_fl
from strop.host.models import MODELS, build_model
from strop.host.networks import vgg_small
from strop.runtime.arena_plan import plan_memory
from strop.runtime.contract import COMMAND, C
from strop.runtime.errors import DeviceUnavailable, InputError, LimitError
from strop.runtime.estimate import Estimate, LayerCost, boards, estimate, phase_of, step_seconds
from strop.runtime.graph import Conv2d, NetworkGraph, Node
from strop.runtime.hyperparameters import Hyperparameters

CONVOLUTIONS = ("forward", "input gradient", "weight gradient")
BOARDS = ("pynq-z2", "ultra96-v2", "kv260", "zcu104")


def macs_of(node: Node, batch: int) -> int:
    """Multiply-adds of a layer with weights, by its definition."""
    k, c, r, s = node.weight_shape
    _, height, width = node.output if isinstance(node.layer, Conv2d) else (0, 1, 1)
    return batch * k * c * r * s * height * width


def costs(found: Estimate, phases: tuple[str, ...] = CONVOLUTIONS) -> Iterator[tuple[str, LayerCost]]:
    """Each phase of each layer with multiply-adds."""
    return ((cost.layer, cost) for cost in found.training if cost.phase in phases and cost.macs)


@pytest.mark.parametrize("name", MODELS)
def test_macs_follow_from_the_shapes(name: str) -> None:
    """Protects the count: every weighted layer has three phases of N*K*C/groups*R*S*P*Q, the first two (no gradient
    of the images)."""
    graph = build_model(name, (3, 67, 71) if name == "alexnet" else (3, 20, 24), 7)
    found = estimate(graph, "pynq-z2", 19)
    counted = {(layer, cost.phase): cost.macs for layer, cost in costs(found)}
    nodes = {node.name: macs_of(node, 19) for node in graph.weighted}
    first = graph.weighted[0].name
    expected = {(layer, phase): macs for layer, macs in nodes.items() for phase in CONVOLUTIONS}
    del expected[first, "input gradient"]
    assert counted == expected
    assert {(cost.layer, cost.macs) for cost in found.inference if cost.macs} == set(nodes.items())


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("name", MODELS)
def test_nothing_is_faster_than_it_can_be(name: str, board: str) -> None:
    """Protects against a model that promises too much: neither the array nor the memory gives more than it has."""
    graph = build_model(name, (1, 67, 67) if name == "alexnet" else (1, 28, 28), 10)
    found = estimate(graph, board, 32)
    for cost in (*found.training, *found.inference):
        where = f"{cost.layer}, {cost.phase}"
        assert cost.array_cycles <= cost.cycles, where
        seconds = cost.cycles / (found.board.clock_mhz * 1e6)
        assert cost.dram_bytes <= found.board.dram_mbytes_second * 1e6 * seconds + 2**12, where
        if cost.macs:
            assert 0 < cost.utilization(found.board) <= cost.array_utilization(found.board) <= 1, where
    assert found.step_seconds > found.inference_seconds > 0
    assert found.memory_bytes == plan_memory(graph, 32).peak


def test_a_convolution_moves_at_least_its_maps() -> None:
    """Protects the traffic from below: input, output and weights have to cross the ports once."""
    graph, batch = vgg_small(), 64
    forward = dict(costs(estimate(graph, "zcu104", batch), ("forward",)))
    for node in graph.weighted[1:6]:
        (c, h, w), (k, p, q) = node.input, node.output
        least = batch * (c * h * w + k * p * q) + k * c * 9
        assert least <= forward[node.name].dram_bytes < 8 * least, node.name


def test_a_larger_mini_batch_takes_longer_and_pays_less_for_the_weights() -> None:
    """Protects the sense of direction: twice the samples, more time, but less than twice."""
    steps = [estimate(es_fl(), "kv260", batch) for batch in (32, 64, 128)]
    for smaller, larger in zip(steps, steps[1:], strict=False):
        assert smaller.step_seconds < larger.step_seconds < 2 * smaller.step_seconds
    assert steps[0].training_images_second < steps[-1].training_images_second


def test_vgg_small_keeps_the_array_of_the_smallest_board_busy() -> None:
    """The kernel's target: 70 % of the MAC array on each convolution, in all phases, but for the first layer, whose one
    input channel fills 3 of 4 factors and gives its results faster than a port takes them."""
    found = estimate(vgg_small(), "pynq-z2", 64)
    shares = {(layer, cost.phase): cost.utilization(found.board) for layer, cost in costs(found)}
    convolutions = {key: share for key, share in shares.items() if key[0] in {f"conv{i}" for i in range(2, 7)}}
    assert len(convolutions) == 15
    assert min(convolutions.values()) >= 0.7, convolutions


def test_es_fl_trains_fast_enough_on_the_largest_board() -> None:
    """The kernel's other target: 7,500 images/s of ES-FL's network."""
    assert estimate(es_fl(), "zcu104", 128).training_images_second > 7_500


def test_frozen_layers_cost_nothing_backward() -> None:
    """Protects fine-tuning estimates: below the first trainable layer nothing runs backward."""
    graph = vgg_small()
    frozen = frozenset(node.name for node in graph.weighted[:-1])
    found = estimate(graph, "pynq-z2", 16, frozen=frozen)
    assert {cost.layer for cost in found.training if cost.phase.endswith("gradient")} == {"fc1"}
    whole = step_seconds(graph, 16, Hyperparameters(), frozenset())
    assert found.step_seconds == step_seconds(graph, 16, Hyperparameters(), frozen)["pynq-z2"] < whole["pynq-z2"]


def test_boards() -> None:
    """Protects the table: four boards, and by the estimate the kernel fits each part."""
    known = boards()
    assert tuple(known) == BOARDS and {b.name for b in known.values()} == set(BOARDS)
    for board in known.values():
        assert board.needed.dsps >= board.array_macs and min(board.needed.brams, board.needed.luts) > 0
        for needed, available in zip(astuple(board.needed), astuple(board.budget), strict=True):
            assert needed <= available, board
        assert board.peak_macs_second == board.array_macs * board.clock_mhz * 1e6


def test_what_cannot_be_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the messages: an unknown board, a mini-batch beyond the limits, no compiled kernel."""
    graph: NetworkGraph = es_fl()
    with pytest.raises(InputError, match="'zedboard' is not known; allowed: pynq-z2, ultra96-v2, kv260, zcu104"):
        estimate(graph, "zedboard", 32)
    with pytest.raises(LimitError, match="at most 168"):
        estimate(graph, "kv260", 256)

    def missing() -> None:
        raise DeviceUnavailable("not compiled")

    monkeypatch.setattr("strop.runtime.estimate.kernel_library", missing)
    with pytest.raises(DeviceUnavailable):
        estimate(graph, "kv260", 32)
    assert step_seconds(graph, 32, Hyperparameters(), frozenset()) == {}


@pytest.mark.parametrize(
    ("opcode", "flags", "phase"),
    [
        (C.OP_CONV_FORWARD, 0, "forward"),
        (C.OP_CONV_FORWARD, C.FLAG_TRANSPOSED, "input gradient"),
        (C.OP_CONV_INPUT_GRADIENT, C.FLAG_TRANSPOSED, "forward"),
        (C.OP_CONV_WEIGHT_GRADIENT, C.FLAG_TRANSPOSED, "weight gradient"),
    ],
)
def test_phases_of_a_transposed_convolution(opcode: int, flags: int, phase: str) -> None:
    """Protects the table by phase: in a transposed convolution forward pass and input gradient are each other's."""
    command = np.zeros(1, COMMAND)
    command["opcode"], command["flags"] = opcode, flags
    assert phase_of(command[0]) == phase
