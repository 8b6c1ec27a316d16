"""A learner's checkpoint: broken off anywhere, a stream goes on to the same bytes; what is wrong in a file is told."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from strop.host.checkpoint import read_checkpoint, write_checkpoint
from strop.host.continual import STRATEGIES, Learner, LearnerSettings
from strop.host.model import Model
from strop.runtime.errors import CheckpointCorrupt, CheckpointError, CheckpointMismatch, InputError
from tiny_models import tiny_dataset, tiny_model
from tiny_streams import MAKERS, SETTINGS, Stop, assert_equal, learner, stream


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

    if first.cursor is None and not all(s.streams() for s in first.strategies):
        first.save(path)  # nothing is trained step by step: the cut comes between experiences
    else:
        with pytest.raises(Stop):
            first.learn(broken, checkpoint=path, checkpoint_every=2, on_step=stop_at(5))
    again = Learner.load(path)
    if all(s.streams() for s in first.strategies):
        assert again.cursor is not None and again.cursor.done == 4
    for dataset in stream()[again.experiences :]:
        again.learn(dataset)
    assert_equal(whole, again)
    everything = tiny_dataset(60)
    assert whole.evaluate(everything) == again.evaluate(everything)


def test_another_experience_is_refused_where_one_was_broken_off(tmp_path: Path) -> None:
    """Else a resumed run would silently mix two experiences."""
    found = learner("replay")
    path = tmp_path / "learner.safetensors"

    with pytest.raises(Stop):
        found.learn(stream()[0], checkpoint=path, checkpoint_every=2, on_step=stop_at(3))
    again = Learner.load(path)
    with pytest.raises(CheckpointMismatch, match="was started on"):
        again.learn(stream()[1])
    with pytest.raises(InputError, match="broken off"):
        again.partial_fit(stream()[1].images, stream()[1].labels)


def test_a_checkpoint_without_a_learner_is_no_learner(tmp_path: Path) -> None:
    """And the other way round a learner's checkpoint is a model's, too."""
    found = learner("replay")
    found.learn(stream()[0])
    found.model.save(tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="without a learner"):
        Learner.load(tmp_path / "model.safetensors")
    found.save(tmp_path / "learner.safetensors")
    assert Model.load(tmp_path / "learner.safetensors").digest() == found.model.digest()


@pytest.mark.parametrize("step", [1, 2, 3, 6, 7, 8, 13, 14])
def test_broken_off_by_ctrl_c_at_every_kind_of_place(step: int, tmp_path: Path) -> None:
    """Protects the edges of an epoch: with two epochs, Ctrl-C during any step loses none, and nobody is asked twice."""
    settings = LearnerSettings(batch=4, epochs=2, momentum=0.5, seed=3)
    path = tmp_path / "file"

    def make() -> Learner:
        return Learner(tiny_model(), *MAKERS["lwf and latent replay"](), settings=settings)

    def interrupt(done: int, steps: int, result: object) -> None:
        assert steps == 14
        if done == step:
            signal.raise_signal(signal.SIGINT)

    whole, broken = make(), make()
    for dataset in stream():
        whole.learn(dataset)
    broken.learn(stream()[0])
    with pytest.raises(KeyboardInterrupt):
        broken.learn(stream()[1], checkpoint=path, on_step=interrupt)
    again = Learner.load(path, device="emulator", threads=2)
    assert again.cursor is not None and again.cursor.done >= step
    for run in (broken, again):  # in the same process, too
        for dataset in stream()[1:]:
            run.learn(dataset)
        assert_equal(whole, run)


def test_broken_off_on_one_device_and_ended_on_another(tmp_path: Path) -> None:
    """Protects moving a learner: from the emulator to the reference in mid-experience, and back."""
    path = tmp_path / "file"
    whole = learner("replay and lwf")
    for dataset in stream(2):
        whole.learn(dataset)
    for first, then in (("emulator", "reference"), ("reference", "emulator")):
        broken = learner("replay and lwf", tiny_model(first))
        broken.learn(stream()[0])
        with pytest.raises(Stop):
            broken.learn(stream()[1], checkpoint=path, checkpoint_every=3, on_step=stop_at(4))
        again = Learner.load(path, device=then)
        again.learn(stream()[1])
        assert_equal(whole, again)


@pytest.mark.parametrize("chunk", [1, 8, 12])
def test_how_many_maps_are_made_at_once_changes_no_byte(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects large experiences, whose feature maps are made for some mini-batches at a time."""
    whole, parts = learner("latent-replay"), learner("latent-replay")
    for dataset in stream():
        whole.learn(dataset)
    monkeypatch.setattr("strop.host.continual.learner.CHUNK_SAMPLES", chunk)
    for dataset in stream():
        parts.learn(dataset)
    assert_equal(whole, parts)


def test_settings_and_options_come_back(tmp_path: Path) -> None:
    """Protects a learner from being another one after a restart."""
    settings = LearnerSettings(2, 0.25, 3, 0.5, 0.001, "frozen", frozenset({"conv1"}), 9, 2)
    trained = learner("naive")
    trained.learn(stream()[0])
    found = Learner(trained.model, *MAKERS["ewc and replay"](), settings=settings)
    found.learn(stream()[1])
    again = Learner.load(found.save(tmp_path / "file"), device="emulator", threads=1)
    assert again.settings == settings and (again.experiences, again.steps) == (1, found.steps)
    assert [(s.name, s.options) for s in again.strategies] == [(s.name, s.options) for s in found.strategies]
    assert again.session_settings() == found.session_settings()
    assert_equal(found, again)


@pytest.mark.parametrize("name", STRATEGIES)
def test_options_make_the_same_strategy_again(name: str) -> None:
    """Protects resume: `options` hold every argument, before and after a learner is made."""
    kind = STRATEGIES[name]
    for made in (kind(), *MAKERS[name]()):
        assert type(made) is kind and kind(**made.options).options == made.options
        Learner(tiny_model(), made, settings=SETTINGS)
        assert kind(**made.options).options == made.options


def test_a_strategy_of_a_later_strop_is_told(tmp_path: Path) -> None:
    """Protects from going on without what kept a learner from forgetting."""
    path = saved(tmp_path)
    change(path, strategies=[{"name": "hindsight", "options": {}}])
    with pytest.raises(CheckpointMismatch, match="strategy 'hindsight'; this strop has naive, joint"):
        Learner.load(path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"settings": {"batch": 0}},
        {"settings": None},
        {"strategies": [{"name": "replay", "options": {"capacity": -1}}]},
        {"strategies": [{"name": "replay", "options": {"room": 5}}]},
        {"strategies": [{"name": "replay", "options": None}]},
        {"strategies": []},
        {"strategies": 3},
        {"cursor": {"done": 1}},
        {"cursor": []},
        {"guard": "somebody"},
        {"watch": {"accuracy": 0.5}},
        {"facts": [{}]},
        {"facts": None},
        {"steps": "many"},
    ],
    ids=str,
)
def test_a_record_that_strop_did_not_write_is_told(wrong: dict[str, Any], tmp_path: Path) -> None:
    """Protects from a traceback: whatever is in a learner's part, the error says which file, and what it is about."""
    path = saved(tmp_path)
    change(path, **wrong)
    with pytest.raises(CheckpointCorrupt, match="file: the learner's part is not one that strop writes"):
        Learner.load(path)
    assert Model.load(path).steps == 7, "the model's part is as good as ever"


@pytest.mark.parametrize("name", ["0.samples", "0.labels"])
def test_a_memory_of_another_size_is_told(name: str, tmp_path: Path) -> None:
    """Protects the samples' labels: none are made up, and none left out."""
    path = saved(tmp_path)
    found = read_checkpoint(path)
    assert found.learner is not None
    for arrays in ({**found.learner.arrays, name: found.learner.arrays[name][:1]}, {}):
        write_checkpoint(path, replace(found, learner=replace(found.learner, arrays=arrays)))
        with pytest.raises(CheckpointCorrupt, match="the learner's part"):
            Learner.load(path)


def stop_at(step: int) -> Any:
    """An on_step that breaks off after `step`."""

    def on_step(done: int, steps: int, result: object) -> None:
        if done == step:
            raise Stop

    return on_step


def saved(folder: Path) -> Path:
    """Return the checkpoint of a learner with replay, between two experiences."""
    found = learner("replay")
    found.learn(stream()[0])
    return found.save(folder / "file")


def change(path: Path, **facts: Any) -> None:
    """Write other facts into the learner's part of the checkpoint."""
    found = read_checkpoint(path)
    assert found.learner is not None
    write_checkpoint(path, replace(found, learner=replace(found.learner, facts={**found.learner.facts, **facts})))
