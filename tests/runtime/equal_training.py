"""Whole trainings, run on the reference and on every emulator, and compared byte by byte."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from small_networks import State, assert_same_state, samples
from strop.runtime.device import Device
from strop.runtime.emulator import EmulatorDevice
from strop.runtime.graph import NetworkGraph
from strop.runtime.hyperparameters import Hyperparameters
from strop.runtime.reference import ReferenceDevice
from strop.runtime.session import Minibatch, Session, StepResult

Run = Callable[[Device], "Trained"]


@dataclass(frozen=True)
class Trained:
    """What a run leaves: each step's loss and correct answers, the state after each phase, logits of some images."""

    results: list[StepResult] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    logits: list[np.ndarray] = field(default_factory=list)


def train(
    device: Device,
    graph: NetworkGraph,
    state: State,
    batches: Sequence[Minibatch],
    hyper: Hyperparameters,
    *phases: frozenset[str],
) -> Trained:
    """Train on `batches` in as many equal parts as there are phases, each with other layers frozen."""
    trained = Trained()
    part = len(batches) // len(phases)
    largest = max(len(minibatch.labels) for minibatch in batches)
    for phase, frozen in enumerate(phases):
        session = Session(graph, device, batch=largest, hyper=hyper, frozen=frozen)
        session.load_state(state)
        trained.results.extend(session.train(batches[phase * part : (phase + 1) * part]))
        state = session.state()
        trained.states.append(state)
        trained.logits.append(session.logits(batches[0].images))
    return trained


def assert_all_equal(emulators: Iterable[EmulatorDevice], run: Run) -> Trained:
    """Run on the reference and on every emulator; fail where one differs. Returns what the reference did."""
    expected = run(ReferenceDevice())
    for emulator in emulators:
        actual = run(emulator)
        steps = zip(expected.results, actual.results, strict=True)
        wrong = next((step for step, (want, got) in enumerate(steps) if want != got), None)
        assert wrong is None, f"{emulator.description}: step {wrong} measured another loss"
        for want, got in zip(expected.states, actual.states, strict=True):
            assert_same_state(want, got, emulator.description)
        for i, logits in enumerate(expected.logits):
            assert np.array_equal(logits, actual.logits[i]), emulator.description
    return expected


def minibatches(graph: NetworkGraph, steps: int, sizes: Sequence[int], rates: Sequence[float]) -> list[Minibatch]:
    """Return mini-batches whose sizes and learning rates go round in turn."""
    batches = []
    for step in range(steps):
        images, labels = samples(graph, sizes[step % len(sizes)], seed=step)
        batches.append(Minibatch(images, labels, rates[step // 10 % len(rates)]))
    return batches
