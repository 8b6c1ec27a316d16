"""Pictures of continual learning, by matplotlib: accuracy matrices, and accuracy over the stream."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from strop.host.continual.metrics import mean_matrix, summarize
from strop.host.continual.report import RunRecord, grouped, size
from strop.host.plot import png_figure, write_png
from strop.runtime.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, distinct also to colour-blind eyes, without yellow and with grey for an eighth line.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#999999")
STYLES = ("-", "--", ":", "-.")  # the second and later times that a colour is used
PANELS_ACROSS = 3
MAX_NUMBERED = 12  # more experiences leave no room for numbers in cells
TITLE_METRICS = {"accuracy": "average_accuracy", "forgetting": "forgetting"}
LONGEST_NAME = 24  # of an experience, in characters, that stands under its column


def plot_report(records: Iterable[RunRecord], folder: str | Path) -> list[Path]:
    """Draw all records into PNG files in an existing `folder`; return their paths.

    For each benchmark `<benchmark>-matrices.png` and, where its records have curves, `<benchmark>-curves.png`. Raises
    InputError without records, without matplotlib, and where a file cannot be written.
    """
    found = list(records)
    if not found:
        raise InputError("there is nothing to plot: pass one record at least")
    paths = []
    for benchmark in dict.fromkeys(record.benchmark for record in found):
        own = [record for record in found if record.benchmark == benchmark]
        name = re.sub(r"[^a-z0-9]+", "-", benchmark.lower()).strip("-") or "benchmark"
        paths.append(plot_matrices(own, Path(folder) / f"{name}-matrices.png"))
        if any(record.curve for record in own):
            paths.append(plot_curves(own, Path(folder) / f"{name}-curves.png"))
    return paths


def plot_matrices(records: Iterable[RunRecord], path: str | Path) -> Path:
    """Draw the accuracy matrix of each strategy and buffer, the mean over its seeds, into a PNG; return its path.

    Cells are percent. Below the stepped line is what has been trained on. Raises InputError for records of several
    benchmarks or of matrices that differ in shape, and as `plot_report`.
    """
    groups = _of_one_benchmark(records)
    count = groups[0][0].matrix.experiences
    across = min(PANELS_ACROSS, len(groups))
    down = math.ceil(len(groups) / across)
    side = min(6.5, max(3.6, 0.62 * count + 0.9))
    figure = png_figure(path, across * side + 0.9, down * (side + 0.5) + 1.2)
    panels = figure.subplots(down, across, squeeze=False)
    image = None
    for number, (panel, group) in enumerate(zip(panels.flat, groups, strict=False)):
        image = panel.imshow(mean_matrix(r.matrix for r in group).R * 100, cmap="viridis", vmin=0, vmax=100)
        _draw_cells(panel, group)
        _name_rows(panel, group, first=number % across == 0)
        _name_columns(panel, group, last=number + across >= len(groups))
    for panel in panels.flat[len(groups) :]:
        panel.set_axis_off()
    assert image is not None
    figure.colorbar(image, ax=panels, label="correct, %", shrink=0.8, aspect=30)
    figure.suptitle(_heading(groups), fontsize=13)
    return write_png(figure, path)


def plot_curves(records: Iterable[RunRecord], path: str | Path) -> Path:
    """Draw the mean accuracy on the experiences seen so far, over the stream, into a PNG; return its path.

    A line for each strategy and buffer: the mean over its seeds, in a band of their sample standard deviation. Where
    seeds were measured at other points, each has a thin line of its own. Raises InputError for records of several
    benchmarks, where none has a curve, and as `plot_report`.
    """
    groups = [group for group in _of_one_benchmark(records) if any(record.curve for record in group)]
    if not groups:
        raise InputError("no record has a curve, so there is none to plot")
    figure = png_figure(path, 10, 5)
    axes = figure.subplots()
    for number, group in enumerate(groups):
        curves = [np.array(record.curve, np.float64) for record in group if record.curve]
        colour = COLOURS[number % len(COLOURS)]
        style = STYLES[number // len(COLOURS) % len(STYLES)]
        _draw_curves(axes, curves, f"{_title(group)}: {_percent(group, 'average_accuracy')}", colour, style)
    _mark_experiences(axes, groups)
    axes.set(xlabel="training samples seen", ylabel="correct on the experiences seen so far, %", ylim=(0, 102))
    axes.set_xlim(left=0)
    axes.grid(alpha=0.25)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, title="accuracy at the end")
    axes.set_title(_heading(groups), fontsize=13)
    return write_png(figure, path)


def _of_one_benchmark(records: Iterable[RunRecord]) -> list[list[RunRecord]]:
    groups = grouped(records)
    names = [*dict.fromkeys(group[0].benchmark for group in groups)]
    if len(names) != 1:
        raise InputError(f"a picture is of one benchmark, got {', '.join(names) or 'none'}; plot them apart")
    return groups


def _heading(groups: list[list[RunRecord]]) -> str:
    least, most = min(map(len, groups)), max(map(len, groups))
    seeds = f"{most} seed{'s' * (most > 1)}" if least == most else f"{least} to {most} seeds"
    return f"{groups[0][0].benchmark}, {seeds}"


def _title(group: list[RunRecord]) -> str:
    first = group[0]
    return first.strategy + (f", {size(first.buffer_bytes)}" if first.buffer_bytes else "")


def _percent(group: list[RunRecord], metric: str) -> str:
    found = summarize(getattr(record.matrix, metric) for record in group)
    spread = "" if found.deviation is None else f" ± {100 * found.deviation:.1f}"
    return f"{100 * found.mean:.1f}{spread} %"


def _draw_cells(axes: Axes, group: list[RunRecord]) -> None:
    matrix = mean_matrix(record.matrix for record in group)
    count = matrix.experiences
    if count <= MAX_NUMBERED:
        for row, column in np.ndindex(count + 1, count):
            value = 100 * float(matrix.R[row, column])
            colour = "black" if value > 60 else "white"  # viridis is bright from there on
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=colour, fontsize=9)
    for column in range(count):  # below this line: after the column's own experience
        axes.plot([column - 0.5, column + 0.5], [column + 0.5] * 2, color="white", linewidth=2)
        axes.plot([column + 0.5] * 2, [column + 0.5, column + 1.5], color="white", linewidth=2)
    figures = (f"{what} {_percent(group, metric)}" for what, metric in TITLE_METRICS.items())
    axes.set_title(f"{_title(group)}\n{', '.join(figures)}", fontsize=10)
    axes.set(xlim=(-0.5, count - 0.5), ylim=(count + 0.5, -0.5))


def _name_rows(axes: Axes, group: list[RunRecord], first: bool) -> None:
    count = group[0].matrix.experiences
    axes.set_yticks(range(count + 1), ["before", *map(str, range(1, count + 1))], fontsize=8)
    if first:
        axes.set_ylabel("after experience")


def _name_columns(axes: Axes, group: list[RunRecord], last: bool) -> None:
    count, names = group[0].matrix.experiences, group[0].experiences
    alike = all(record.experiences == names for record in group)  # not where each seed has its order of classes
    if not names or not alike or count > MAX_NUMBERED:
        axes.set_xticks(range(count), [str(number + 1) for number in range(count)], fontsize=8)
    elif last:
        short = [name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…" for name in names]
        axes.set_xticks(range(count), short, rotation=35, ha="right", rotation_mode="anchor", fontsize=8)
    else:
        axes.set_xticks(range(count), [""] * count)
    if last:
        axes.set_xlabel("test set of experience")


def _draw_curves(axes: Axes, curves: list[NDArray[np.float64]], label: str, colour: str, style: str) -> None:
    together = all(np.array_equal(curve[:, 0], curves[0][:, 0]) for curve in curves)
    if not together:
        for number, (seen, accuracy) in enumerate(curve.T for curve in curves):
            named = label if number == 0 else None
            axes.plot(seen, 100 * accuracy, color=colour, linestyle=style, linewidth=0.9, alpha=0.8, label=named)
        return
    seen, values = curves[0][:, 0], 100 * np.array([curve[:, 1] for curve in curves])
    mean = values.mean(axis=0)
    axes.plot(seen, mean, color=colour, linestyle=style, linewidth=1.8, marker="o", markersize=3, label=label)
    if len(curves) > 1:
        spread = values.std(axis=0, ddof=1)
        axes.fill_between(seen, mean - spread, mean + spread, color=colour, alpha=0.18, linewidth=0)


def _mark_experiences(axes: Axes, groups: list[list[RunRecord]]) -> None:
    """Draw where experiences end, if the records say so and agree."""
    found = {record.samples for group in groups for record in group}
    if len(found) != 1 or not (samples := found.pop()):
        return
    for end in np.cumsum(samples)[:-1].tolist():
        axes.axvline(end, color="#666666", linewidth=0.8, linestyle=(0, (4, 4)), zorder=0)
