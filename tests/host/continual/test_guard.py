"""The forgetting guard: what forgets too much is undone to the byte, and says so; what does not is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from strop.host.continual import Guard, GuardVerdict, LatentReplay, Learner, LearnerSettings, Replay, StreamingLda
from strop.host.continual.strategies.strategy import Strategy
from strop.host.data import Dataset
from strop.runtime.errors import CheckpointMismatch, InputError
from tiny_models import tiny_dataset, tiny_model
from tiny_streams import Stop, assert_equal, stream

OLD, HELD_OUT = tiny_dataset(48), tiny_dataset(30, seed=1)
WRONG = Dataset.from_arrays(OLD.images, (OLD.labels + 1) % 3, classes=OLD.classes, name="wrong")
SETTINGS = LearnerSettings(batch=8, learning_rate=0.1, epochs=6, seed=3)
GUARD = Guard(HELD_OUT, 0.1)


def trained(*strategies: Strategy, guard: Guard | None = GUARD) -> Learner:
    """Return a learner that knows OLD."""
    found = Learner(tiny_model(), *strategies, settings=SETTINGS, guard=guard)
    learned = found.learn(OLD)
    assert not learned.rolled_back and found.evaluate(HELD_OUT) > 0.8
    return found


@pytest.mark.parametrize("make", [Strategy, lambda: Replay(9, 1), lambda: LatentReplay(9, 1)])
def test_what_forgets_too_much_is_undone_and_says_so(make: Any) -> None:
    """Protects what the model knew: the bytes before, in network and memories; and the next experience is learned."""
    found = trained(make())
    before, accuracy = found.parts(), found.evaluate(HELD_OUT)
    learned = found.learn(WRONG)
    verdict = learned.guard
    assert learned.rolled_back and verdict is not None
    assert verdict.before == accuracy == found.evaluate(HELD_OUT) and verdict.after < accuracy - 0.1
    assert f"rolled back: held-out samples: {accuracy:.2%} correct before, {verdict.after:.2%} after" in str(learned)
    after = found.parts()
    assert (after.model_steps, after.experiences) == (before.model_steps, 2), "it was met, but not learned"
    for (facts, arrays), (had, were) in zip(after.strategies, before.strategies, strict=True):
        assert facts == had and all(np.array_equal(arrays[name], were[name]) for name in were)
    assert all(np.array_equal(array, before.state[name]) for name, array in after.state.items())
    kept = found.learn(OLD)
    assert kept.guard is not None and "; kept: held-out samples: " in str(kept) and not kept.rolled_back
    assert found.model.steps > before.model_steps


def test_samples_as_they_come_are_guarded_too() -> None:
    """Protects partial_fit, where labels come from whoever is near: the network's bytes, and a head's sums."""
    found = trained()
    before = found.parts()
    assert not found.partial_fit(OLD.images[:8], OLD.labels[:8]).rolled_back
    kept = found.parts()
    assert kept.model_steps == before.model_steps + 1
    assert found.partial_fit(np.tile(WRONG.images, (6, 1, 1, 1)), np.tile(WRONG.labels, 6)).rolled_back
    assert all(np.array_equal(array, kept.state[name]) for name, array in found.parts().state.items())
    head = Learner(found.model, StreamingLda(whole_experiences=0), settings=SETTINGS, guard=GUARD)
    head.learn(OLD)
    sums = head.strategies[0].arrays()
    wrong = np.tile(WRONG.images, (5, 1, 1, 1)), np.tile(WRONG.labels, 5)
    assert head.partial_fit(*wrong).rolled_back
    assert all(np.array_equal(array, sums[name]) for name, array in head.strategies[0].arrays().items())


def test_a_guard_changes_nothing_where_it_undoes_nothing() -> None:
    """Protects the promise of equal bytes: measuring trains nothing and draws nothing."""
    guarded, free = (Learner(tiny_model(), Replay(9, 4), settings=SETTINGS, guard=g) for g in (Guard(OLD, 1.0), None))
    for dataset in stream():
        assert guarded.learn(dataset).guard is not None
        assert free.learn(dataset).guard is None
    assert_equal(guarded, free)


def test_broken_off_under_a_guard(tmp_path: Path) -> None:
    """Protects from judging by another measure: after a resume it goes back to before the experience, not to the file.

    What it had measured is in the file, with the learner that it goes back to; its samples are not.
    """

    def stop(done: int, steps: int, result: object) -> None:
        if done == 9:
            raise Stop

    path = tmp_path / "file"
    whole, broken = trained(Replay(9, 1)), trained(Replay(9, 1))
    with pytest.raises(Stop):
        broken.learn(WRONG, checkpoint=path, checkpoint_every=4, on_step=stop)
    again = Learner.load(path, guard=Guard(HELD_OUT, 0.1), device="emulator", threads=1)
    assert again.cursor is not None and again.cursor.done == 8
    expected = whole.learn(WRONG)
    assert expected.rolled_back
    for run in (again, broken):
        learned = run.learn(WRONG)
        assert learned.guard == expected.guard
        assert_equal(whole, run)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A file of a guarded learner."""
    yield trained().save(tmp_path / "file")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (None, "had as guard one with tiny: load it with the guard that it had"),
        (Guard(HELD_OUT, 0.2), "had another guard: the same samples and limit are needed"),
        (Guard(OLD, 0.1), "had another guard"),
    ],
)
def test_another_guard_is_refused(other: Guard | None, message: str, path: Path) -> None:
    """Protects from a learner that is guarded less than before, unnoticed."""
    with pytest.raises(CheckpointMismatch, match=message):
        Learner.load(path, guard=other)
    assert Learner.load(path, guard=Guard(tiny_dataset(30, seed=1, name="same samples"), 0.1)).experiences == 1


def test_a_guard_where_there_was_none_is_refused(tmp_path: Path) -> None:
    """Protects the bytes that follow: a guard may undo what the run would have kept."""
    path = trained(guard=None).save(tmp_path / "file")
    with pytest.raises(CheckpointMismatch, match="had as guard none"):
        Learner.load(path, guard=GUARD)


@pytest.mark.parametrize(
    ("after", "limit", "rolled_back"), [(0.75, 0.25, False), (0.5, 0.25, True), (1.0, 0.0, False), (0.99, 0.0, True)]
)
def test_exactly_the_limit_may_be_lost(after: float, limit: float, rolled_back: bool) -> None:
    """Protects the meaning of `limit`: more than that, and gains are never undone."""
    assert GuardVerdict(1.0, after, limit).rolled_back is rolled_back
    assert not GuardVerdict(0.1, after, limit).rolled_back


def test_a_guard_that_means_nothing_is_refused() -> None:
    """At the door, with what is allowed."""
    for limit in (-0.1, 1.1, 2, float("nan")):
        with pytest.raises(InputError, match="allowed: 0 to 1, the share of correct answers that may be lost"):
            Guard(HELD_OUT, limit)
    with pytest.raises(InputError, match="limit is '0.1'; it is a number"):
        Guard(HELD_OUT, "0.1")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="held_out is of type ndarray; expected a Dataset"):
        Guard(HELD_OUT.images)  # type: ignore[arg-type]
