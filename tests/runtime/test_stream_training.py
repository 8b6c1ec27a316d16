"""Training in a stream: L1BN by running statistics, on mini-batches of any size from one sample on."""

from __future__ import annotations

import numpy as np
import pytest

from equal_training import Trained, assert_all_equal, minibatches, train
from session_use import opened
from small_networks import FLATTENED, MIXED, RESIDUAL, SMALL, State, first_state, samples
from strop.runtime.compiler import compile_training
from strop.runtime.contract import OPCODE_NAMES, C
from strop.runtime.device import Device
from strop.runtime.emulator import EmulatorDevice
from strop.runtime.errors import InputError, LimitError
from strop.runtime.graph import NetworkGraph
from strop.runtime.hyperparameters import Hyperparameters
from strop.runtime.program import ArenaBase
from strop.runtime.session import Minibatch
from strop.runtime.state import StateLayout

SIZES = (1, 2, 5, 17)
RUNNING = Hyperparameters(statistics="running", weight_decay=0.0005)
FROZEN = Hyperparameters(statistics="frozen")


def moved(before: State, after: State, ending: str) -> list[str]:
    """Return the layers' arrays with that ending, those that moved, and fail where there are none at all."""
    names = [name for name in before if name.endswith(ending)]
    assert names
    return [name for name in names if not np.array_equal(before[name], after[name])]


@pytest.mark.parametrize("graph", [MIXED, FLATTENED, RESIDUAL], ids=lambda graph: graph.name)
def test_devices_agree_in_a_stream(emulators: list[EmulatorDevice], graph: NetworkGraph) -> None:
    """Protects NUMERICS 1.12 over whole networks: running statistics from the first step on, then frozen ones."""
    batches = minibatches(graph, 24, SIZES, rates=(0.05, 0.01))

    def run(device: Device) -> Trained:
        learnt = train(device, graph, first_state(graph), batches, RUNNING, frozenset())
        tuned = train(device, graph, learnt.states[-1], batches, FROZEN, frozenset())
        return Trained(learnt.results + tuned.results, learnt.states + tuned.states, learnt.logits + tuned.logits)

    learnt, tuned = assert_all_equal(emulators, run).states
    begin = first_state(graph)
    for ending in (".running_mu", ".running_sigma"):
        assert len(moved(begin, learnt, ending)) == len(graph.weighted) - 1
        assert not moved(learnt, tuned, ending)
    assert all(learnt[name][0] == 24 == tuned[name][0] for name in learnt if name.endswith(".running_steps"))
    for ending in (".weight", ".gamma", ".beta", ".bias"):
        assert moved(begin, learnt, ending) and moved(learnt, tuned, ending)


def test_a_frozen_block_keeps_its_statistics_in_a_stream(emulators: list[EmulatorDevice]) -> None:
    """Protects what `frozen` promises: the block stays whatever the others normalize by, and devices agree."""
    batches = minibatches(MIXED, 8, SIZES, rates=(0.05,))
    begin = train(emulators[0], MIXED, first_state(MIXED), batches, RUNNING, frozenset()).states[-1]
    for hyper in (RUNNING, FROZEN):

        def run(device: Device, hyper: Hyperparameters = hyper) -> Trained:
            return train(device, MIXED, begin, batches, hyper, frozenset({"conv2"}))

        (end,) = assert_all_equal(emulators, run).states
        still = [name for name in begin if name.startswith(("conv2.weight", "conv2.pre", "bn2.gamma", "bn2.running"))]
        assert len(still) >= 7
        assert all(np.array_equal(begin[name], end[name]) for name in still)


def test_single_samples_are_learnt(device: Device) -> None:
    """Protects what running statistics are for: mini-batches of one sample train a network that then infers."""
    images, labels = samples(SMALL, 60, seed=9)
    session = opened(device, batch=1, hyper=Hyperparameters(statistics="running"))
    for _ in range(2):
        list(session.train(Minibatch(images[i : i + 1], labels[i : i + 1], 0.01) for i in range(60)))
    assert session.evaluate(images, labels).accuracy > 0.9


def flags(hyper: Hyperparameters, operation: str, frozen: frozenset[str] = frozenset()) -> list[int]:
    """Return the flags of an operation's commands in a training step of SMALL."""
    program = compile_training(SMALL, StateLayout(SMALL), 4, ArenaBase(0, 0, 0, 0), hyper, frozen)
    return [int(c["flags"]) for c in program.commands if OPCODE_NAMES[int(c["opcode"])] == operation]


def test_what_each_choice_compiles_to() -> None:
    """Protects the three choices, and frozen blocks, which none of them changes."""
    conv1 = frozenset({"conv1"})
    assert flags(Hyperparameters(), "l1bn_forward") == [0, 0] == flags(Hyperparameters(), "l1bn_backward")
    assert flags(RUNNING, "l1bn_forward") == [C.FLAG_RUNNING] * 2 == flags(RUNNING, "l1bn_backward")
    assert flags(FROZEN, "l1bn_forward") == [C.FLAG_FIXED] * 2
    assert flags(FROZEN, "l1bn_backward") == [C.FLAG_RUNNING] * 2
    assert flags(FROZEN, "conv_forward")[:2] == flags(Hyperparameters(), "conv_forward")[:2]
    assert flags(RUNNING, "l1bn_forward", conv1) == [C.FLAG_FIXED, C.FLAG_RUNNING]
    assert flags(RUNNING, "l1bn_backward", conv1) == [C.FLAG_RUNNING]


@pytest.mark.parametrize("statistics", ["", "Running", "fixed"])
def test_another_choice_is_refused(statistics: str) -> None:
    """Protects long runs from a mistake in their first line."""
    with pytest.raises(InputError, match="statistics is '.*'; allowed: batch, running, frozen"):
        Hyperparameters(statistics=statistics)


def test_a_single_sample_needs_statistics_that_are_not_its_own(device: Device) -> None:
    """Protects L1BN from a deviation that is always 0: only a mini-batch's own statistics need two samples."""
    images, labels = samples(SMALL, 1)
    for hyper in (RUNNING, FROZEN):
        (result,) = opened(device, hyper=hyper).train([Minibatch(images, labels, 0.01)])
        assert result.samples == 1
    with pytest.raises(InputError, match="a mini-batch of 1 samples; allowed: 2 to 8"):
        list(opened(device).train([Minibatch(images, labels, 0.01)]))
    with pytest.raises(LimitError, match="a mini-batch of 1; allowed: 2 to 4096"):
        compile_training(SMALL, StateLayout(SMALL), 1, ArenaBase(0, 0, 0, 0), Hyperparameters())
    with pytest.raises(LimitError, match="a mini-batch of 0; allowed: 1 to 4096"):
        compile_training(SMALL, StateLayout(SMALL), 0, ArenaBase(0, 0, 0, 0), RUNNING)
