"""How a model's state came about and goes on: steps, settings, the last fit. What training changes, changes at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from strop.host.checkpoint import Checkpoint, LearnerRecord, check_destination, write_checkpoint
from strop.host.cursor import DEFAULT_BATCH, FitCursor, TrainingSettings
from strop.host.data.dataset import Dataset
from strop.host.fit import FitRun, OnEpoch, OnStep
from strop.host.history import History
from strop.host.plan_fit import FitRequest, plan_fit
from strop.host.residence import Residence
from strop.runtime.contract import SITE
from strop.runtime.cut import cut
from strop.runtime.errors import InputError, MemoryPlanError
from strop.runtime.session import Minibatch, Session, StepResult


class Training:
    """The training of the network in `residence`, after `steps` steps. For who has the residence's turn.

    settings, cursor and history are those of the last fit; `Model` has the same of a checkpoint put in.
    """

    def __init__(self, residence: Residence, steps: int) -> None:
        self.residence, self.steps = residence, steps
        self.settings = TrainingSettings()
        self.cursor: FitCursor | None = None
        self.history: History | None = None

    def checkpoint(self, classes: tuple[str, ...], learner: LearnerRecord | None = None) -> Checkpoint:
        """Return what a file holds of a model with these classes, and of its learner if it has one."""
        graph, state = self.residence.graph, self.residence.state()
        return Checkpoint(graph, state, classes, self.steps, self.settings, self.cursor, self.history, learner)

    def plan(self, request: FitRequest, dataset: Dataset) -> FitCursor:
        """Return the fit that `request` describes; a mini-batch "auto" becomes one that fits the device's memory."""
        largest = DEFAULT_BATCH
        while True:
            cursor = plan_fit(request, dataset, self.settings.hyper, largest)
            self._check_frozen(cursor.settings.frozen)
            try:
                self.residence.session(cursor.settings)
                return cursor
            except MemoryPlanError:
                if request.batch != "auto" or cursor.settings.batch <= 2:
                    raise
                largest = cursor.settings.batch // 2

    def run(
        self,
        cursor: FitCursor,
        earlier: History | None,
        dataset: Dataset,
        validation: Dataset | None,
        file: Path | None,
        classes: tuple[str, ...],
        *,
        on_step: OnStep | None,
        on_epoch: OnEpoch | None,
    ) -> History:
        """Run a stretch of a fit; whenever it commits, state, counts and history change together.

        Its checkpoints, of a model with these classes, go to `file`, if that is not None.
        """
        self.residence.state()  # to fall back to
        before = self.steps - cursor.done

        def commit(reached: FitCursor, history: History) -> None:
            self.residence.state()
            self.steps, self.cursor, self.history = before + reached.done, reached, history
            self.settings = reached.settings

        def save() -> None:
            if file is not None:
                write_checkpoint(file, self.checkpoint(classes))

        if file is not None:
            check_destination(file)
        try:
            if cursor.done == 0:  # a new fit, or one that was interrupted before its first step
                self.residence.forget_momenta(cursor.settings)
            FitRun(
                *(self.residence, cursor, dataset, validation, earlier),
                on_step=on_step,
                on_epoch=on_epoch,
                commit=commit,
                save=None if file is None else save,
            ).run()
        except BaseException:
            self.residence.go_back()
            raise
        assert self.history is not None  # run() has committed
        return self.history

    def train_on(
        self,
        settings: TrainingSettings,
        minibatches: Iterable[Minibatch],
        prepare: Callable[[Session], None] | None = None,
        on_result: Callable[[StepResult], None] | None = None,
    ) -> list[StepResult]:
        """Train on a stream that is no fit; all or nothing."""
        frozen = settings.frozen if settings.after is None else cut(self.residence.graph, settings.after).frozen
        self._check_frozen(frozen)
        results = self.residence.train(settings, minibatches, prepare, on_result)
        self.steps += len(results)
        self.cursor = None
        return results

    def restart(self, state: dict[str, NDArray[Any]], steps: int) -> None:
        """Go on from `state` after `steps` steps; its arrays become the residence's own. No fit can be resumed then."""
        self.residence.replace(state)
        self.steps, self.cursor = steps, None

    def for_inference(self) -> Session:
        """Return a session to infer with. Raises `InputError` where a layer was never trained."""
        untrained = self._untrained()
        if untrained:
            raise InputError(f"{', '.join(untrained)} was never trained and has no shift to infer with: train it first")
        return self.residence.any_session(self.settings)

    def _check_frozen(self, frozen: frozenset[str]) -> None:
        untrained = [name for name in self._untrained() if name in frozen]
        if untrained:
            raise InputError(
                f"frozen: {', '.join(untrained)} was never trained; train the whole network before freezing it"
            )

    def _untrained(self) -> list[str]:
        """The layers whose shift before L1BN no step has chosen yet."""
        suffix = ".pre_norm_site"
        state = self.residence.state()
        return [n.removesuffix(suffix) for n, a in state.items() if n.endswith(suffix) and not a.view(SITE)[0]["set"]]
