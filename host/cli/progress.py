"""How far a training is: a live bar where stderr is a terminal, else a plain line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType

from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from strop.host.cli.output import console_for, is_terminal, printable
from strop.host.history import Progress

SECONDS_BETWEEN_LINES = 5.0
SECONDS_BETWEEN_FRAMES = 0.1
WIDE_COLUMNS = 110


class LiveLine:
    """Shows on stderr, while its `with` block runs, how far something is: a bar that moves, or seldom a line."""

    def __init__(self, title: str) -> None:
        self.title = printable(title)
        self.narrow = False
        self._shown = time.monotonic()
        self._bar: Bar | None = None
        self._task = TaskID(0)
        self._console = console_for(sys.stderr)
        if is_terminal(sys.stderr):
            self.narrow = self._console.width < WIDE_COLUMNS
            self._bar = Bar(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=10 if self.narrow else 24),
                TextColumn("{task.fields[told]}", markup=False),
                console=self._console,
            )

    def __enter__(self) -> LiveLine:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(self.title, total=None, told="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, done: int, total: int, describe: Callable[[], str]) -> None:
        """Show that `done` of `total` is done, in the words of `describe`; most calls are passed over."""
        now = time.monotonic()
        pause = SECONDS_BETWEEN_LINES if self._bar is None else SECONDS_BETWEEN_FRAMES
        if now - self._shown < pause and not (done >= total and self._bar is not None):
            return
        self._shown = now
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, told=describe())
        else:
            self.tell(f"{self.title}: {describe()}")

    def tell(self, text: str) -> None:
        """Print a line that stays, above the bar if there is one."""
        self._console.print(Text(printable(text)), soft_wrap=True)


class ProgressDisplay:
    """Shows progress on stderr while its `with` block runs; call it after each step."""

    def __init__(self, title: str) -> None:
        self._line = LiveLine(title)

    def __enter__(self) -> ProgressDisplay:
        self._line.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.__exit__(kind, error, trace)

    def __call__(self, progress: Progress) -> None:
        self._line.show(progress.step, progress.steps, lambda: self._describe(progress))

    def _describe(self, progress: Progress) -> str:
        """Return where the training is; loss and accuracy are of the epoch so far, which jump less than a step's."""
        parts = [f"step {progress.step}/{progress.steps}"]
        if progress.epochs > 1 and not self._line.narrow:
            parts.append(f"epoch {progress.epoch}/{progress.epochs}")
        parts += [f"loss {progress.epoch_loss:.3f}", f"acc {progress.epoch_accuracy:.1%}"]
        parts.append(f"{progress.images_per_second:,.0f} img/s")
        if progress.step < progress.steps:
            parts.append(f"{duration(progress.eta_seconds)} left")
        return "  ".join(parts)


def duration(seconds: float) -> str:
    """Return a time in words that suit its length, such as 3.2 s, 41 s, 12 min 05 s, 3 h 20 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
