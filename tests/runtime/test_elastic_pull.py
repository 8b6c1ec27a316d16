"""Elastic pull: parameters held by anchors while others learn. Devices agree, and without anchors nothing changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from equal_training import Trained, assert_all_equal, minibatches, train
from program_access import base_for, check_memory, state_arrays, steps_of
from session_use import BATCH, opened
from small_networks import FLATTENED, MIXED, RESIDUAL, SMALL, State, assert_same_state, digest, first_state, graphs
from strop.runtime.arena_plan import plan_memory
from strop.runtime.compiler import compile_training
from strop.runtime.contract import C
from strop.runtime.device import Device
from strop.runtime.emulator import EmulatorDevice
from strop.runtime.errors import DeviceError, InputError
from strop.runtime.graph import NetworkGraph
from strop.runtime.hyperparameters import Hyperparameters
from strop.runtime.session import Minibatch, Session
from strop.runtime.state import StateLayout

ELASTIC = Hyperparameters(weight_decay=0.001, elastic=True)
PARAMETERS = StateLayout(SMALL).parameters


def anchored(graph: NetworkGraph, state: State, seed: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return anchors near the parameters of `state`, and importances of every kind."""
    rng = np.random.default_rng(seed)
    names = StateLayout(graph).parameters
    anchors = {n: state[n] + rng.integers(-(2**18), 2**18, state[n].shape).astype(np.int32) for n in names}
    return anchors, {n: rng.choice([0, 1, 2, 5, 12, 31], state[n].shape).astype(np.uint8) for n in names}


def held(
    device: Device, graph: NetworkGraph, batches: list[Minibatch], hyper: Hyperparameters, *phases: str
) -> Trained:
    """Train on `batches`, in each phase with that layer frozen ("" for none), pulled towards other anchors."""
    trained = Trained()
    state = first_state(graph)
    for seed, frozen in enumerate(phases):
        layers = frozenset({frozen} - {""})
        session = Session(graph, device, batch=max(len(b.labels) for b in batches), hyper=hyper, frozen=layers)
        session.load_state(state)
        session.load_anchors(*anchored(graph, state, seed))
        trained.results.extend(session.train(batches))
        state = session.state()
        trained.states.append(state)
    return trained


@pytest.mark.parametrize(
    ("graph", "frozen"),
    [(MIXED, "conv2"), (FLATTENED, "fc1"), (RESIDUAL, "conv3")],
    ids=lambda x: getattr(x, "name", x),
)
def test_devices_agree_on_the_pull(emulators: list[EmulatorDevice], graph: NetworkGraph, frozen: str) -> None:
    """Protects the pull in whole networks: on weights, gamma, beta and bias, beside frozen layers, with any batch."""
    batches = minibatches(graph, 12, (7, 2, 17), rates=(0.05,))
    trained = assert_all_equal(emulators, lambda device: held(device, graph, batches, ELASTIC, "", frozen))
    free = train(emulators[0], graph, first_state(graph), batches, ELASTIC, frozenset())
    for name in StateLayout(graph).parameters:
        assert not np.array_equal(trained.states[0][name], free.states[0][name]), f"nothing pulled {name}"
    still = [name for name in trained.states[0] if name.startswith(f"{frozen}.weight")]
    assert still and all(np.array_equal(trained.states[0][n], trained.states[1][n]) for n in still)


def test_all_extensions_together(emulators: list[EmulatorDevice]) -> None:
    """Protects a stream of single samples with running statistics, soft targets and anchors at once."""
    hyper = Hyperparameters(statistics="running", soft_targets=True, elastic=True)
    batches = minibatches(MIXED, 12, (1, 2, 17), rates=(0.02,))
    assert_all_equal(emulators, lambda device: held(device, MIXED, batches, hyper, "", "conv1"))


def test_without_anchors_training_is_what_it_was(device: Device) -> None:
    """Protects the choice: a session that could be pulled and is not gives the bytes of one that could not."""
    batches = minibatches(SMALL, 5, (8, 3), rates=(0.1,))
    plain = train(device, SMALL, first_state(SMALL), batches, Hyperparameters(weight_decay=0.001), frozenset())
    free = train(device, SMALL, first_state(SMALL), batches, ELASTIC, frozenset())
    assert plain.results == free.results
    assert_same_state(plain.states[-1], free.states[-1])
    assert np.array_equal(plain.logits[-1], free.logits[-1])


def test_a_firm_anchor_holds(device: Device) -> None:
    """Protects the direction: what has a firm anchor ends nearer to it than without, and the loss still falls."""
    batches = minibatches(SMALL, 30, (8,), rates=(0.05,))
    begin = first_state(SMALL)
    free = train(device, SMALL, begin, batches, Hyperparameters(elastic=True), frozenset()).states[-1]
    session = opened(device, hyper=Hyperparameters(elastic=True))
    anchors = {name: begin[name] for name in PARAMETERS}
    importances = {name: np.full(begin[name].shape, int(name == "conv1.weight"), np.uint8) for name in PARAMETERS}
    session.load_anchors(anchors, importances)
    results = list(session.train(batches))
    end = session.state()

    def way(state: State, name: str) -> float:
        return float(np.abs(state[name].astype(np.int64) - begin[name]).mean())

    assert way(end, "conv1.weight") < way(free, "conv1.weight") / 4
    assert way(end, "fc1.weight") > way(free, "fc1.weight") / 2
    assert results[-1].loss < results[0].loss / 2


def test_a_pull_stands_before_the_update_of_what_is_trained() -> None:
    """Protects the order, and frozen layers, which nothing pulls."""
    layout = StateLayout(MIXED, elastic=True)
    base = base_for(layout)
    program = compile_training(MIXED, layout, 4, base, ELASTIC, frozenset({"conv2"}))
    check_memory(program, layout, base)
    commands = program.commands
    pulls = np.flatnonzero(commands["opcode"] == C.OP_ELASTIC_PULL)
    updates = np.flatnonzero(commands["opcode"] == C.OP_SGD)
    assert (pulls + 1).tolist() == updates.tolist()
    for field in ("master", "layer"):
        assert np.array_equal(commands[field][pulls], commands[field][updates])
    trained = [name for name in layout.parameters if not name.startswith(("conv2.", "bn2."))]
    read = state_arrays(program, layout, written=False)
    for ending in (".anchor", ".importance"):
        assert {name for name in read if name.endswith(ending)} == {name + ending for name in trained}
    plain = compile_training(MIXED, StateLayout(MIXED), 4, base, Hyperparameters(weight_decay=0.001), frozenset())
    assert "elastic_pull" not in {operation for operation, _ in steps_of(plain)}


@settings(max_examples=30, deadline=None)
@given(graph=graphs())
def test_anchors_lie_behind_what_was_there(graph: NetworkGraph) -> None:
    """Protects offsets, checkpoints and the memory report: the state is the same, anchors follow it."""
    plain, elastic = StateLayout(graph), StateLayout(graph, elastic=True)
    assert elastic.stored == plain.stored
    assert all(elastic.tensors[name] == tensor for name, tensor in plain.tensors.items())
    more = [tensor for name, tensor in elastic.tensors.items() if name not in plain.tensors]
    assert min(tensor.offset for tensor in more) == plain.nbytes
    assert all(a.offset + a.nbytes <= b.offset for a, b in zip(more, more[1:], strict=False))
    assert elastic.nbytes >= more[-1].offset + more[-1].nbytes
    assert len(more) == 2 * len(plain.parameters) == 2 * sum(name.endswith(".momentum") for name in plain.tensors)
    values = sum(int(np.prod(plain.tensors[name].shape)) for name in plain.parameters)
    assert plan_memory(graph, 2, ELASTIC).state == elastic.nbytes >= plain.nbytes + 5 * values


GOOD = anchored(SMALL, first_state(SMALL))
LESS, MORE = ({n: a for n, a in GOOD[0].items() if n != "bn2.beta"}, {**GOOD[1], "dither": np.zeros(1, np.uint8)})
BAD = {
    "one missing": ((LESS, GOOD[1]), r"anchors: missing \['bn2.beta'\], unknown nothing; .*conv1.weight, bn1.gamma"),
    "one too many": ((GOOD[0], MORE), r"importances: missing nothing, unknown \['dither'\]"),
    "none": (({}, {}), r"anchors: missing \['bn1.beta', .*unknown nothing"),
    "another shape": (({**GOOD[0], "fc2.bias": np.zeros(4, np.int32)}, GOOD[1]), r"anchors of fc2.bias are int32\[4\]"),
    "real anchors": (({**GOOD[0], "fc2.bias": np.zeros(3)}, GOOD[1]), r"are float64\[3\]; expected int32\[3\]"),
    "wide importances": ((GOOD[0], {**GOOD[1], "fc2.bias": np.zeros(3, int)}), r"are int64\[3\]; expected uint8\[3\]"),
    "importances beyond 31": ((GOOD[0], {**GOOD[1], "fc2.bias": np.full(3, 32, np.uint8)}), "fc2.bias reach 32; allow"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_anchors_are_refused_and_change_nothing(device: Device, name: str) -> None:
    """Protects the pull from half a set of anchors: the message names the parameter and what was expected."""
    (anchors, importances), message = BAD[name]
    batches = minibatches(SMALL, 2, (BATCH,), rates=(0.1,))
    ends = []
    for tries in (False, True):
        session = opened(device, hyper=ELASTIC)
        session.load_anchors(*GOOD)
        if tries:
            with pytest.raises(InputError, match=message):
                session.load_anchors(anchors, importances)
        list(session.train(batches))
        ends.append(digest(session.state()))
    assert ends[0] == ends[1]


def test_anchors_need_a_session_that_pulls(device: Device) -> None:
    """Protects callers: anchors that nothing would read are refused, and so are such during training."""
    with pytest.raises(InputError, match=r"pulls nothing; make it with Hyperparameters\(elastic=True\)"):
        opened(device).load_anchors(*GOOD)
    session = opened(device, hyper=ELASTIC)
    steps = session.train(minibatches(SMALL, 40, (BATCH,), rates=(0.1,)))
    next(steps)
    with pytest.raises(DeviceError, match=r"load_anchors was asked for while train\(\) is under way"):
        session.load_anchors(*GOOD)
    steps.close()
    with pytest.raises(InputError, match=r"StateLayout\(graph, elastic=True\)"):
        compile_training(SMALL, StateLayout(SMALL), 4, base_for(StateLayout(SMALL)), ELASTIC)
