"""A run over a benchmark: what it measures and counts, and that breaking it off anywhere changes neither."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from strop.host.continual import Benchmark, BenchmarkRun, Experience, Guard, Learner, RunRecord, hold_out
from strop.host.continual.experience import labels_of
from strop.host.continual.run import progress_path
from strop.host.data import Dataset
from strop.runtime.cut import cut
from strop.runtime.errors import CheckpointError, CheckpointMismatch, InputError
from strop.runtime.estimate import step_seconds
from tiny_models import tiny_dataset, tiny_graph, tiny_model
from tiny_streams import SETTINGS, learner, stream


def _experience(index: int, train: Dataset) -> Experience:
    return Experience(str(index), train, tiny_dataset(12, seed=10 + index), labels_of(train))


BENCHMARK = Benchmark("tiny", "domain-incremental", tuple(map(_experience, range(3), stream())), "three")
STEPS = [len(range(0, len(e.train), SETTINGS.batch)) for e in BENCHMARK.experiences]
STRATEGY_NAMES = ("naive", "lwf and replay", "latent-replay", "slda", "joint")


def new_run(name: str = "replay", checkpoint: Path | None = None, **words) -> BenchmarkRun:
    """Return a run that has not begun."""
    return BenchmarkRun(BENCHMARK, learner(name), strategy=name, seed=3, checkpoint=checkpoint, **words)


def resumed(checkpoint: Path, name: str = "replay", **words) -> BenchmarkRun:
    """Return the run of a checkpoint."""
    loaded = Learner.load(checkpoint, device="emulator", threads=1)
    return BenchmarkRun(BENCHMARK, loaded, strategy=name, seed=3, checkpoint=checkpoint, **words)


def without_times(record: RunRecord) -> dict:
    """Return all of a record that may not depend on the machine."""
    found = record.to_dict()
    del found["seconds"]
    return found


@pytest.mark.parametrize("name", STRATEGY_NAMES)
def test_rows_are_accuracies_after_each_experience(name):
    """Row i is what the learner answers after i experiences, on every test set; the digest is of the last state."""
    record = new_run(name).run()
    by_hand = learner(name)
    for index, experience in enumerate(BENCHMARK.experiences, 1):
        by_hand.learn(experience)
        expected = [by_hand.evaluate(each.test) for each in BENCHMARK.experiences]
        assert record.matrix.R[index].tolist() == expected
        assert record.curve[index - 1] == (26 * index, np.mean(expected[:index]))
    assert record.digest == by_hand.model.digest()
    assert record.buffer_bytes == by_hand.memory().buffer and len(record.seconds) == 3
    assert record.experiences == ("0", "1", "2") and record.samples == (26, 26, 26)


def test_the_row_before_training():
    """A network without a step guesses, by which forward transfer is counted; a trained one answers."""
    assert new_run().run().matrix.R[0].tolist() == [1 / 3] * 3
    with tiny_model() as model:
        model.fit(tiny_dataset(60), steps=12, batch=10)
        answers = [model.evaluate(each.test).accuracy for each in BENCHMARK.experiences]
        record = BenchmarkRun(BENCHMARK, learner("replay", model), strategy="replay", seed=3).run()
    assert record.matrix.R[0].tolist() == answers != [1 / 3] * 3
    found = record.matrix.R
    assert record.matrix.forward_transfer == pytest.approx((found[1, 1] + found[2, 2] - answers[1] - answers[2]) / 2)


def test_modelled_time_is_of_the_steps_that_were_made():
    """Steps of the whole network, from a frozen front on steps of the rear; energy by each board's power."""
    graph, hyper = tiny_graph(), SETTINGS.hyper
    batch = SETTINGS.batch
    plain = new_run("naive", watts={"pynq-z2": 2.0}).run()
    whole = step_seconds(graph, learner("naive").session_settings().batch, hyper, frozenset())
    assert plain.modelled_seconds == pytest.approx({board: each * sum(STEPS) for board, each in whole.items()})
    assert plain.modelled_joules == {"pynq-z2": 2.0 * plain.modelled_seconds["pynq-z2"]}
    latent = learner("latent-replay")
    room = latent.session_settings().batch
    assert room >= batch + latent.strategies[0].replay_batch
    rear = step_seconds(cut(graph, latent.strategies[0].options["after"]).rear, room, hyper, frozenset())
    whole = step_seconds(graph, room, hyper, frozenset())
    found = new_run("latent-replay").run()
    assert found.modelled_joules is None
    expected = {board: whole[board] * STEPS[0] + rear[board] * sum(STEPS[1:]) for board in whole}
    assert found.modelled_seconds == pytest.approx(expected)


class Broken(Exception):
    """A power cut."""


@pytest.mark.parametrize("name", STRATEGY_NAMES)
@pytest.mark.parametrize("measured", [1, 2, 3])
def test_broken_off_between_checkpoint_and_measurement(name, measured, tmp_path, monkeypatch):
    """An experience that ended is not learned twice: it is measured, its steps are counted, its time is not known."""
    expected = new_run(name).run()
    checkpoint = tmp_path / "run.safetensors"
    with monkeypatch.context() as patched:
        count = BenchmarkRun._count

        def broken(self, seconds):
            if self.learner.experiences == measured:
                raise Broken
            count(self, seconds)

        patched.setattr(BenchmarkRun, "_count", broken)
        with pytest.raises(Broken):
            new_run(name, checkpoint).run()
    record = resumed(checkpoint, name).run()
    assert without_times(record) == without_times(expected)
    assert [seconds == 0.0 for seconds in record.seconds] == [index == measured - 1 for index in range(3)]


@pytest.mark.parametrize("name", ["naive", "lwf and replay", "latent-replay"])
@pytest.mark.parametrize("at", [3, 7, 10, 20])
def test_broken_off_in_an_experience(name, at, tmp_path):
    """From the last checkpoint on, to the record of a run that was never broken off."""
    expected = new_run(name).run()
    checkpoint, steps = tmp_path / "run.safetensors", 0

    def broken(*_):
        nonlocal steps
        steps += 1
        if steps == at:
            raise Broken

    with pytest.raises(Broken):
        new_run(name, checkpoint, checkpoint_every=2).run(on_step=broken)
    record = resumed(checkpoint, name).run()
    assert without_times(record) == without_times(expected)


def test_callbacks():
    """Steps count within an experience; an experience is told of with what it did and the new row."""
    steps, ended = [], []
    record = new_run("naive").run(
        lambda done, total, result: steps.append((done, total)),
        lambda experience, learned, row: ended.append((experience.name, learned.samples, row)),
    )
    assert steps == [(done, total) for total in STEPS for done in range(1, total + 1)]
    assert ended == [(str(i), 26, record.matrix.R[i + 1].tolist()) for i in range(3)]


def test_what_a_guard_undoes_is_met_once():
    """Protects a run from meeting one experience for ever; what was undone took its time all the same."""
    benchmark, held_out = hold_out(BENCHMARK, 6, 0)
    with tiny_model() as model:
        guard = Guard(held_out, 0.0)
        # only class 2 from now on: that forgets
        only = [experience.train.labels == 2 for experience in benchmark.experiences[1:]]
        trains = [e.train.subset(np.flatnonzero(o)) for e, o in zip(benchmark.experiences[1:], only, strict=True)]
        forgetting = [_experience(index, train) for index, train in enumerate(trains, 5)]
        benchmark = Benchmark("x", "class-incremental", (benchmark.experiences[0], *forgetting), "x")
        verdicts = []
        run = BenchmarkRun(
            benchmark, Learner(model, settings=SETTINGS, guard=guard), strategy="naive", seed=3, told={"more": (1, 2)}
        )
        record = run.run(on_experience=lambda experience, learned, row: verdicts.append(learned.rolled_back))
        assert verdicts == [False, True, True] and run.learner.experiences == 3
    assert record.matrix.R[1].tolist() == record.matrix.R[2].tolist() == record.matrix.R[3].tolist()
    steps = sum(len(range(0, len(e.train), SETTINGS.batch)) for e in benchmark.experiences)
    each = step_seconds(tiny_graph(), run.learner.session_settings().batch, SETTINGS.hyper, frozenset())
    assert record.modelled_seconds["kv260"] == pytest.approx(each["kv260"] * steps)
    assert record.settings == run.settings()
    assert record.settings["guard"]["limit"] == 0.0 and record.settings["more"] == [1, 2]


def _begun(checkpoint: Path, **words) -> None:
    """Leave a run behind that was broken off in its second experience."""
    with pytest.raises(KeyboardInterrupt):
        new_run(checkpoint=checkpoint, **words).run(on_experience=lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))


def test_other_settings_do_not_go_on(tmp_path):
    """What was measured belongs to a run that was told something else: its rows must not become this one's."""
    checkpoint = tmp_path / "run.safetensors"
    _begun(checkpoint, told={"data": "one"})
    with pytest.raises(CheckpointMismatch, match="data was one, now is two"):
        resumed(checkpoint, told={"data": "two"})
    assert resumed(checkpoint, told={"data": "one"}).run().matrix.experiences == 3


def test_measurements_that_cannot_be_read(tmp_path):
    """Missing, damaged, of another run: refused with what to do."""
    checkpoint = tmp_path / "run.safetensors"
    _begun(checkpoint)
    path = progress_path(checkpoint)
    good = json.loads(path.read_text())
    for content, message in (
        (None, "cannot be read .*remove its checkpoint to begin anew"),
        ("{", "cannot be read"),
        (json.dumps({**good, "rows": [["x"]]}), "cannot be read"),
        (json.dumps({**good, "step_seconds": None}), "cannot be read"),
        (json.dumps({**good, "rows": good["rows"] * 2}), "are not of one run; remove both"),
    ):
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_text(content)
        with pytest.raises(CheckpointError, match=message):
            resumed(checkpoint)


def test_a_learner_with_a_past_is_no_new_run():
    """Its first row would not be from before any training of this run."""
    past = learner("naive")
    past.learn(BENCHMARK.experiences[0])
    with pytest.raises(InputError, match="learned before"):
        BenchmarkRun(BENCHMARK, past, strategy="naive", seed=0)


def test_images_must_fit():
    """All experiences are looked at before the first is learned."""
    large = Dataset.from_arrays(np.zeros((4, 1, 9, 9), np.uint8), [0, 1, 0, 1], classes=BENCHMARK.classes)
    other = Benchmark("large", "domain-incremental", (Experience("large", large, large, (0, 1)),), "x")
    with pytest.raises(InputError, match="tiny takes"):
        BenchmarkRun(other, learner("naive"), strategy="naive", seed=0)
