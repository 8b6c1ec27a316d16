"""The learner's promise: with any strategy a broken-off stream goes on to the same bytes, and failures cost nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from strop.host.continual import (
    ElasticWeightConsolidation,
    Guard,
    LatentReplay,
    Learner,
    LearnerSettings,
    Replay,
    StreamingLda,
)
from strop.host.data import Dataset
from strop.runtime.errors import CheckpointError, CheckpointMismatch, InputError
from strop.runtime.session import Minibatch
from tiny_models import tiny_dataset, tiny_model
from tiny_streams import MAKERS, SETTINGS, learner, stream


class Stop(Exception):
    """What a test raises to break a stream off."""


def assert_equal(one: Learner, other: Learner) -> None:
    """Fail unless both learners are the same to the last byte."""
    a, b = one.parts(), other.parts()
    assert (a.model_steps, a.experiences, a.steps) == (b.model_steps, b.experiences, b.steps)
    assert one.model.digest() == other.model.digest()
    for (facts, arrays), (other_facts, other_arrays) in zip(a.strategies, b.strategies, strict=True):
        assert facts == other_facts
        assert arrays.keys() == other_arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, other_arrays[name], err_msg=name)


@pytest.mark.parametrize("experience", [0, 1])
@pytest.mark.parametrize("name", MAKERS)
def test_a_stream_that_was_broken_off_goes_on_to_the_same_bytes(name: str, experience: int, tmp_path: Path) -> None:
    """Protects resume after a power cut in the middle of an experience, for every strategy's own state."""
    whole = learner(name)
    for dataset in stream():
        whole.learn(dataset)
    path = tmp_path / "learner.safetensors"
    first = learner(name)
    for dataset in stream()[:experience]:
        first.learn(dataset, checkpoint=path)
    broken = stream()[experience]

    def cut(done: int, steps: int, result: object) -> None:
        if done == 5:
            raise Stop

    if first.cursor is None and not all(s.streams() for s in first.strategies):
        first.save(path)  # nothing is trained step by step: the cut comes between experiences
    else:
        with pytest.raises(Stop):
            first.learn(broken, checkpoint=path, checkpoint_every=2, on_step=cut)
    again = Learner.load(path)
    if all(s.streams() for s in first.strategies):
        assert again.cursor is not None and again.cursor.done == 4
    for dataset in stream()[again.experiences :]:
        again.learn(dataset)
    assert_equal(whole, again)
    everything = tiny_dataset(60)
    assert whole.evaluate(everything) == again.evaluate(everything)


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


def test_another_experience_is_refused_where_one_was_broken_off(tmp_path: Path) -> None:
    """Else a resumed run would silently mix two experiences."""
    found = learner("replay")
    path = tmp_path / "learner.safetensors"

    def cut(done: int, steps: int, result: object) -> None:
        if done == 3:
            raise Stop

    with pytest.raises(Stop):
        found.learn(stream()[0], checkpoint=path, checkpoint_every=2, on_step=cut)
    again = Learner.load(path)
    with pytest.raises(CheckpointMismatch, match="was started on"):
        again.learn(stream()[1])
    with pytest.raises(InputError, match="broken off"):
        again.partial_fit(stream()[1].images, stream()[1].labels)


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

    from strop.host.continual import Experience

    data = tiny_dataset(24)
    found = Learner(tiny_model(), Watching(9, 4), settings=SETTINGS)
    found.learn(Experience("a stream", data, data, (0, 1, 2), ordered=True))
    assert seen == list(range(24))
    seen.clear()
    found.learn(data)
    assert seen != list(range(24)) and sorted(seen) == list(range(24))


def test_what_forgets_too_much_is_undone_and_says_so(tmp_path: Path) -> None:
    """Protects the guard: the bytes before, in model and memory; and nothing undone where little was lost."""
    old, new = stream()[0], stream()[1]
    swapped = Dataset.from_arrays(new.images, 2 - new.labels, classes=new.classes)
    path = tmp_path / "learner.safetensors"
    guard = Guard(old, 0.1)
    found = Learner(tiny_model(), Replay(9, 4), settings=LearnerSettings(batch=4, epochs=6, seed=3), guard=guard)
    first = found.learn(old)
    assert first.guard is not None and not first.rolled_back and "kept" in str(first)
    before = found.parts()
    wrong = Dataset.from_arrays(old.images, 1 - old.labels, classes=old.classes)
    for harmful in (wrong, swapped):
        learned = found.learn(harmful, checkpoint=path)
        if learned.rolled_back:
            break
    assert learned.rolled_back and "rolled back" in str(learned)
    assert learned.guard is not None and learned.guard.before - learned.guard.after > 0.1
    assert found.model.steps == before.model_steps
    for name, array in before.state.items():
        np.testing.assert_array_equal(array, found.model.state()[name])
    assert found.parts().strategies[0][0] == before.strategies[0][0]
    with pytest.raises(CheckpointMismatch, match="guard"):
        Learner.load(path)
    with pytest.raises(CheckpointMismatch, match="another guard"):
        Learner.load(path, guard=Guard(new, 0.1))
    assert_equal(found, Learner.load(path, guard=guard))


def test_a_checkpoint_without_a_learner_is_no_learner(tmp_path: Path) -> None:
    """And the other way round a learner's checkpoint is a model's, too."""
    found = learner("replay")
    found.learn(stream()[0])
    found.model.save(tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="without a learner"):
        Learner.load(tmp_path / "model.safetensors")
    found.save(tmp_path / "learner.safetensors")
    assert type(found.model).load(tmp_path / "learner.safetensors").digest() == found.model.digest()


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


def test_memory_is_the_sum_of_its_parts() -> None:
    """Protects the figures that people choose a board by."""
    found = learner("replay")
    memory = found.memory()
    assert memory.buffer == 9 * (64 + 4)
    parts = memory.to_dict()
    assert parts.pop("total") == sum(parts.values()) == memory.total
