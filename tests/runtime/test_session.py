"""A session on every device: training, streaming, inference, freezing, and the memory that it takes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from session_use import BATCH, Recorder, opened, steps_seen, train
from small_networks import FLATTENED, MIXED, SMALL, assert_same_state, digest, first_state, minibatches, samples
from strop.runtime.arena_plan import MemoryReport, plan_memory
from strop.runtime.device import Device
from strop.runtime.emulator import EmulatorDevice
from strop.runtime.errors import (
    InputError,
    ProgramError,
)
from strop.runtime.graph import L1BN, Conv2d, GlobalAveragePool, Linear, NetworkGraph, ReLU
from strop.runtime.session import Minibatch, Session, StepResult

IMAGES, LABELS = samples(SMALL, BATCH)


# ---- training --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("graph", [SMALL, FLATTENED, MIXED], ids=lambda graph: graph.name)
def test_training_learns(device: Device, graph: NetworkGraph) -> None:
    """Protects the point of it all: on samples that are easy to tell apart the loss falls, on unseen ones too."""
    session = opened(device, graph, batch=16)
    results = list(session.train(minibatches(graph, 16, 60, rate=0.02)))
    first, last = (sum(part, StepResult(0, 0, 0)) for part in (results[:5], results[-5:]))
    assert last.loss < 0.2 * first.loss
    unseen = session.evaluate(*samples(graph, 50, seed=99))
    assert unseen.accuracy > 0.9
    assert unseen.samples == 50


def test_a_state_carries_everything_over(device: Device) -> None:
    """Protects checkpoints: from a state that was read, training goes on to the same bytes as without the break."""
    session = opened(device)
    train(session, 5)
    saved = session.state()
    at_saving = digest(saved)
    expected = train(session, 5, seed=1)
    unbroken = session.state()
    assert digest(saved) == at_saving, "state() gave a view of the device's memory, not a copy"

    other = Session(SMALL, device, batch=BATCH)
    other.load_state(saved)
    assert digest(other.state()) == at_saving
    assert train(other, 5, seed=1) == expected
    assert_same_state(unbroken, other.state())


def test_streaming_equals_one_by_one(device: Device) -> None:
    """Protects the two queues: results come in order, and equal those of mini-batches given one at a time."""
    batches = [next(minibatches(SMALL, size, 1, seed)) for seed, size in enumerate((8, 8, 5, 8, 2, 2, 7, 8, 8))]
    session = opened(device)
    alone = [result for minibatch in batches for result in session.train([minibatch])]
    expected = session.state()
    assert [result.samples for result in alone] == [8, 8, 5, 8, 2, 2, 7, 8, 8]
    assert len({result.loss_sum_q16 for result in alone}) > 5, "results that could not be told apart"

    session.load_state(first_state(SMALL))
    assert list(session.train(batches)) == alone
    assert_same_state(expected, session.state())


@pytest.mark.usefixtures("one_step_a_start")
def test_streaming_takes_one_mini_batch_ahead(device: Device) -> None:
    """Protects memory and freshness: while a result is looked at, only the next mini-batch has been asked for."""
    asked = 0

    def counted() -> Iterator[Minibatch]:
        nonlocal asked
        for minibatch in minibatches(SMALL, BATCH, 6):
            asked += 1
            yield minibatch

    session = opened(device)
    ahead = [asked - done for done, _ in enumerate(session.train(counted()))]
    assert ahead == [2, 2, 2, 2, 2, 1]


@pytest.mark.parametrize(("graph", "batch", "size"), [(SMALL, 8, 5), (FLATTENED, 33, 28), (MIXED, 9, 2)])
def test_a_smaller_mini_batch_trains_as_in_a_session_of_its_size(
    device: Device, graph: NetworkGraph, batch: int, size: int
) -> None:
    """Protects partial mini-batches: the same bytes, though they lie in the room of a larger one."""
    results, states = [], []
    for largest in (size, batch):
        session = opened(device, graph, batch=largest)
        results.append(train(session, 3, batch=size))
        states.append(session.state())
    assert results[0] == results[1]
    assert_same_state(states[0], states[1])


def test_a_rate_of_zero_trains_nothing(device: Device) -> None:
    """Protects learning rates: each mini-batch brings its own, and at 0 no parameter moves."""
    session = opened(device)
    before = session.state()
    train_still = [Minibatch(m.images, m.labels, 0.0) for m in minibatches(SMALL, BATCH, 2)]
    list(session.train(train_still))
    after = session.state()
    for name in before:
        if name.endswith((".weight", ".gamma", ".beta", ".bias")):
            assert np.array_equal(before[name], after[name]), name
    assert after["fc1.weight.momentum"].any()
    assert steps_seen(session) == 2


def test_no_mini_batches_are_no_steps(device: Device) -> None:
    """Protects empty streams."""
    session = opened(device)
    before = digest(session.state())
    assert list(session.train([])) == []
    assert digest(session.state()) == before


# ---- inference -------------------------------------------------------------------------------------------------------


def test_inference_changes_nothing_and_agrees_with_itself(device: Device) -> None:
    """Protects evaluation in the middle of training: no byte of the state, and one answer by either way."""
    session = opened(device)
    train(session, 6)
    before = digest(session.state())
    images, labels = samples(SMALL, 70, seed=5)
    logits = session.logits(images)
    measured = session.evaluate(images, labels)
    assert digest(session.state()) == before

    assert logits.shape == (70, 3)
    assert logits.dtype == np.float64
    assert measured.samples == 70
    assert measured.correct == np.count_nonzero(logits.argmax(1) == labels)
    shifted = logits - logits.max(1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(1)) - shifted[np.arange(70), labels]
    assert abs(measured.loss - losses.mean()) < 1 / 16  # the kernel takes logits in steps of 1/16


def test_a_sample_is_judged_by_itself(device: Device) -> None:
    """Protects predictions: neither its neighbours nor how many there are change a sample's logits."""
    session = opened(device, batch=BATCH)
    train(session, 6)
    images, labels = samples(SMALL, 300, seed=5)  # more than any inference mini-batch
    logits = session.logits(images)
    assert np.array_equal(session.logits(images[::-1])[::-1], logits)
    for part in (slice(0, 1), slice(17, 20), slice(299, 300)):
        assert np.array_equal(session.logits(images[part]), logits[part])
    parts = [session.evaluate(images[i : i + 64], labels[i : i + 64]) for i in range(0, 300, 64)]
    assert sum(parts, StepResult(0, 0, 0)) == session.evaluate(images, labels)


def test_inference_of_nothing(device: Device) -> None:
    """Protects empty data: no samples give no logits and a result of zeros."""
    session = opened(device)
    assert session.logits(IMAGES[:0]).shape == (0, 3)
    assert session.evaluate(IMAGES[:0], LABELS[:0]) == StepResult(0, 0, 0)


def test_a_network_that_was_never_trained_cannot_infer(device: Device) -> None:
    """Protects from meaningless answers: shifts and statistics come from training, so the first layer is named."""
    session = opened(device)
    for use in (lambda: session.logits(IMAGES), lambda: session.evaluate(IMAGES, LABELS)):
        with pytest.raises(ProgramError, match="layer conv1: this layer was never trained, .* train it first"):
            use()
    train(session, 1)
    assert session.logits(IMAGES).shape == (BATCH, 3)


# ---- freezing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frozen", "still"),
    [
        ({"conv1"}, {"conv1", "bn1"}),
        ({"fc1"}, {"fc1", "bn2"}),
        ({"conv1", "fc1"}, {"conv1", "bn1", "fc1", "bn2"}),
        ({"fc2"}, {"fc2"}),
    ],
)
def test_frozen_layers_stay_and_the_others_train(device: Device, frozen: set[str], still: set[str]) -> None:
    """Protects fine-tuning: every array of a frozen layer stays, every parameter of the others moves."""
    session = opened(device)
    train(session, 3)
    before = session.state()

    tuned = Session(SMALL, device, batch=BATCH, frozen=frozenset(frozen))
    tuned.load_state(before)
    train(tuned, 4, seed=1)
    after = tuned.state()
    for name in before:
        layer, _, array = name.partition(".")
        same = np.array_equal(before[name], after[name])
        if layer in still and array not in ("gradient_site", "input_gradient_site"):
            assert same, f"{name} of a frozen layer has moved"
        if layer not in still and array in ("weight", "gamma", "beta", "bias", "running_mu", "running_steps"):
            assert not same, f"{name} was not trained"


def test_a_frozen_layer_that_was_never_trained_is_named(device: Device) -> None:
    """Protects fine-tuning from a network without statistics to freeze."""
    session = opened(device, frozen=frozenset({"fc1"}))
    with pytest.raises(ProgramError, match="layer fc1: this layer was never trained"):
        train(session, 1)


# ---- memory and errors at the start ----------------------------------------------------------------------------------


@pytest.mark.parametrize("graph", [SMALL, MIXED], ids=lambda graph: graph.name)
def test_the_memory_report_is_what_is_taken(graph: NetworkGraph) -> None:
    """Protects the figure that users read: the peak is the arena, one allocation, and training uses all of it."""
    recorder = Recorder(EmulatorDevice(threads=1))
    session = Session(graph, recorder, batch=BATCH)
    report = session.memory
    assert recorder.allocated == [report.peak]
    assert report == plan_memory(graph, BATCH)
    assert report.peak == report.state + report.programs + report.slots + report.workspace
    assert f"{report.peak:,} bytes (state {report.state:,}, " in str(report)
    session.load_state(first_state(graph))
    train(session, 2)
    session.evaluate(*samples(graph, 200))
    assert recorder.allocated == [report.peak]
    assert recorder.read(report.peak - 64, 64).size == 64
    with pytest.raises(InputError):
        recorder.read(report.peak - 64, 65)
    session.close()
    assert recorder.closed


def test_memory_grows_with_the_mini_batch() -> None:
    """Protects the choice of a mini-batch by its memory. Maps take room for whole groups of images."""
    peaks = [plan_memory(SMALL, batch).peak for batch in (2, 17, 40, 128, 512)]
    assert peaks == sorted(set(peaks))


def test_maps_that_inference_could_not_take_128_of(device: Device) -> None:
    """Protects large images: with 64x64 values a channel 32 samples are the most, in inference too."""
    graph = NetworkGraph("large-maps", (1, 64, 64), (Conv2d(2, (1, 1)), L1BN(), ReLU(), GlobalAveragePool(), Linear(2)))
    session = opened(device, graph, batch=2)
    train(session, 2, batch=2)
    images, labels = samples(graph, 40)
    assert session.evaluate(images, labels).samples == 40


def test_results_add_up() -> None:
    """Protects epochs: sums are exact, means are of all samples, and nothing is divided by zero."""
    total = StepResult(3 * 65536, 1, 2) + StepResult(65536, 3, 6)
    assert total == StepResult(4 * 65536, 4, 8)
    assert (total.loss, total.accuracy) == (0.5, 0.5)
    assert (StepResult(0, 0, 0).loss, StepResult(0, 0, 0).accuracy) == (0.0, 0.0)
    assert MemoryReport(1, 2, 3, 4).peak == 10
