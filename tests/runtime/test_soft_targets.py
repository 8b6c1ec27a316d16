"""Training on soft targets instead of labels: devices agree, one-hot targets are labels, and bad ones are refused."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import exp, floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from equal_training import Trained, assert_all_equal, minibatches, train
from program_access import base_for, check_memory
from session_use import BATCH, opened
from small_networks import FLATTENED, MIXED, SMALL, assert_same_state, digest, first_state, samples
from strop.runtime.compiler import compile_inference, compile_training
from strop.runtime.contract import C
from strop.runtime.device import Device
from strop.runtime.emulator import EmulatorDevice
from strop.runtime.errors import InputError
from strop.runtime.graph import NetworkGraph
from strop.runtime.hyperparameters import Hyperparameters
from strop.runtime.session import Minibatch
from strop.runtime.soft_targets import ONE, check_targets, one_hot, softmax, target_rows
from strop.runtime.state import StateLayout

SOFT = Hyperparameters(soft_targets=True)


def smoothed(labels: NDArray[np.int32], classes: int) -> NDArray[np.int32]:
    """Return targets that give an eighth of each sample to the other classes."""
    rest = ONE // 8 // (classes - 1)
    targets = np.full((len(labels), classes), rest, np.int32)
    targets[np.arange(len(labels)), labels] = ONE - rest * (classes - 1)
    return targets


@pytest.mark.parametrize("graph", [MIXED, FLATTENED], ids=lambda graph: graph.name)
@pytest.mark.parametrize("statistics", ["batch", "running"])
def test_devices_agree_on_soft_targets(emulators: list[EmulatorDevice], graph: NetworkGraph, statistics: str) -> None:
    """Protects error and loss in whole networks: smoothed and made-up targets, and mini-batches without any."""
    plain = minibatches(graph, 12, (2, 5, 17), rates=(0.05,))
    rng = np.random.default_rng(3)
    made_up = [rng.multinomial(ONE, np.ones(graph.classes) / graph.classes, len(b.labels)) for b in plain]
    batches = [
        replace(b, targets=(smoothed(b.labels, graph.classes), made_up[i].astype(np.int32), None)[i // 3 % 3])
        for i, b in enumerate(plain)
    ]
    hyper = Hyperparameters(soft_targets=True, statistics=statistics)

    def run(device: Device) -> Trained:
        return train(device, graph, first_state(graph), batches, hyper, frozenset())

    trained = assert_all_equal(emulators, run)
    other = train(emulators[0], graph, first_state(graph), plain, hyper, frozenset())
    assert digest(trained.states[-1]) != digest(other.states[-1])
    assert trained.results[0].loss_sum_q16 != other.results[0].loss_sum_q16


def test_without_targets_a_mini_batch_trains_on_its_labels(device: Device) -> None:
    """Protects the flag: it costs no byte of a training on labels."""
    batches = minibatches(SMALL, 5, (2, 5, 8), rates=(0.1,))
    given = [replace(b, targets=one_hot(b.labels, SMALL.classes)) for b in batches]
    expected = train(device, SMALL, first_state(SMALL), batches, Hyperparameters(), frozenset())
    for other in (batches, given):
        trained = train(device, SMALL, first_state(SMALL), other, SOFT, frozenset())
        assert trained.results == expected.results
        assert_same_state(expected.states[-1], trained.states[-1])


def test_targets_lie_where_inference_puts_logits() -> None:
    """Protects memory: soft targets take no room that a slot has not, and the step reads them from there."""
    layout = StateLayout(MIXED)
    program = compile_training(MIXED, layout, 5, base_for(layout), SOFT)
    check_memory(program, layout, base_for(layout))
    plain = compile_training(MIXED, layout, 5, base_for(layout), Hyperparameters())
    assert program.slot == plain.slot == compile_inference(MIXED, layout, 5, base_for(layout)).slot
    (loss,) = (c for c in program.commands if c["opcode"] == C.OP_SOFTMAX_CROSS_ENTROPY)
    assert (loss["flags"], loss["source_2"], loss["source_2_plane"]) == (C.FLAG_SOFT, program.slot.logits, 64)


def test_helpers_by_hand() -> None:
    """Protects the two layouts: a row a sample for callers, a row a class in the slot."""
    targets = one_hot(np.array([2, 0], np.int32), 3)
    assert targets.tolist() == [[0, 0, ONE], [ONE, 0, 0]] and targets.dtype == np.int32
    rows = target_rows(targets, 64)
    assert rows.shape == (3, 16) and rows[:, :2].tolist() == [[0, ONE], [0, 0], [ONE, 0]] and not rows[:, 2:].any()
    check_targets(targets, 2, 3)


IMAGES, LABELS = samples(SMALL, BATCH)
GOOD = smoothed(LABELS, SMALL.classes)
OFF_BY_ONE = GOOD + np.eye(BATCH, SMALL.classes, dtype=np.int32)
BELOW_ZERO = GOOD.copy()
BELOW_ZERO[4] = [ONE + 7, -7, 0]
BAD = {
    "shares": (GOOD / ONE, r"targets are float64\[8, 3\]; expected int32\[8, 3\]"),
    "a row a class": (np.ascontiguousarray(GOOD.T), r"targets are int32\[3, 8\]; expected int32\[8, 3\]"),
    "64 bits": (GOOD.astype(np.int64), r"targets are int64\[8, 3\]; expected int32"),
    "another sum": (OFF_BY_ONE, "the targets of sample 0 sum to 32769, the least is .* sum to 32768"),
    "a negative one": (BELOW_ZERO, "the targets of sample 4 sum to 32768, the least is -7; allowed"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_targets_are_refused_before_they_are_trained(device: Device, name: str) -> None:
    """Protects the model: what is not a distribution of 32768 is named, and nothing of it is trained."""
    targets, message = BAD[name]
    session = opened(device, hyper=SOFT)
    before = digest(session.state())
    with pytest.raises(InputError, match=message):
        list(session.train([Minibatch(IMAGES, LABELS, 0.1, targets)]))
    assert digest(session.state()) == before
    list(session.train([Minibatch(IMAGES, LABELS, 0.1, GOOD)]))
    assert digest(session.state()) != before


def test_targets_need_a_session_that_takes_them(device: Device) -> None:
    """Protects callers: targets that would be left out without a word are refused."""
    with pytest.raises(InputError, match=r"has targets; make the session with Hyperparameters\(soft_targets=True\)"):
        list(opened(device).train([Minibatch(IMAGES, LABELS, 0.1, GOOD)]))


@given(
    st.lists(st.lists(st.integers(-(2**20), 2**20), min_size=3, max_size=3), min_size=1, max_size=6),
    st.integers(0, 14),
    st.sampled_from([1, 2, 4]),
)
def test_a_teachers_softmax_is_that_of_the_kernel(rows: list[list[int]], e: int, temperature: int) -> None:
    """Protects distillation's targets: NUMERICS 1.6 word by word, in Python's own integers and fractions."""
    found = softmax(np.array(rows, np.float64) * 2.0**-e, temperature)
    for row, probabilities in zip(rows, found.tolist(), strict=True):
        z = [floor(Fraction(16 * value, 2**e * temperature) + Fraction(1, 2)) for value in row]
        powers = [round(2**15 * exp(-min(255, max(z) - each) / 16)) for each in z]
        total = sum(powers)
        assert probabilities == [((power << 15) + (total >> 1)) // total for power in powers]
