"""The runs of `strop cl run`: one after another, each with its checkpoint, its progress and its record."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.host.cli.output import Output
from strop.host.cli.progress import ProgressDisplay
from strop.host.continual.experience import Benchmark, Experience
from strop.host.continual.learned import Learned
from strop.host.continual.learner import Learner
from strop.host.continual.report import RunRecord, read_record, write_record
from strop.host.continual.run import BenchmarkRun, progress_path
from strop.host.history import Progress
from strop.runtime.errors import InputError
from strop.runtime.session import StepResult


@dataclass(frozen=True)
class Run:
    """One learner over one benchmark: how both are made, and where the record goes."""

    strategy: str
    seed: int
    path: Path
    benchmark: Callable[[], Benchmark]
    learner: Callable[[Benchmark], Learner]
    told: Mapping[str, Any]
    checkpoint_every: int
    watts: Mapping[str, float] | None
    where: Mapping[str, Any]

    @property
    def checkpoint(self) -> Path:
        """Where the run keeps itself until it is finished."""
        return self.path.with_suffix(".safetensors")


def go_through(runs: Sequence[Run], output: Output) -> list[RunRecord]:
    """Do what is not done yet; return the records of all runs.

    Raises KeyboardInterrupt, with how to go on, and InputError where a record or a checkpoint is of other settings.
    """
    records = []
    for number, run in enumerate(runs, 1):
        title = f"{number}/{len(runs)} {run.path.stem}"
        records.append(_one(run, title, output))
    return records


def _one(run: Run, title: str, output: Output) -> RunRecord:
    benchmark = run.benchmark()
    learner = run.learner(benchmark)
    words: dict[str, Any] = {"strategy": run.strategy, "seed": run.seed, "watts": run.watts, "told": run.told}
    with learner.model:
        fresh = BenchmarkRun(benchmark, learner, **words)
        if run.path.exists():
            found = read_record(run.path)
            _check_settings(found.settings, fresh.settings(), run.path)
            output.line(f"{title}: done before")
            return found
        if run.checkpoint.exists():
            began = Learner.load(run.checkpoint, **run.where)
            with began.model:
                kept = BenchmarkRun(benchmark, began, checkpoint=run.checkpoint, **words)
                _check_settings(kept.settings(), fresh.settings(), run.checkpoint)
                output.line(f"{title}: goes on with experience {began.experiences + 1}")
                return _finish(run, kept.learner, benchmark, words, title, output)
        return _finish(run, learner, benchmark, words, title, output)


def _finish(
    run: Run, learner: Learner, benchmark: Benchmark, words: dict[str, Any], title: str, output: Output
) -> RunRecord:
    going = BenchmarkRun(benchmark, learner, checkpoint=run.checkpoint, checkpoint_every=run.checkpoint_every, **words)
    count = len(benchmark.experiences)

    def ended(experience: Experience, learned: Learned, row: list[float]) -> None:
        told = "rolled back; " if learned.rolled_back else ""
        accuracies = " ".join(f"{100 * value:.1f}" for value in row)
        output.line(f"{title}: {learner.experiences}/{count} {experience.name}: {told}{accuracies} %")

    try:
        with ProgressDisplay(title) as display:
            record = going.run(_steps_on(display), ended)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted; what was learned is kept in {run.checkpoint}: the same command goes on"
        ) from None
    write_record(record, run.path)
    for path in (run.checkpoint, progress_path(run.checkpoint)):
        path.unlink(missing_ok=True)
    return record


def _steps_on(display: ProgressDisplay) -> Callable[[int, int, StepResult], None]:
    """Return what shows a learner's steps in an experience; loss and accuracy are of its samples so far."""
    started, total = time.perf_counter(), StepResult(0, 0, 0)

    def shown(done: int, steps: int, result: StepResult) -> None:
        nonlocal started, total
        if done == 1:
            started, total = time.perf_counter(), StepResult(0, 0, 0)
        total += result
        speed = total.samples / max(time.perf_counter() - started, 1e-9)
        display(
            Progress(
                step=done,
                steps=steps,
                epoch=1,
                epochs=1,
                loss=result.loss,
                accuracy=result.accuracy,
                epoch_loss=total.loss,
                epoch_accuracy=total.accuracy,
                learning_rate=0.0,
                images_per_second=speed,
                eta_seconds=(steps - done) * result.samples / speed,
            )
        )

    return shown


def _check_settings(theirs: Mapping[str, Any], ours: Mapping[str, Any], path: Path) -> None:
    differing = [name for name in sorted({*theirs, *ours}) if theirs.get(name) != ours.get(name)]
    if differing:
        name = differing[0]
        raise InputError(
            f"{path} is of a run with {name} {theirs.get(name)!r}; this command line says {ours.get(name)!r}: name "
            "another --output, or remove that file"
        )
