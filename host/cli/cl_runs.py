"""The runs of `strop cl run`: which there are, what they begin with, and each of them with progress."""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from strop.host import Model
from strop.host.cli.output import Output
from strop.host.cli.progress import LiveLine
from strop.host.cli.sources import checkpoint_path
from strop.host.continual import (
    Benchmark,
    BenchmarkRun,
    Experience,
    Guard,
    Learned,
    Learner,
    LearnerSettings,
    RunRecord,
    learner_for,
    load_benchmark,
)
from strop.host.continual.experience import hold_out
from strop.host.continual.named import takes
from strop.host.continual.run_files import RunFiles
from strop.host.cursor import mark
from strop.runtime.device import Device
from strop.runtime.errors import InputError
from strop.runtime.estimate import boards
from strop.runtime.session import StepResult

DEFAULT_BUFFER = 500
GUARD_SAMPLES = 200


class Runs:
    """All runs that a command line asks for, on one device. Made, it has refused what cannot be run."""

    def __init__(self, arguments: argparse.Namespace, folder: Path, device: Device) -> None:
        self._asked, self._device = arguments, device
        self._watts: Mapping[str, float] | None = _watts(arguments.watts)
        self._benchmark = lru_cache(maxsize=1)(self._loaded)  # seeds come one after the other
        benchmark, _ = self._benchmark(0)
        self.benchmark = benchmark.name
        self.all = [
            RunFiles(folder, benchmark.name, strategy, buffer, seed)
            for seed in range(arguments.seeds)
            for strategy, buffer in _strategies(arguments)
        ]
        self.done: dict[RunFiles, RunRecord] = {}
        for files in self.all:
            if files.seed == 0 or files.any:  # what holds for one seed, holds for the others
                with self._opened(files) as found:
                    if isinstance(found, RunRecord):
                        self.done[files] = found

    def go(self, output: Output) -> Iterator[RunRecord]:
        """Do what is not done yet, with progress; yield the record of each run.

        Ctrl-C becomes a KeyboardInterrupt that says what was kept and how to go on.
        """
        if self.done:
            output.note(f"{len(self.done)} of {len(self.all)} runs are there already")
        for number, files in enumerate(self.all, 1):
            record = self.done.get(files)
            if record is None:
                record = self._run(files, f"run {number}/{len(self.all)} {files.label}")
            elif self._watts is not None and (priced := _with_watts(record, self._watts)) != record:
                files.finish(record := priced)
            files.clear()
            yield record

    def _run(self, files: RunFiles, title: str) -> RunRecord:
        try:
            with self._opened(files) as run:
                if isinstance(run, RunRecord):  # another process was faster
                    return run
                with LiveLine(title) as line:
                    display = _Display(run, line)
                    record = run.run(on_step=display.step, on_experience=display.experience)
                files.finish(record)
        except KeyboardInterrupt:
            kept = f"it is kept in {files.checkpoint}" if files.checkpoint.exists() else "nothing of it was kept"
            raise KeyboardInterrupt(
                f"interrupted in {title}: {kept}, and runs that ended have their records; the same command goes on"
            ) from None
        return record

    @contextmanager
    def _opened(self, files: RunFiles) -> Iterator[BenchmarkRun | RunRecord]:
        """Yield the record of a run that is done, or the run: new, or where it was broken off. Raises for refusals."""
        benchmark, guard = self._benchmark(files.seed)
        with self._model(benchmark, files.seed) as model:
            run = self._new(files, benchmark, model, guard)
            wanted = run.settings()
            record = files.finished(wanted)
            if record is not None:
                yield record
                return
            if not files.broken_off(wanted):
                yield run
                return
            start = model.digest()
        learner = Learner.load(files.checkpoint, guard=guard, device=self._device)
        with learner.model:
            yield self._run_of(files, benchmark, learner, start)

    def _loaded(self, seed: int) -> tuple[Benchmark, Guard | None]:
        asked = self._asked
        benchmark = load_benchmark(
            asked.benchmark,
            source=asked.data,
            seed=seed,
            per_experience=asked.per_experience,
            class_order=asked.class_order,
        )
        if asked.guard_limit is None:
            return benchmark, None
        benchmark, held_out = hold_out(benchmark, asked.guard_samples or GUARD_SAMPLES, seed)
        return benchmark, Guard(held_out, asked.guard_limit)

    def _model(self, benchmark: Benchmark, seed: int) -> Model:
        asked = self._asked
        if asked.checkpoint is not None:
            return Model.load(checkpoint_path(asked.checkpoint), device=self._device)
        return Model.create(
            asked.network, input=benchmark.image_shape, classes=benchmark.classes, seed=seed, device=self._device
        )

    def _new(self, files: RunFiles, benchmark: Benchmark, model: Model, guard: Guard | None) -> BenchmarkRun:
        asked = self._asked
        learner = learner_for(
            model,
            files.strategy,
            buffer=files.buffer,
            replay_batch=asked.replay_batch if takes(files.strategy, "replay_batch") else None,
            after=asked.after if takes(files.strategy, "after") else None,
            seed=files.seed,
            settings=LearnerSettings(
                batch=asked.batch,
                learning_rate=asked.learning_rate,
                epochs=asked.epochs,
                momentum=asked.momentum,
                statistics=asked.statistics,
                seed=files.seed,
            ),
            guard=guard,
        )
        return self._run_of(files, benchmark, learner, model.digest())

    def _run_of(self, files: RunFiles, benchmark: Benchmark, learner: Learner, start: str) -> BenchmarkRun:
        return BenchmarkRun(
            benchmark,
            learner,
            strategy=files.strategy,
            seed=files.seed,
            checkpoint=files.checkpoint,
            checkpoint_every=self._asked.checkpoint_every,
            watts=self._watts,
            told={"samples_digest": _digest(benchmark), "start_digest": start},
        )


class _Display:
    """Tells on `line` how far a run is."""

    def __init__(self, run: BenchmarkRun, line: LiveLine) -> None:
        self._run, self._line = run, line
        self._count = len(run.benchmark.experiences)
        self._met = run.learner.experiences
        self._begin()
        if run.learner.cursor is not None or self._met:
            line.tell(f"{line.title}: goes on in experience {min(self._met + 1, self._count)}/{self._count}")

    def _begin(self) -> None:
        self._total, self._since = StepResult(0, 0, 0), time.monotonic()

    def step(self, done: int, steps: int, result: StepResult) -> None:
        """A step has ended."""
        self._total += result
        self._line.show(done, steps, lambda: self._describe(done, steps))

    def _describe(self, done: int, steps: int) -> str:
        speed = self._total.samples / max(time.monotonic() - self._since, 1e-3)
        parts = [f"experience {self._met + 1}/{self._count}", f"step {done}/{steps}", f"loss {self._total.loss:.3f}"]
        return "  ".join([*parts, f"{speed:,.0f} img/s"])

    def experience(self, experience: Experience, learned: Learned, row: list[float]) -> None:
        """An experience has ended and all were measured."""
        self._met += 1
        accuracies = " ".join(f"{100 * accuracy:.1f}" for accuracy in row)
        text = f"{self._line.title}: experience {self._met}/{self._count} {experience.name}: {accuracies} % correct"
        self._line.tell(f"{text}; {learned.guard}" if learned.rolled_back else text)
        self._begin()


def _strategies(asked: argparse.Namespace) -> list[tuple[str, int | None]]:
    """Return each strategy with each buffer, or with None where it has no memory."""
    names = list(dict.fromkeys(asked.strategy))
    for option, value in (("capacity", asked.buffer), ("replay_batch", asked.replay_batch), ("after", asked.after)):
        if value is not None and not any(takes(name, option) for name in names):
            called = {"capacity": "--buffer", "replay_batch": "--replay-batch"}.get(option, f"--{option}")
            raise InputError(f"{called} is given, but none of the strategies {', '.join(names)} takes it; leave it out")
    buffers = list(dict.fromkeys(asked.buffer or [DEFAULT_BUFFER]))
    return [(name, buffer) for name in names for buffer in (buffers if takes(name, "capacity") else [None])]


def _watts(given: list[tuple[str, float]] | None) -> dict[str, float] | None:
    if not given:
        return None
    known = boards()
    for board, _ in given:
        if board not in known:
            raise InputError(f"--watts: board {board!r} is unknown; allowed: {', '.join(known)}")
    return dict(given)


def _with_watts(record: RunRecord, watts: Mapping[str, float]) -> RunRecord:
    """Return the record with the energy that these powers give."""
    joules = {board: s * watts[board] for board, s in record.modelled_seconds.items() if board in watts}
    return replace(record, modelled_joules=joules)


def _digest(benchmark: Benchmark) -> str:
    """Return sha256 (hex) of all samples of a benchmark, in their order."""
    marks = [mark(part).digest for each in benchmark.experiences for part in (each.train, each.test)]
    return hashlib.sha256("".join(marks).encode()).hexdigest()
