"""Pictures of a training history, by matplotlib, without a display and without its global state."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from strop.host.atomic_file import why_not_writable, write_atomically
from strop.host.history import History
from strop.runtime.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAINING, VALIDATION = "#1f6fb4", "#d2601a"  # distinct also to colour-blind eyes


def plot_history(history: History, path: str | Path) -> Path:
    """Draw the loss of each step and the accuracy of each epoch into the PNG file `path`; return its path.

    Raises `InputError` without matplotlib, for another kind of file, and where `path` cannot be written.
    """
    figure = png_figure(path, 10, 4)
    loss, accuracy = figure.subplots(1, 2)
    _draw_loss(loss, history)
    _draw_accuracy(accuracy, history)
    return write_png(figure, path)


def png_figure(path: str | Path, width: float, height: float) -> Figure:
    """Return an empty figure of that size in inches, for the PNG file `path`. Raises as `plot_history`."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError(f"plots need matplotlib ({error}): pip install matplotlib") from error
    if Path(path).suffix.lower() != ".png":
        raise InputError(f"{path}: plots are PNG files; end the name in .png")
    reason = why_not_writable(path)
    if reason is not None:
        raise InputError(f"cannot write a plot to {path}: {reason}")
    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def write_png(figure: Figure, path: str | Path) -> Path:
    """Write `figure` to `path`; return its path. Raises `InputError` where it cannot be written."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_figure(picture, format="png")
    try:
        return write_atomically(path, [picture.getvalue()])
    except OSError as error:
        raise InputError(f"cannot write a plot to {path}: {error.strerror or error}") from error


def running_mean(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Return the mean of each value and the up to `window` - 1 before it, float64 [n]."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    means: NDArray[np.float64] = (sums[ends] - sums[starts]) / (ends - starts)
    return means


def _draw_loss(axes: Axes, history: History) -> None:
    steps = [record.step for record in history.steps]
    losses = np.array([record.loss for record in history.steps])
    window = max(1, len(losses) // 40)
    axes.plot(steps, losses, color=TRAINING, alpha=0.35, linewidth=0.7, label="mini-batch")
    axes.plot(steps, running_mean(losses, window), color=TRAINING, linewidth=1.8, label=f"mean of {window}")
    validated = _validation_losses(history)
    if validated:
        ends, values = zip(*validated, strict=True)
        axes.plot(ends, values, color=VALIDATION, marker="o", markersize=4, linewidth=1.2, label="validation")
    axes.set(title="Loss", xlabel="step", ylabel="cross-entropy, nats")
    if len(losses):
        axes.set_ylim(bottom=0.0)
        axes.legend(frameon=False)
    axes.grid(alpha=0.25)


def _draw_accuracy(axes: Axes, history: History) -> None:
    from matplotlib.ticker import MaxNLocator

    epochs = [record.epoch for record in history.epochs]
    axes.plot(
        epochs, [100 * r.accuracy for r in history.epochs], color=TRAINING, marker="o", markersize=4, label="training"
    )
    validated = [(r.epoch, 100 * r.validation.accuracy) for r in history.epochs if r.validation is not None]
    if validated:
        numbers, values = zip(*validated, strict=True)
        label = f"validation, last {values[-1]:.2f} %"
        axes.plot(numbers, values, color=VALIDATION, marker="o", markersize=4, label=label)
    axes.set(title="Accuracy", xlabel="epoch", ylabel="correct, %")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if epochs:
        axes.legend(frameon=False)
    axes.grid(alpha=0.25)


def _validation_losses(history: History) -> list[tuple[int, float]]:
    """The step after which each validation took place, and its loss."""
    found, step = [], 0
    for record in history.epochs:
        step += record.steps
        if record.validation is not None:
            found.append((step, record.validation.loss))
    return found
