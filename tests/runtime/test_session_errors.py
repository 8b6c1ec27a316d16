"""What goes wrong around a session leaves no mark: not on the model, not on the session, not on the machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from session_use import BATCH, Recorder, opened, steps_seen, train
from small_networks import SMALL, digest, first_state, minibatches, samples
from strop.runtime.arena_plan import plan_memory
from strop.runtime.contract import COMMAND, C
from strop.runtime.device import Device
from strop.runtime.emulator import EmulatorDevice
from strop.runtime.errors import (
    CheckpointMismatch,
    DeviceError,
    DeviceTimeout,
    InputError,
    LimitError,
    MemoryPlanError,
    ProgramError,
)
from strop.runtime.graph import L1BN, Conv2d, GlobalAveragePool, Linear, NetworkGraph, ReLU
from strop.runtime.session import Minibatch, Session

IMAGES, LABELS = samples(SMALL, BATCH)
BAD = {
    "float images": ((IMAGES / 255, LABELS), r"images are float64\[8, 1, 9, 8\]; small takes uint8\['N', 1, 9, 8\]"),
    "images without channels": ((IMAGES[:, 0], LABELS), r"images are uint8\[8, 9, 8\]; small takes"),
    "images of another size": ((IMAGES[..., :-1], LABELS), r"images are uint8\[8, 1, 9, 7\]; small takes"),
    "labels of 64 bits": ((IMAGES, LABELS.astype(np.int64)), r"labels are int64\[8\]; expected int32\[8\]"),
    "one-hot labels": ((IMAGES, np.eye(8, 3, dtype=np.int32)), r"labels are int32\[8, 3\]; expected int32\[8\]"),
    "labels missing": ((IMAGES, LABELS[:7]), r"labels are int32\[7\]; expected int32\[8\], one an image"),
    "a label too high": ((IMAGES, np.array([0, 1, 2, 0, 1, 3, 9, 0], np.int32)), "label 3 of sample 5 is out of range"),
    "a negative label": ((IMAGES, np.array([0, -1, 2, 0, 1, 0, 1, 0], np.int32)), "label -1 of sample 1 is out of"),
    "one sample": ((IMAGES[:1], LABELS[:1]), "a mini-batch of 1 samples; allowed: 2 to 8"),
    "no samples": ((IMAGES[:0], LABELS[:0]), "a mini-batch of 0 samples; allowed: 2 to 8"),
    "too many samples": (samples(SMALL, 9), "a mini-batch of 9 samples; allowed: 2 to 8"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_mini_batch_is_refused_before_it_is_trained(device: Device, name: str) -> None:
    """Protects the model: steps before a bad mini-batch stand, nothing of it is in the state, training can go on."""
    (images, labels), message = BAD[name]
    good, following = minibatches(SMALL, BATCH, 2)
    session = opened(device)
    list(session.train([good]))
    expected = digest(session.state())
    session.load_state(first_state(SMALL))

    seen = []
    with pytest.raises(InputError, match=message):
        for result in session.train([good, Minibatch(images, labels, 0.1), following]):  # type: ignore[arg-type]
            seen.append(result)
    assert digest(session.state()) == expected
    assert len(list(session.train([following]))) == 1


@pytest.mark.parametrize("rate", [-0.1, float("nan"), 256.0])
def test_a_bad_learning_rate_is_refused_before_it_is_used(device: Device, rate: float) -> None:
    """Protects the model from a schedule that has lost its way."""
    session = opened(device)
    before = digest(session.state())
    with pytest.raises(InputError, match="learning rate is "):
        list(session.train([Minibatch(IMAGES, LABELS, rate)]))
    assert digest(session.state()) == before


def test_an_error_of_the_caller_passes_through(device: Device) -> None:
    """Protects sessions from the caller's generator: its error comes out, what was trained stands, training goes on."""

    def broken() -> Iterator[Minibatch]:
        yield from minibatches(SMALL, BATCH, 3)
        raise LookupError("no more images")

    session = opened(device)
    with pytest.raises(LookupError, match="no more images"):
        list(session.train(broken()))
    assert steps_seen(session) == 3
    train(session, 2)
    assert steps_seen(session) == 5


@pytest.mark.usefixtures("one_step_a_start")
def test_training_that_is_left_early_ends_cleanly(device: Device) -> None:
    """Protects Ctrl-C and `break`: the step under way ends, no other one begins, and the session is free again."""
    session = opened(device)
    for index, _ in enumerate(session.train(minibatches(SMALL, BATCH, 10))):
        if index == 1:
            break
    iterator = session.train(minibatches(SMALL, BATCH, 10))
    next(iterator)
    iterator.close()
    seen = steps_seen(session)
    assert seen == 3 + 2
    assert list(iterator) == []
    train(session, 1)
    assert steps_seen(session) == seen + 1


def test_nothing_else_runs_while_training_is_under_way(device: Device) -> None:
    """Protects the arena from two programs at a time: each other use is refused, and names what was asked for."""
    session = opened(device)
    iterator = session.train(minibatches(SMALL, BATCH, 4))
    next(iterator)
    uses: dict[str, Callable[[], object]] = {
        "state": session.state,
        "load_state": lambda: session.load_state(first_state(SMALL)),
        "inference": lambda: session.logits(IMAGES),
        "train": lambda: next(session.train([])),
    }
    for name, use in uses.items():
        with pytest.raises(DeviceError, match=f"^{name} was asked for while .* finish or close its iterator first"):
            use()
    assert len(list(iterator)) == 3
    assert steps_seen(session) == 4


@pytest.mark.usefixtures("one_step_a_start")
def test_closing_during_training_is_no_crash(device: Device) -> None:
    """Protects the process: the kernel's memory is not given back under a step that runs; the next one is refused."""
    session = opened(device)
    iterator = session.train(minibatches(SMALL, BATCH, 9))
    next(iterator)
    session.close()
    with pytest.raises(DeviceError):
        list(iterator)


@pytest.mark.usefixtures("one_step_a_start")
def test_a_session_whose_memory_was_taken_says_so(device: Device) -> None:
    """Protects the model of another session on the same device: the older one writes and reads nothing any more."""
    older = opened(device)
    iterator = older.train(minibatches(SMALL, BATCH, 6))
    next(iterator)
    newer = opened(device)
    before = digest(newer.state())
    with pytest.raises(DeviceError, match="another session took .*'s memory, and this one's is gone"):
        list(iterator)
    for use in (
        older.state,
        lambda: older.load_state(first_state(SMALL, seed=1)),
        lambda: older.logits(IMAGES),
        lambda: next(older.train([])),
    ):
        with pytest.raises(DeviceError, match="one session at a time"):
            use()
    assert digest(newer.state()) == before
    assert len(train(newer, 2)) == 2


def test_a_bad_command_is_reported_by_its_layer(device: Device) -> None:
    """Protects whoever looks for a fault: the report's numbers become the layer's name; a new program mends it."""
    session = opened(device)
    train(session, 1)
    commands = session.memory.state  # the program lies behind the state
    program = device.read(commands, 20 * COMMAND.itemsize).view(COMMAND)
    at = list(program["opcode"]).index(C.OP_MAX_POOL_FORWARD)
    device.write(commands + at * COMMAND.itemsize, np.array([C.OP_COUNT], np.uint32))
    with pytest.raises(ProgramError, match=f"step 0, command {at}, layer pool1: .* stopped with unknown_opcode"):
        train(session, 3)
    session.load_state(first_state(SMALL))
    assert len(train(session, 3)) == 3


@pytest.mark.usefixtures("one_step_a_start")
def test_nothing_runs_after_a_step_that_failed(device: Device) -> None:
    """Protects a device that hangs, and the state: the step that waits behind the failed one is not started."""
    recorder = Recorder(device)
    session = opened(recorder)
    recorder.runs, recorder.failing_run = 0, 3
    results = []
    with pytest.raises(DeviceTimeout, match="did not finish"):
        for result in session.train(minibatches(SMALL, BATCH, 9)):
            results.append(result)
    assert len(results) == 2
    assert recorder.runs == 3
    assert steps_seen(session) == 2
    assert len(train(session, 1)) == 1


def test_a_state_that_is_refused_changes_nothing(device: Device) -> None:
    """Protects a trained model from a checkpoint of another: all of it is checked before anything is written."""
    session = opened(device)
    train(session, 1)
    before = digest(session.state())
    bad = first_state(SMALL)
    bad["fc2.bias"] = np.zeros(4, np.int32)  # the last but one to be written
    with pytest.raises(CheckpointMismatch, match=r"fc2.bias is int32\[4\]"):
        session.load_state(bad)
    assert digest(session.state()) == before


@pytest.mark.parametrize("name", ["float images", "images of another size", "labels of 64 bits", "a label too high"])
def test_bad_samples_are_refused_in_inference_too(device: Device, name: str) -> None:
    """Protects evaluation by the same rules as training."""
    (images, labels), message = BAD[name]
    session = opened(device)
    with pytest.raises(InputError, match=message):
        session.evaluate(images, labels)  # type: ignore[arg-type]


def test_what_does_not_fit_is_refused_before_anything_is_taken() -> None:
    """Protects the machine: no arena is asked for where the plan, the mini-batch or a frozen layer is impossible."""
    recorder = Recorder(EmulatorDevice(threads=1))
    blocks = (Conv2d(4096, (1, 1)), L1BN(), ReLU()) * 3
    large = NetworkGraph("large", (3, 32, 32), (*blocks, GlobalAveragePool(), Linear(3)))
    with pytest.raises(MemoryPlanError, match=r"large with mini-batches of 128 needs .* smaller mini-batch"):
        Session(large, recorder, batch=128)
    with pytest.raises(LimitError, match="small: a mini-batch of 1; allowed: 2 to "):
        Session(SMALL, recorder, batch=1)
    with pytest.raises(InputError, match="frozen: there is no layer conv9"):
        Session(SMALL, recorder, batch=2, frozen=frozenset({"conv9"}))
    assert recorder.allocated == []


def test_the_whole_arena_counts() -> None:
    """Protects the last bytes of 32 bits: parts that would fit one by one are refused together."""
    blocks = (Conv2d(4096, (1, 1)), L1BN(), ReLU()) * 3
    large = NetworkGraph("large", (3, 8, 8), (*blocks, GlobalAveragePool(), Linear(3)))
    batch = next(b for b in range(2048, 2, -16) if fits(large, b))  # maps grow by groups of 16 images
    assert 2**32 - 2**26 < plan_memory(large, batch).peak < 2**32


def fits(graph: NetworkGraph, batch: int) -> bool:
    """Whether a plan exists."""
    try:
        plan_memory(graph, batch)
    except MemoryPlanError:
        return False
    return True
