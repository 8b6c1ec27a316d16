"""A learner: a model that goes on learning from a stream of experiences, by a training loop and strategies over it.

Everything that the next bytes depend on is in its checkpoint: the state, the strategies' memories and counters, and how
far the experience under way is. Orders and draws come from the seed and counters (host/order.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from strop.host.answers import Prediction
from strop.host.checked import data_set, file_path, pixels, whole
from strop.host.checkpoint import check_destination, read_checkpoint
from strop.host.classes import with_named_rows
from strop.host.continual.experience import Experience
from strop.host.continual.guard import Guard, GuardVerdict
from strop.host.continual.learned import Learned, LearnerCursor, LearnerParts, LearnerSettings, Watch
from strop.host.continual.learner_memory import LearnerMemory, memory_of
from strop.host.continual.learner_record import record_of, restored_from
from strop.host.continual.strategies.latent_replay import CHUNK_SAMPLES, encoded
from strop.host.continual.strategies.strategy import Arrays, Strategy
from strop.host.continual.visits import edges_of, order_of
from strop.host.cursor import TrainingSettings, mark
from strop.host.data.dataset import Dataset
from strop.host.fit import DeferredInterrupt
from strop.host.model import Model
from strop.host.samples import check_samples
from strop.runtime.device import Device
from strop.runtime.errors import CheckpointCorrupt, InputError
from strop.runtime.session import Minibatch, Session, StepResult

OnStep = Callable[[int, int, StepResult], None]


class Learner:
    """`model` under `strategies`; `learn` takes an experience, `partial_fit` and `learn_one` take samples as they come.

    settings: how mini-batches are made and trained (`LearnerSettings`). guard: undoes what made the model forget too
    much. One of the strategies may answer in the model's place (`StreamingLda`), and then `predict` asks it.
    """

    def __init__(
        self,
        model: Model,
        *strategies: Strategy,
        settings: LearnerSettings | None = None,
        guard: Guard | None = None,
    ) -> None:
        self.model, self.strategies, self.guard = model, strategies, guard
        self.settings = settings or LearnerSettings()
        self.experiences = 0  # gone through so far, also those that the guard undid
        self.steps = 0  # training steps of this learner, undone or not
        self._cursor: LearnerCursor | None = None
        self._watch: Watch | None = None  # what the guard measured, and what it goes back to
        for strategy in strategies:
            if not isinstance(strategy, Strategy):
                raise InputError(f"{strategy!r} is no strategy; see strop.host.continual.STRATEGIES")
            if strategy.alone and len(strategies) > 1:
                names = ", ".join(other.name for other in strategies)
                raise InputError(
                    f"{strategy.name} trains or answers in the learner's place: give it alone, not {names}"
                )
            strategy.join(self)

    # -- learning -------------------------------------------------------------------------------------------------
    def learn(
        self,
        experience: Experience | Dataset,
        *,
        checkpoint: str | Path | None = None,
        checkpoint_every: int | None = None,
        on_step: OnStep | None = None,
    ) -> Learned:
        """Learn an experience; return what happened.

        checkpoint: a file that is written every `checkpoint_every` steps and at the end; a learner that was loaded from
        it goes on in the middle of the experience, given the same one again, to the same bytes. on_step is called with
        the steps done, the steps in all, and the step's result. Ctrl-C ends it after the steps under way. Raises
        InputError, CheckpointMismatch (another experience than the one that was broken off), and what training raises.
        """
        dataset = experience.train if isinstance(experience, Experience) else data_set(experience, "the experience")
        check_samples(dataset, self.model.graph, self.model.classes, "the experience")
        path = None if checkpoint is None else file_path(checkpoint)
        every = None if checkpoint_every is None else whole("checkpoint_every", checkpoint_every, 1)
        if path is None and every is not None:
            raise InputError(f"checkpoint_every={every} without checkpoint=: name the file to write")
        if path is not None:
            check_destination(path)
        started = time.perf_counter()
        cursor = self._cursor
        if cursor is None:
            cursor = self._begin(dataset, isinstance(experience, Experience) and experience.ordered)
        else:
            cursor.dataset.check(dataset)
        total = self._run(cursor, dataset, path, every, on_step)
        verdict = self._finish(dataset)
        if path is not None:
            self.save(path)
        return Learned(len(dataset), total, time.perf_counter() - started, verdict)

    def partial_fit(self, images: ArrayLike, labels: ArrayLike) -> Learned:
        """Learn from images uint8 [n, C, H, W] with integer labels [n] as they come, once, in this order.

        No experience begins or ends: what strategies do then (a new teacher, new importances), `learn` does. Raises
        `InputError`, also for strategies that learn whole experiences only.
        """
        dataset = Dataset.from_arrays(pixels(images), labels, classes=self.model.classes, layout="NCHW")
        check_samples(dataset, self.model.graph, self.model.classes, "partial_fit's samples")
        if self._cursor is not None:
            raise InputError("an experience was broken off: let `learn` finish it before partial_fit")
        started = time.perf_counter()
        self._begin_watch()
        before, steps = self.parts(), []
        try:
            if self._streams():
                steps = self._train(dataset, np.arange(len(dataset)), edges_of(len(dataset), self.settings.batch), None)
            for strategy in self.strategies:
                if not strategy.streams():
                    strategy.take(self, dataset)
            verdict = self._judge()
        except BaseException:
            self.become(before)
            raise
        return Learned(len(dataset), sum(steps, StepResult(0, 0, 0)), time.perf_counter() - started, verdict)

    def learn_one(self, image: ArrayLike, label: int) -> Learned:
        """Learn from one image uint8 [C, H, W]. Needs statistics that one sample can do with, or a replay strategy."""
        return self.partial_fit(np.asarray(image)[np.newaxis], [label])

    def _begin(self, dataset: Dataset, ordered: bool) -> LearnerCursor:
        self._begin_watch()
        for strategy in self.strategies:
            strategy.before(self, dataset)
        per_epoch = len(edges_of(len(dataset), self.settings.batch)) - 1 if self._streams() else 0
        self._cursor = LearnerCursor(mark(dataset), per_epoch, per_epoch * self.settings.epochs, ordered)
        return self._cursor

    def _run(
        self, cursor: LearnerCursor, dataset: Dataset, path: Path | None, every: int | None, on_step: OnStep | None
    ) -> StepResult:
        total = StepResult(0, 0, 0)
        edges = edges_of(len(dataset), self.settings.batch)
        with DeferredInterrupt() as interrupt:
            while cursor.done < cursor.steps:
                epoch, first = divmod(cursor.done, cursor.per_epoch)
                last = self._segment_end(cursor, every) - epoch * cursor.per_epoch
                order = np.arange(len(dataset)) if cursor.ordered else self._order(len(dataset), epoch)
                notice = None if on_step is None else _numbered(on_step, cursor)
                results = self._train(dataset, order, edges[first : last + 1], interrupt, notice)
                total += sum(results, StepResult(0, 0, 0))
                cursor = self._cursor = replace(cursor, done=cursor.done + len(results))
                if interrupt.pending:
                    break
                if path is not None and every is not None and cursor.done % every == 0 and cursor.done < cursor.steps:
                    self.save(path)
            if interrupt.pending:
                if path is not None:
                    self.save(path)
                raise KeyboardInterrupt
        return total

    def _finish(self, dataset: Dataset) -> GuardVerdict | None:
        before, cursor = self.parts(), self._cursor
        try:
            for strategy in self.strategies:
                strategy.after(self, dataset)
            self.experiences += 1
            verdict = self._judge()
        except BaseException:
            self.become(before)
            self._cursor = cursor  # so that the experience can be finished again
            raise
        self._cursor = None
        return verdict

    def _begin_watch(self) -> None:
        if self.guard is not None:
            before = self.guard.measure(self) if self.model.steps else 0.0
            self._watch = Watch(before, self.parts())

    def _judge(self) -> GuardVerdict | None:
        """Ask the guard, if there is one; where it says so, everything is as before the experience."""
        if self.guard is None or self._watch is None:
            return None
        verdict = GuardVerdict(self._watch.accuracy, self.guard.measure(self), self.guard.limit)
        if verdict.rolled_back:
            met, steps = self.experiences, self.steps
            self.become(self._watch.parts)
            self.experiences, self.steps = met, steps  # or a stream would meet the same experience for ever
        self._watch = None
        return verdict

    # -- the loop -------------------------------------------------------------------------------------------------
    def train_afresh(self, dataset: Dataset, epochs: int, start: dict[str, NDArray[Any]]) -> None:
        """Train from the state `start` on `dataset` for `epochs`, without any strategy: for those that retrain."""
        start = with_named_rows(self.model.graph, start, len(self.model.classes))  # classes may have been added
        self.model.load_state(start, steps=self.model.steps)
        edges = edges_of(len(dataset), self.settings.batch)
        for epoch in range(epochs):
            order = self._order(len(dataset), epoch)
            stream = self._minibatches(dataset.images, order, dataset.labels, order, edges, ())
            self.model.train_on(stream, self._session_settings(()))
            self.steps += len(edges) - 1

    def _train(
        self,
        dataset: Dataset,
        order: NDArray[np.int64],
        edges: list[int],
        interrupt: DeferredInterrupt | None,
        notice: Callable[[StepResult], None] | None = None,
    ) -> list[StepResult]:
        """Train on the mini-batches between `edges` of `order`; all or nothing, but for an interruption."""
        settings = self.session_settings()
        before = self._strategy_parts()  # the model takes care of itself
        try:
            samples = dataset.images
            places = order = order[edges[0] : edges[-1]]  # in `samples`, and in the experience
            if settings.after is not None:  # the front is frozen: its maps take the images' place
                self.model.train_on([], settings)  # so that the front is asked in no more memory than the rear takes
                samples, places = encoded(self.model, samples[order], settings.after), np.arange(len(order))
            edges = [edge - edges[0] for edge in edges]
            stream = self._minibatches(samples, places, dataset.labels, order, edges, self.strategies, interrupt)
            results = self.model.train_on(stream, settings, prepare=self._prepare, on_result=notice)
        except BaseException:
            self._restore(before)
            raise
        self.steps += len(results)
        return results

    def _prepare(self, session: Session) -> None:
        for strategy in self.strategies:
            strategy.prepare(session)

    def _minibatches(
        self,
        samples: NDArray[np.uint8],
        places: NDArray[np.int64],
        labels: NDArray[np.int32],
        order: NDArray[np.int64],
        edges: list[int],
        strategies: tuple[Strategy, ...],
        interrupt: DeferredInterrupt | None = None,
    ) -> Iterator[Minibatch]:
        rate = self.settings.learning_rate
        for a, b in zip(edges, edges[1:], strict=False):
            if interrupt is not None and interrupt.pending:
                return
            rows = order[a:b]
            minibatch = Minibatch(samples[places[a:b]], labels[rows], rate)
            for strategy in strategies:
                minibatch = strategy.extend(minibatch, rows)
            if len(minibatch.labels) < self.settings.hyper.least_batch:
                raise InputError(
                    "a mini-batch of 1 sample has no statistics to normalize by: pass 2 samples or more (a replay "
                    'memory has others for the next ones then), or LearnerSettings(statistics="running"), or "frozen" '
                    "for a trained network"
                )
            yield minibatch

    def session_settings(self) -> TrainingSettings:
        """Return what the next steps' session is made for."""
        return self._session_settings(self.strategies)

    def _session_settings(self, strategies: tuple[Strategy, ...]) -> TrainingSettings:
        mine = self.settings
        room = (3 if mine.batch == 2 else mine.batch) + sum(strategy.replay_batch for strategy in strategies)
        settings = TrainingSettings(room, mine.hyper, mine.frozen, queue=mine.queue)
        for strategy in strategies:
            settings = strategy.settings(settings)
        return settings

    def _streams(self) -> bool:
        return all(strategy.streams() for strategy in self.strategies)

    def _segment_end(self, cursor: LearnerCursor, every: int | None) -> int:
        """The step before which the stream must run dry: the end of an epoch, a checkpoint, or new feature maps."""
        ends = [cursor.done - cursor.done % cursor.per_epoch + cursor.per_epoch]
        if every is not None:
            ends.append(cursor.done - cursor.done % every + every)
        if self.session_settings().after is not None:
            ends.append(cursor.done + max(1, CHUNK_SAMPLES // self.settings.batch))
        return min(ends)

    def _order(self, samples: int, epoch: int) -> NDArray[np.int64]:
        return order_of(samples, self.settings.seed, self.experiences, epoch)

    # -- inference ------------------------------------------------------------------------------------------------
    def predict(self, images: NDArray[np.uint8]) -> Prediction:
        """Return what the learner makes of images uint8 [n, C, H, W]. Changes nothing."""
        for strategy in self.strategies:
            scores = strategy.scores(self, pixels(images))
            if scores is not None:
                return Prediction.of(scores)
        return self.model.predict(images)

    def evaluate(self, dataset: Dataset) -> float:
        """Return the accuracy on `dataset`, 0 to 1. Changes nothing."""
        check_samples(data_set(dataset, "the data set"), self.model.graph, self.model.classes, "the data set")
        for strategy in self.strategies:
            scores = strategy.scores(self, dataset.images)
            if scores is not None:
                return float(np.mean(scores.argmax(axis=1) == dataset.labels))
        return self.model.evaluate(dataset).accuracy

    def predict_one(self, image: ArrayLike) -> int:
        """Return the label of one image uint8 [C, H, W]."""
        return int(self.predict(np.asarray(image)[np.newaxis]).labels[0])

    def predict_proba_one(self, image: ArrayLike) -> dict[int, float]:
        """Return the probability of each label for one image uint8 [C, H, W]."""
        row = self.predict(np.asarray(image)[np.newaxis]).probabilities[0]
        return {label: float(share) for label, share in enumerate(row)}

    # -- what it is -----------------------------------------------------------------------------------------------
    @property
    def cursor(self) -> LearnerCursor | None:
        """How far the experience under way is; None between experiences."""
        return self._cursor

    def memory(self) -> LearnerMemory:
        """Return what the whole learner takes, in bytes, by part."""
        return memory_of(self.model.graph, self.session_settings(), self.strategies)

    def parts(self) -> LearnerParts:
        """Return copies of all that learning changes."""
        state, steps = self.model.state(), self.model.steps
        return LearnerParts(state, steps, self.experiences, self.steps, self._strategy_parts())

    def become(self, parts: LearnerParts) -> None:
        """Be as `parts` say, between experiences."""
        self.model.load_state(parts.state, steps=parts.model_steps)
        self.experiences, self.steps, self._cursor = parts.experiences, parts.steps, None
        self._restore(parts.strategies)

    def _strategy_parts(self) -> tuple[tuple[dict[str, Any], Arrays], ...]:
        return tuple((strategy.facts(), strategy.arrays()) for strategy in self.strategies)

    def _restore(self, strategies: tuple[tuple[dict[str, Any], Arrays], ...]) -> None:
        for strategy, (facts, arrays) in zip(self.strategies, strategies, strict=True):
            strategy.restore(facts, arrays)

    # -- checkpoints ----------------------------------------------------------------------------------------------
    def save(self, path: str | Path) -> Path:
        """Write a checkpoint of model and learner in one step; return its path. Raises `CheckpointError`."""
        settings = self.settings.to_dict()
        record = record_of(self.parts(), settings, self.strategies, self._cursor, self._watch, self.guard)
        return self.model.save(file_path(path), learner=record)

    @classmethod
    def load(
        cls, path: str | Path, *, guard: Guard | None = None, device: str | Device = "auto", threads: int | None = None
    ) -> Learner:
        """Return the learner of the checkpoint at `path`, in the middle of an experience or between two.

        guard: the one that it had, whose samples the file does not hold. Raises as `Model.load`, `CheckpointError` for
        a checkpoint of a model alone, and `CheckpointMismatch` without its guard.
        """
        found = read_checkpoint(file_path(path))
        restored = restored_from(found, guard, path)
        model = Model.of_checkpoint(found, device=device, threads=threads)
        try:
            learner = cls(model, *restored.strategies, settings=restored.settings, guard=guard)
            learner.experiences, learner.steps = restored.parts.experiences, restored.parts.steps
            learner._cursor, learner._watch = restored.cursor, restored.watch
            learner._restore(restored.parts.strategies)
        except (KeyError, TypeError, ValueError) as error:
            model.close()
            raise CheckpointCorrupt(f"{path}: the learner's part is not one that strop writes: {error!r}") from error
        return learner


def _numbered(on_step: OnStep, cursor: LearnerCursor) -> Callable[[StepResult], None]:
    """Return a callback for results that says which of the experience's steps each one is."""
    done = cursor.done

    def notice(result: StepResult) -> None:
        nonlocal done
        done += 1
        on_step(done, cursor.steps, result)

    return notice
