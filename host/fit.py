"""The training loop: mini-batches in, records out, checkpoints in between, and an end that never loses a step.

The device always works on a step while the host prepares the next one. So whoever wants to stop, stops the stream of
mini-batches, and the steps under way are still counted: state and count never part.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import FrameType
from typing import Any

from strop.host.cursor import FitCursor
from strop.host.data.augmentation import augmented
from strop.host.data.dataset import Dataset
from strop.host.history import EpochRecord, History, Progress, StepRecord
from strop.host.order import epoch_order
from strop.host.residence import Residence
from strop.runtime.estimate import step_seconds
from strop.runtime.session import Minibatch, StepResult

OnStep = Callable[[Progress], None]
OnEpoch = Callable[[EpochRecord], None]
Commit = Callable[[FitCursor, History], None]


class DeferredInterrupt:
    """Within it, the first Ctrl-C only sets `pending`, for the loop to see; a second one interrupts at once.

    Only in the main thread, and only where Python's own handler is in place: a program's handler stays.
    """

    def __init__(self) -> None:
        self.pending = False
        self._installed = False

    def __enter__(self) -> DeferredInterrupt:
        if threading.current_thread() is threading.main_thread():
            self._installed = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._installed:
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.pending:
            raise KeyboardInterrupt
        self.pending = True


class FitRun:
    """One stretch of a fit: from `cursor.done` to its end, or to where it is interrupted.

    `commit` takes over the cursor and the history whenever they and the device's state belong together; `save`, if any,
    is called after it, at each `cursor.checkpoint_every` steps (at the end of each epoch, if None), and at the end.
    """

    def __init__(
        self,
        residence: Residence,
        cursor: FitCursor,
        dataset: Dataset,
        validation: Dataset | None,
        earlier: History | None,
        *,
        on_step: OnStep | None,
        on_epoch: OnEpoch | None,
        commit: Commit,
        save: Callable[[], None] | None,
    ) -> None:
        self._residence, self._cursor = residence, cursor
        self._session = residence.session(cursor.settings)
        self._dataset, self._validation, self._earlier = dataset, validation, earlier
        self._on_step, self._on_epoch = on_step, on_epoch
        self._commit_to, self._save = commit, save
        self._steps: list[StepRecord] = list(earlier.steps) if earlier else []
        self._epochs: list[EpochRecord] = list(earlier.epochs) if earlier else []
        self._epoch_total = StepResult(0, 0, 0)
        for record in self._steps[len(self._epochs) * cursor.steps_per_epoch :]:
            self._epoch_total += record.result
        self._interrupt = DeferredInterrupt()
        self._failure: BaseException | None = None
        settings = cursor.settings
        self._modelled = step_seconds(self._session.graph, settings.batch, settings.hyper, settings.frozen)
        self._started = time.perf_counter()
        self._training_seconds = self._validation_seconds = 0.0
        self._trained_images = 0

    def run(self) -> None:
        """Train. What a callback raises, and KeyboardInterrupt after Ctrl-C, is raised after the commit."""
        cursor = self._cursor
        with self._interrupt:
            self._close_epoch()  # an interruption may have come between an epoch's last step and its validation
            while self._done < cursor.steps and not self._stopping:
                self._train(self._segment_end())
                self._close_epoch()
                if not self._stopping and self._done < cursor.steps and self._checkpoint_due():
                    self._commit()
            self._commit()
        if self._failure is not None:
            raise self._failure
        if self._interrupt.pending:
            raise KeyboardInterrupt

    @property
    def _done(self) -> int:
        return len(self._steps)

    @property
    def _stopping(self) -> bool:
        return self._failure is not None or self._interrupt.pending

    def _checkpoint_due(self) -> bool:
        every = self._cursor.checkpoint_every or self._cursor.steps_per_epoch
        return self._save is not None and self._done % every == 0

    def _segment_end(self) -> int:
        """The step before which the stream must run dry: validation and checkpoints need the device at rest."""
        every = [self._cursor.steps_per_epoch]
        if self._save is not None and self._cursor.checkpoint_every is not None:
            every.append(self._cursor.checkpoint_every)
        return min(self._cursor.steps, *(self._done - self._done % n + n for n in every))

    def _train(self, last: int) -> None:
        """Train up to step `last`, within one epoch."""
        started, before = time.perf_counter(), self._training_seconds
        self._residence.will_change()
        for result in self._session.train(self._minibatches(self._done, last)):
            self._training_seconds = before + time.perf_counter() - started
            self._trained_images += result.samples
            number, cursor = self._done, self._cursor
            epoch = number // cursor.steps_per_epoch
            self._epoch_total += result
            self._steps.append(StepRecord(number + 1, epoch + 1, cursor.rate(number), result))
            if self._on_step is not None and self._failure is None:
                self._call(self._on_step, self._progress())
        self._training_seconds = before + time.perf_counter() - started

    def _minibatches(self, first: int, last: int) -> Iterator[Minibatch]:
        cursor, images, labels = self._cursor, self._dataset.images, self._dataset.labels
        epoch = first // cursor.steps_per_epoch
        order = epoch_order(len(labels), cursor.seed, epoch)
        for step in range(first, last):
            if self._stopping:
                return
            start = step % cursor.steps_per_epoch * cursor.settings.batch
            rows = order[start : start + cursor.settings.batch]
            chosen = augmented(cursor.augment, images[rows], rows, cursor.seed, epoch)
            yield Minibatch(chosen, labels[rows], cursor.rate(step))

    def _close_epoch(self) -> None:
        """Validate and record the epoch that has just ended, if one has. When stopping, the resumed fit does it."""
        cursor, number = self._cursor, len(self._epochs)
        end = min((number + 1) * cursor.steps_per_epoch, cursor.steps)
        if self._done < end or number == cursor.epochs or self._stopping:
            return
        validated = None
        if self._validation is not None:
            started = time.perf_counter()
            validated = self._session.evaluate(self._validation.images, self._validation.labels)
            self._validation_seconds = time.perf_counter() - started
        steps = end - number * cursor.steps_per_epoch
        record = EpochRecord(number + 1, steps, self._epoch_total, validated)
        self._epochs.append(record)
        self._epoch_total = StepResult(0, 0, 0)
        if self._on_epoch is not None:
            self._call(self._on_epoch, record)

    def _call(self, callback: Callable[[Any], None], value: object) -> None:
        try:
            callback(value)
        except BaseException as failure:  # also KeyboardInterrupt and SystemExit: raised again when all is safe
            self._failure = failure

    def _progress(self) -> Progress:
        cursor, record, total = self._cursor, self._steps[-1], self._epoch_total
        speed = self._trained_images / max(self._training_seconds, 1e-9)
        left = (cursor.steps - record.step) * cursor.settings.batch / speed
        left += (cursor.epochs - len(self._epochs)) * self._validation_seconds
        return Progress(
            step=record.step,
            steps=cursor.steps,
            epoch=record.epoch,
            epochs=cursor.epochs,
            loss=record.loss,
            accuracy=record.accuracy,
            epoch_loss=total.loss,
            epoch_accuracy=total.accuracy,
            learning_rate=record.learning_rate,
            images_per_second=speed,
            eta_seconds=left,
        )

    def _commit(self) -> None:
        earlier = self._earlier
        history = History(
            steps=tuple(self._steps),
            epochs=tuple(self._epochs),
            hyperparameters=self._cursor.hyperparameters(),
            requested=self._cursor.requested,
            reasons=self._cursor.reasons,
            seconds=time.perf_counter() - self._started + (earlier.seconds if earlier else 0.0),
            training_seconds=self._training_seconds + (earlier.training_seconds if earlier else 0.0),
            memory=self._session.memory,
            device=self._residence.device.description,
            modelled=self._modelled,
        )
        self._commit_to(replace(self._cursor, done=self._done), history)
        if self._save is not None:
            self._save()
