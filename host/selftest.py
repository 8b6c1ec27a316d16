"""The known-answer self-test: small trainings whose digests ship with strop, run on the device of the caller.

The answers (`known_answers.json`) were made by the NumPy reference with `make_known_answers`. A device that gives them
computes as NUMERICS.md says, in every command that the compiler emits. An emulator that runs the same beside it tells
which arrays of the state are wrong, where some are.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.host.checkpoint import read_checkpoint, state_digest
from strop.host.data import load_fashion_mnist_subset
from strop.host.models import initial_state
from strop.host.networks import lenet5
from strop.host.order import epoch_order
from strop.host.pretrained import pretrained_path
from strop.host.selftest_networks import GENERATOR, JOINED, RESIDUAL, STRIDED, WIDE
from strop.runtime.contract import C
from strop.runtime.device import Device, open_device
from strop.runtime.errors import (
    ContractMismatch,
    DataError,
    DeviceBusy,
    DeviceError,
    DeviceUnavailable,
    MemoryPlanError,
)
from strop.runtime.graph import NetworkGraph
from strop.runtime.hyperparameters import Hyperparameters
from strop.runtime.session import Minibatch, Session, StepResult
from strop.runtime.soft_targets import ONE, one_hot
from strop.runtime.state import StateLayout

ANSWERS = Path(__file__).with_name("known_answers.json")  # beside this file, in every kind of installation
HYPER = Hyperparameters(weight_decay=0.001)
BINARY = Hyperparameters(loss="binary_cross_entropy")
SQUARED = Hyperparameters(loss="squared_error")
STREAM = Hyperparameters(statistics="running", soft_targets=True, elastic=True)
LEARNING_RATE = 0.1
NAMED_ARRAYS = 4  # of those that differ, so many are told by name

State = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Case:
    """One training of the self-test, then an inference.

    garments: on images of the bundled Fashion-MNIST, not on made-up ones. pretrained: from the shipped checkpoint, not
    from first weights. frozen: layers that stay. interrupted_after: the state is taken out after so many steps and put
    back, as resuming from a checkpoint does; 0 for never. steps 0: inference alone. hyper: with targets or anchors
    these are made up.
    """

    name: str
    graph: NetworkGraph
    batch: int
    steps: int
    garments: bool = False
    pretrained: bool = False
    frozen: frozenset[str] = frozenset()
    interrupted_after: int = 0
    hyper: Hyperparameters = HYPER


CASES = (
    Case("lenet5", lenet5(), 16, 2, garments=True),
    Case("frozen", lenet5(), 8, 2, garments=True, pretrained=True, frozen=frozenset({"conv2"})),
    Case("inference", lenet5(), 8, 0, garments=True, pretrained=True),
    Case("strided", STRIDED, 10, 3),
    Case("resume", STRIDED, 10, 3, interrupted_after=1),
    Case("residual", RESIDUAL, 18, 3),  # more than a group of 16 images
    Case("wide", WIDE, 7, 3),
    Case("stream", RESIDUAL, 1, 5, hyper=STREAM),
    Case("joined", JOINED, 17, 3),
    Case("generator", GENERATOR, 9, 3, hyper=BINARY),
    Case("regression", JOINED, 6, 3, hyper=SQUARED),
)


@dataclass(frozen=True)
class Answer:
    """What a case gives: each step's summed loss (LSB 2^-16 nat) and correct answers; sha256 of state and logits."""

    losses: tuple[int, ...]
    correct: tuple[int, ...]
    state: str
    logits: str

    def differences(self, known: Answer) -> Iterator[str]:
        """Yield in words where this is not the known answer, in the order in which a run gets there."""
        for step, (mine, right) in enumerate(zip(self.losses, known.losses, strict=True), 1):
            if mine != right:
                yield f"the loss of step {step} is {mine} (in 2^-16 nat); the known answer is {right}"
                break  # what follows from it says no more
        for step, (mine, right) in enumerate(zip(self.correct, known.correct, strict=True), 1):
            if mine != right:
                yield f"step {step} counts {mine} correct answers; the known answer is {right}"
                break
        if self.state != known.state:
            yield f"the state is sha256 {self.state[:16]}...; the known answer is {known.state[:16]}..."
        if self.logits != known.logits:
            yield f"the logits are sha256 {self.logits[:16]}...; the known answer is {known.logits[:16]}..."


@dataclass(frozen=True)
class CaseResult:
    """How a device did in a case. answer: None where it failed. wrong: in words, empty where it is as it must be.

    seconds: of the training steps, or of the inference where there are none; images: so many in that time.
    """

    case: Case
    answer: Answer | None
    wrong: tuple[str, ...]
    seconds: float
    images: int

    @property
    def equal(self) -> bool:
        """Whether the device gave the known answer."""
        return not self.wrong

    @property
    def images_per_second(self) -> float:
        """Images a second; 0 where the device failed."""
        return self.images / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Run:
    """What a device made of a case: the answer, and the arrays behind its digests."""

    answer: Answer
    arrays: State
    seconds: float
    images: int


def open_witness(device: Device) -> tuple[Device | None, str]:
    """Return an emulator to run beside `device`, and why; None where `device` is one itself or none is there."""
    if device.name == "emulator":
        return None, "none: the device is the emulator"
    try:
        emulator = open_device("emulator")
    except (DeviceUnavailable, ContractMismatch) as error:
        return None, f"none: {error}"
    return emulator, emulator.description


def run_cases(device: Device, witness: Device | None = None) -> Iterator[CaseResult]:
    """Run each case on `device` and yield its result; where it is wrong, `witness` runs it too and tells more.

    A device that fails in a case is asked for the next one all the same. Raises `DeviceBusy`, and `DataError` where
    the known answers are missing. Opens and closes nothing.
    """
    known = known_answers()
    for case in CASES:
        try:
            run = run_case(case, device)
        except DeviceBusy:
            raise
        except (DeviceError, MemoryPlanError) as error:
            yield CaseResult(case, None, (f"{type(error).__name__}: {error}",), 0.0, 0)
            continue
        wrong = list(run.answer.differences(known[case.name]))
        if witness is not None:
            try:
                wrong += _beside(run, run_case(case, witness), known[case.name])
            except (DeviceError, MemoryPlanError) as error:
                wrong.append(f"the emulator beside it failed: {type(error).__name__}: {error}")
        yield CaseResult(case, run.answer, tuple(wrong), run.seconds, run.images)


def run_case(case: Case, device: Device) -> Run:
    """Train a case on `device`, ask it for logits, and return what came of it. Raises `DeviceError`."""
    images, labels = _garments(case) if case.garments else _patterns(case)
    state = read_checkpoint(pretrained_path()).state if case.pretrained else initial_state(case.graph, seed=0)
    results: list[StepResult] = []
    seconds = 0.0
    for first, last in _stretches(case):
        session = Session(case.graph, device, batch=case.batch, hyper=case.hyper, frozen=case.frozen)
        session.load_state(state)
        if case.hyper.elastic:
            session.load_anchors(*_anchors(case))
        parts = [slice(step * case.batch, (step + 1) * case.batch) for step in range(first, last)]
        begin = time.perf_counter()
        results += session.train(_minibatch(case, images[part], labels[part]) for part in parts)
        seconds += time.perf_counter() - begin
        state = session.state()
    begin = time.perf_counter()
    logits = session.logits(images[: case.batch])
    if not case.steps:
        seconds = time.perf_counter() - begin
    answer = Answer(
        losses=tuple(result.loss_sum_q16 for result in results),
        correct=tuple(result.correct for result in results),
        state=state_digest(state),
        logits=state_digest({"logits": logits}),
    )
    return Run(answer, {**state, "logits": logits}, seconds, max(1, case.steps) * case.batch)


def known_answers() -> dict[str, Answer]:
    """Return the answer of each case. Raises `DataError` where this installation lacks those of its numerics."""
    try:
        table = json.loads(ANSWERS.read_text(encoding="utf-8"))
        cases = table[str(C.NUMERICS_VERSION)]
        return {
            case.name: Answer(
                losses=tuple(cases[case.name]["losses"]),
                correct=tuple(cases[case.name]["correct"]),
                state=cases[case.name]["state"],
                logits=cases[case.name]["logits"],
            )
            for case in CASES
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{ANSWERS} has no known answers for numerics {C.NUMERICS_VERSION} ({type(error).__name__}: {error}): "
            "install strop again; in a source tree, run: python -m strop.host.make_known_answers"
        ) from error


def _stretches(case: Case) -> list[tuple[int, int]]:
    """Return the steps of each session: one, or two where the case is interrupted."""
    if case.interrupted_after:
        return [(0, case.interrupted_after), (case.interrupted_after, case.steps)]
    return [(0, case.steps)]


def _garments(case: Case) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return the first images of the bundled Fashion-MNIST and their labels."""
    data = load_fashion_mnist_subset("train")
    count = max(1, case.steps) * case.batch
    return data.images[:count], data.labels[:count]


def _patterns(case: Case) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return images of noise, each with a brighter block of rows where its label says."""
    count, (channels, height, width) = max(1, case.steps) * case.batch, case.graph.input
    pixels = epoch_order(count * channels * height * width, 0, 0) % 97
    images = pixels.astype(np.uint8).reshape(count, channels, height, width)
    labels = (epoch_order(count, 0, 1) % case.graph.classes).astype(np.int32)
    for image, label in zip(images, labels, strict=True):
        first = int(label) * height // case.graph.classes
        image[:, first : first + 2, 3:8] += 150
    return images, labels


def _minibatch(case: Case, images: NDArray[np.uint8], labels: NDArray[np.int32]) -> Minibatch:
    """Return a mini-batch; targets give a quarter of a sample to the class after its own; one output has yes and no."""
    if not case.hyper.has_targets:
        return Minibatch(images, labels, LEARNING_RATE)
    if case.graph.classes == 1:
        return Minibatch(images, labels, LEARNING_RATE, (np.arange(len(labels), dtype=np.int32)[:, None] % 2) * ONE)
    targets = one_hot(labels, case.graph.classes)
    targets -= targets // 4 - np.roll(targets // 4, 1, axis=1)
    return Minibatch(images, labels, LEARNING_RATE, targets)


def _anchors(case: Case) -> tuple[State, State]:
    """Return anchors at the first state's parameters, and importances of every strength from none on."""
    first = initial_state(case.graph, seed=0)
    names = StateLayout(case.graph).parameters
    strengths = {n: (epoch_order(first[n].size, 0, 2) % 9).astype(np.uint8).reshape(first[n].shape) for n in names}
    return {name: first[name] for name in names}, strengths


def _beside(run: Run, witness: Run, known: Answer) -> Iterator[str]:
    """Yield what an emulator's run adds: the arrays that differ, or that the emulator is wrong itself."""
    if witness.answer != known:
        yield "the emulator of this machine does not give the known answer either: do not trust this build of strop"
    differ = [name for name, array in witness.arrays.items() if not np.array_equal(array, run.arrays[name])]
    if differ:
        named = ", ".join(differ[:NAMED_ARRAYS]) + (", ..." if len(differ) > NAMED_ARRAYS else "")
        yield f"unlike the emulator's: {named} ({len(differ)} of {len(witness.arrays)} arrays)"
