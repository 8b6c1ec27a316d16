"""One run over a benchmark: a learner goes through its experiences, is measured after each, and becomes a record.

A run can be broken off anywhere and goes on from its files: the learner's checkpoint, and beside it what was measured.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from strop.host.atomic_file import write_atomically
from strop.host.continual.experience import Benchmark, Experience
from strop.host.continual.learned import Learned
from strop.host.continual.learner import Learner, OnStep
from strop.host.continual.metrics import AccuracyMatrix
from strop.host.continual.report import RunRecord, plain
from strop.host.continual.run_settings import check_settings
from strop.host.samples import check_samples
from strop.runtime.errors import CheckpointError, InputError
from strop.runtime.estimate import step_seconds

PROGRESS_SUFFIX = ".progress.json"

OnExperience = Callable[[Experience, Learned, list[float]], None]


class BenchmarkRun:
    """A run of `learner` over `benchmark`; `learner` is new, or was loaded from `checkpoint`.

    checkpoint: where the run keeps itself, every `checkpoint_every` steps and after each experience; what it measured
    so far stands beside it (`progress_path`); of an experience that was broken off, the record's seconds are those of
    the last stretch. watts: the power of each board, by name, for the modelled energy. told:
    what else decides the run, as plain data, such as the benchmark's source; it is in the record's settings.

    Raises InputError where learner and benchmark do not suit each other, and for a learner that learned something
    else before; CheckpointError where what was measured cannot be read; CheckpointMismatch where it was measured with
    other settings.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        learner: Learner,
        *,
        strategy: str,
        seed: int,
        checkpoint: Path | None = None,
        checkpoint_every: int | None = None,
        watts: Mapping[str, float] | None = None,
        told: Mapping[str, Any] | None = None,
    ) -> None:
        for experience in benchmark.experiences:
            check_samples(experience.train, learner.model.graph, learner.model.classes, "the benchmark")
        self.benchmark, self.learner, self.strategy, self.seed = benchmark, learner, strategy, seed
        self._checkpoint, self._every, self._watts, self._told = checkpoint, checkpoint_every, watts, dict(told or {})
        self._rows: list[list[float]] = []
        self._seconds: list[float] = []
        self._modelled: dict[str, float] = {}
        self._steps = 0  # of the learner, when it was last measured
        self._step_seconds: dict[str, float] = {}  # modelled, of the steps since then, by board
        if learner.steps or learner.experiences or learner.cursor:
            self._read_progress()

    def run(self, on_step: OnStep | None = None, on_experience: OnExperience | None = None) -> RunRecord:
        """Go through the experiences that are left; return the record. Raises what learning raises."""
        experiences = self.benchmark.experiences
        if not self._rows:
            self._measure()  # before any training
        if len(self._rows) == self.learner.experiences:  # it ended between the checkpoint and the measurement
            self._count(0.0)  # how long it took is not known any more
        while self.learner.experiences < len(experiences):
            experience = experiences[self.learner.experiences]
            learned = self.learner.learn(
                experience, checkpoint=self._checkpoint, checkpoint_every=self._every, on_step=on_step
            )
            self._count(learned.seconds)
            if on_experience is not None:
                on_experience(experience, learned, self._rows[-1])
        return self._record()

    def settings(self) -> dict[str, Any]:
        """Return all that decides the run's bytes, but for the samples themselves, as plain data."""
        learner = self.learner
        strategies = [{"name": strategy.name, **strategy.options} for strategy in learner.strategies]
        return plain(
            {
                "network": learner.model.graph.name,
                **learner.settings.to_dict(),
                "strategies": strategies,
                "guard": None if learner.guard is None else learner.guard.to_dict(),
                **self._told,
            }
        )

    def _count(self, seconds: float) -> None:
        """An experience has ended, after `seconds` of training: add up what it took, and measure."""
        self._seconds.append(seconds)
        for board, each in self._step_seconds.items():
            taken = each * (self.learner.steps - self._steps)
            self._modelled[board] = self._modelled.get(board, 0.0) + taken
        self._measure()

    def _measure(self) -> None:
        learner = self.learner
        # a network that no step has trained has no shifts to infer with; it guesses
        guess = 1.0 / len(learner.model.classes)
        tests = [experience.test for experience in self.benchmark.experiences]
        self._rows.append([learner.evaluate(test) if learner.model.steps else guess for test in tests])
        self._steps, self._step_seconds = learner.steps, self._modelled_step()
        self._write_progress()

    def _modelled_step(self) -> dict[str, float]:
        """Return the modelled time of a step of the coming experience, by board."""
        settings = self.learner.session_settings()
        graph, frozen = settings.trained(self.learner.model.graph)
        return step_seconds(graph, settings.batch, settings.hyper, frozen)

    def _record(self) -> RunRecord:
        learner, experiences = self.learner, self.benchmark.experiences
        seen = np.cumsum([len(experience.train) for experience in experiences]).tolist()
        curve = tuple(
            (count, float(np.mean(row[: index + 1])))
            for index, (count, row) in enumerate(zip(seen, self._rows[1:], strict=True))
        )
        joules = None
        if self._watts is not None:
            joules = {board: s * self._watts[board] for board, s in self._modelled.items() if board in self._watts}
        memory = learner.memory()
        return RunRecord(
            benchmark=self.benchmark.name,
            strategy=self.strategy,
            seed=self.seed,
            matrix=AccuracyMatrix(np.array(self._rows)),
            curve=curve,
            seconds=tuple(self._seconds),
            modelled_seconds=self._modelled,
            modelled_joules=joules,
            buffer_bytes=memory.buffer,
            memory={part: nbytes for part, nbytes in memory.to_dict().items() if part != "total"},
            settings=self.settings(),
            digest=learner.model.digest(),
            experiences=tuple(experience.name for experience in experiences),
            samples=tuple(len(experience.train) for experience in experiences),
        )

    # -- files ----------------------------------------------------------------------------------------------------
    def _write_progress(self) -> None:
        if self._checkpoint is not None:
            content = {
                "settings": self.settings(),
                "rows": self._rows,
                "seconds": self._seconds,
                "modelled_seconds": self._modelled,
                "steps": self._steps,
                "step_seconds": self._step_seconds,
            }
            write_atomically(progress_path(self._checkpoint), [json.dumps(content).encode()])

    def _read_progress(self) -> None:
        if self._checkpoint is None:
            raise InputError("the learner has learned before: a run takes a new one, or one with its checkpoint")
        path = progress_path(self._checkpoint)
        content = read_progress(self._checkpoint)
        check_settings(content["settings"], self.settings(), path)
        try:
            self._rows = [[float(value) for value in row] for row in content["rows"]]
            self._seconds = [float(value) for value in content["seconds"]]
            self._modelled = _by_board(content["modelled_seconds"])
            self._steps, self._step_seconds = int(content["steps"]), _by_board(content["step_seconds"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _unreadable(path, error) from error
        if not self.learner.experiences <= len(self._rows) <= self.learner.experiences + 1:
            raise CheckpointError(f"{path} and its checkpoint are not of one run; remove both to begin anew")


def progress_path(checkpoint: Path) -> Path:
    """Return where the measurements of the run with this checkpoint stand."""
    return checkpoint.with_suffix(PROGRESS_SUFFIX)


def read_progress(checkpoint: Path) -> dict[str, Any]:
    """Return what the run with this checkpoint wrote beside it; "settings" is there. Raises CheckpointError."""
    path = progress_path(checkpoint)
    try:
        content = json.loads(path.read_bytes())
        return {**content, "settings": dict(content["settings"])}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path}: what a run measured so far cannot be read ({error!r}); remove its checkpoint to begin anew"
    )


def _by_board(values: Mapping[str, Any]) -> dict[str, float]:
    return {str(board): float(value) for board, value in values.items()}
