"""Learning: the same bytes on every device, samples as they come, and failures that cost nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from session_use import Recorder
from strop.host.continual import (
    ElasticWeightConsolidation,
    Experience,
    Guard,
    LatentReplay,
    Learner,
    LearnerSettings,
    NearestMean,
    Replay,
    StreamingLda,
)
from strop.host.continual.guard import Evaluated
from strop.host.continual.strategies.feature_head import FeatureHead
from strop.host.data import Dataset
from strop.runtime.emulator import EmulatorDevice
from strop.runtime.errors import CheckpointError, CheckpointMismatch, DeviceTimeout, InputError
from strop.runtime.session import Minibatch
from tiny_models import tiny_dataset, tiny_model
from tiny_streams import SETTINGS, Stop, assert_equal, assert_equal_parts, learner, stream


def test_devices_and_threads_learn_the_same_bytes() -> None:
    """Protects the promise across devices where a strategy uses all that was added to the kernel."""
    digests = set()
    for device, threads in (("emulator", 1), ("emulator", 3), ("reference", None)):
        found = learner("ewc and replay", tiny_model(device, threads))
        other = learner("lwf and latent replay", tiny_model(device, threads))
        for dataset in stream(2):
            found.learn(dataset)
            other.learn(dataset)
        digests.add((found.model.digest(), other.model.digest()))
    assert len(digests) == 1


def test_kept_maps_train_to_the_bytes_of_kept_images_with_a_frozen_front() -> None:
    """Protects what latent replay claims: maps instead of images change nothing but memory and time."""
    dataset, later = tiny_dataset(40), tiny_dataset(30, seed=5)
    first = Learner(tiny_model(), settings=SETTINGS)
    first.learn(dataset)
    state, steps = first.model.state(), first.model.steps
    digests = []
    for strategy, frozen in ((Replay(9, 4, seed=1), {"conv1"}), (LatentReplay(9, 4, "pool1", 0, seed=1), ())):
        model = tiny_model()
        model.load_state(state, steps=steps)
        settings = LearnerSettings(batch=4, seed=3, frozen=frozenset(frozen))
        found = Learner(model, strategy, settings=settings)
        found.learn(later)
        found.learn(dataset)
        digests.append(model.digest())
    assert digests[0] == digests[1]
    assert digests[0] != first.model.digest()


def test_a_failure_leaves_model_and_memory_as_they_were() -> None:
    """Protects what was learned from an error in the middle of a step."""

    class Failing(Replay):
        fail = False

        def extend(self, minibatch: Minibatch, rows: Any) -> Minibatch:
            if self.fail and rows[0] > 10:
                raise Stop
            return super().extend(minibatch, rows)

    failing = Failing(9, 4)
    found = Learner(tiny_model(), failing, settings=SETTINGS)
    found.learn(stream()[0])
    before = found.parts()
    failing.fail = True
    with pytest.raises(Stop):
        found.learn(stream()[1])
    failing.fail = False
    after = found.parts()
    for name, array in before.state.items():
        np.testing.assert_array_equal(array, after.state[name])
    assert after.strategies[0][0] == before.strategies[0][0]
    found.learn(stream()[1])  # and can go on


def test_a_device_that_fails_costs_no_more_than_the_steps_since_the_last_commit() -> None:
    """Protects model and memories together: after a time-out both are at the last commit, and the bytes are those of
    a run without it."""
    device = Recorder(EmulatorDevice(threads=1))
    found, whole = learner("ewc and replay", tiny_model(device)), learner("ewc and replay")
    for run in (found, whole):
        run.learn(stream()[0])
    before = found.parts()
    device.failing_run = device.runs + 3
    with pytest.raises(DeviceTimeout):
        found.learn(stream()[1])
    assert_equal_parts(before, found.parts())
    device.failing_run = 0
    for run in (found, whole):
        run.learn(stream()[1])
    assert_equal(found, whole)


@pytest.mark.parametrize("where", ["a strategy", "the guard"])
def test_an_experience_whose_end_failed_is_only_ended_again(where: str) -> None:
    """Protects trained steps: what failed was not training, so nothing is trained twice, and the guard still asks."""

    class Failing(LatentReplay):
        fail = False

        def after(self, learner: Learner, dataset: Dataset) -> None:
            super().after(learner, dataset)
            if self.fail:
                raise Stop

    class FailingGuard(Guard):
        calls = 0
        failing_call = 0

        def measure(self, learner: Evaluated) -> float:
            type(self).calls += 1
            if self.calls == self.failing_call:
                raise Stop
            return super().measure(learner)

    def make(kind: type[LatentReplay], guard: Guard) -> Learner:
        return Learner(tiny_model(), kind(9, 4, seed=1), settings=SETTINGS, guard=guard)

    first, second = stream(2)
    whole, found = make(LatentReplay, Guard(first, 1.0)), make(Failing, FailingGuard(first, 1.0))
    whole.learn(first)
    if where == "a strategy":
        Failing.fail = True
    else:
        FailingGuard.failing_call = 1  # the first measurement: before, there was no trained model to ask
    with pytest.raises(Stop):
        found.learn(first)
    Failing.fail, FailingGuard.failing_call = False, 0
    assert found.cursor is not None and found.cursor.done == found.cursor.steps and found.experiences == 0
    with pytest.raises(CheckpointMismatch):
        found.learn(second)
    again = found.learn(first)
    assert again.training.samples == 0 and again.guard is not None
    for run in (whole, found):
        run.learn(second)
    assert_equal(whole, found)


def test_samples_that_fail_leave_everything_as_it_was() -> None:
    """Protects partial_fit: also where it is the last part of it that fails, the guard's measurement."""
    first, second = stream(2)
    guard = Guard(first, 1.0)
    found = Learner(tiny_model(), Replay(9, 4), settings=SETTINGS, guard=guard)
    found.learn(first)
    before, calls = found.parts(), []

    def measure(learner: Evaluated) -> float:
        calls.append(learner)
        if len(calls) == 2:
            raise Stop
        return 0.0

    object.__setattr__(guard, "measure", measure)
    with pytest.raises(Stop):
        found.partial_fit(second.images, second.labels)
    assert_equal_parts(before, found.parts())


@pytest.mark.parametrize("kind", [StreamingLda, NearestMean])
def test_a_head_takes_samples_as_they_come(kind: type[FeatureHead]) -> None:
    """Protects streaming: one by one, in parts or as an experience, the sums are the same, and the network is."""
    dataset = tiny_dataset(30)
    model = tiny_model()
    Learner(model, settings=SETTINGS).learn(dataset)
    digest = model.digest()
    whole, parts, single = (Learner(model, kind("pool1", 0), settings=SETTINGS) for _ in range(3))
    whole.learn(dataset)
    for start in (0, 20):
        parts.partial_fit(dataset.images[start : start + 20], dataset.labels[start : start + 20])
    for image, label in zip(dataset.images, dataset.labels, strict=True):
        single.learn_one(image, int(label))
    for other in (parts, single):
        for name, array in whole.strategies[0].arrays().items():
            np.testing.assert_array_equal(array, other.strategies[0].arrays()[name], err_msg=name)
        assert other.evaluate(dataset) == whole.evaluate(dataset)
    assert model.digest() == digest


@pytest.mark.parametrize("name", ["joint", "gdumb"])
def test_samples_without_an_experience_are_refused_by_those_that_retrain(name: str) -> None:
    """Protects what they promise: else the network would be trained on samples that they never see again."""
    found = learner(name)
    found.learn(stream()[0])
    before = found.parts()
    with pytest.raises(InputError, match=f"{name} learns whole experiences only: pass them to learn"):
        found.partial_fit(stream()[1].images, stream()[1].labels)
    assert_equal_parts(before, found.parts())


def test_one_sample_with_an_empty_memory_is_refused_with_what_to_do() -> None:
    """Protects the first call of a stream: there is nothing to replay yet; with two samples it goes on one by one."""
    dataset = tiny_dataset(12)
    found = learner("replay")
    for _ in range(2):
        with pytest.raises(InputError, match='mini-batch of 1 sample .* pass 2 samples or more.*statistics="running"'):
            found.learn_one(dataset.images[0], int(dataset.labels[0]))
    assert found.memory().buffer and not found.steps
    found.partial_fit(dataset.images[:2], dataset.labels[:2])
    for image, label in zip(dataset.images[2:], dataset.labels[2:], strict=True):
        assert found.learn_one(image, int(label)).training.samples <= 5
    assert found.steps == 11


def test_a_stream_from_its_first_sample() -> None:
    """Protects learners that never see two samples at once: running statistics, from an untrained network."""
    dataset = tiny_dataset(60)
    found = Learner(tiny_model(), settings=LearnerSettings(batch=1, learning_rate=0.02, statistics="running"))
    for image, label in zip(dataset.images, dataset.labels, strict=True):
        found.learn_one(image, int(label))
    assert found.steps == 60 and found.evaluate(tiny_dataset(30, seed=1)) > 0.5


def test_a_checkpoint_that_is_never_written_is_refused(tmp_path: Path) -> None:
    """Protects from a night without a file: checkpoint_every alone, and a place that cannot be written."""
    found = learner("replay")
    with pytest.raises(InputError, match="checkpoint_every=3 without checkpoint=: name the file to write"):
        found.learn(stream()[0], checkpoint_every=3)
    with pytest.raises(CheckpointError, match="cannot write a checkpoint"):
        found.learn(stream()[0], checkpoint=tmp_path / "missing" / "file")
    assert found.cursor is None and not found.steps


def test_one_sample_at_a_time() -> None:
    """Protects learn_one: with statistics that one sample can do with, or with others beside it."""
    dataset = tiny_dataset(30)
    model = tiny_model()
    Learner(model, settings=SETTINGS).learn(dataset)
    with pytest.raises(InputError, match="mini-batch of 1"):
        Learner(model, settings=LearnerSettings(batch=1)).learn_one(dataset.images[0], 0)
    digest = model.digest()
    for statistics in ("frozen", "running"):
        settings = LearnerSettings(batch=1, learning_rate=0.01, statistics=statistics)
        one = Learner(model, settings=settings)
        assert one.learn_one(dataset.images[0], int(dataset.labels[0])).samples == 1
        assert model.digest() != digest
        digest = model.digest()
    share = one.predict_proba_one(dataset.images[1])
    assert sum(share.values()) == pytest.approx(1.0)
    assert one.predict_one(dataset.images[1]) == max(share, key=lambda label: share[label])


def test_an_ordered_experience_is_visited_in_its_order() -> None:
    """Protects task-free streams, whose order is what they are about."""
    seen: list[int] = []

    class Watching(Replay):
        def extend(self, minibatch: Minibatch, rows: Any) -> Minibatch:
            seen.extend(rows.tolist())
            return super().extend(minibatch, rows)

    data = tiny_dataset(24)
    found = Learner(tiny_model(), Watching(9, 4), settings=SETTINGS)
    found.learn(Experience("a stream", data, data, (0, 1, 2), ordered=True))
    assert seen == list(range(24))
    seen.clear()
    found.learn(data)
    assert seen != list(range(24)) and sorted(seen) == list(range(24))


def test_what_does_not_go_together_is_refused() -> None:
    """At the door, and not after an experience."""
    for strategies in (
        (LatentReplay(9), LatentReplay(9)),
        (ElasticWeightConsolidation(), LatentReplay(9)),
        (Replay(9), LatentReplay(9)),
        (StreamingLda(), Replay(9)),
        (StreamingLda(), StreamingLda()),
        (object(),),
    ):
        with pytest.raises(InputError):
            Learner(tiny_model(), *strategies)  # type: ignore[arg-type]
