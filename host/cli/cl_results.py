"""What `strop cl run` and `strop cl report` show of runs: tables for people, rows for programs, pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from strop.host.cli.output import Output
from strop.host.cli.sources import can_plot
from strop.host.continual import ResultRow, RunRecord, plot_report, results_table
from strop.host.continual.report import size, spread
from strop.runtime.errors import InputError

HEADS = {
    "average_accuracy": ">accuracy, %",
    "forgetting": ">forgetting",
    "backward_transfer": ">BWT",
    "forward_transfer": ">FWT",
    "anytime_accuracy": ">anytime",
}
LEGEND = """\
Mean ± sample deviation over seeds, percent. accuracy: after the last experience, the mean over all. forgetting: what
was lost since the best. BWT, FWT: backward, forward transfer. anytime: the accuracy on what was seen, all along.
memory: of a learner, all parts. host s: training here. Seconds and joules of boards are modelled, not measured."""


def check_can_plot(wanted: bool) -> None:
    """Raise InputError where pictures are wanted and matplotlib is missing."""
    if wanted and not can_plot():
        raise InputError("--plot needs matplotlib: pip install matplotlib, or leave --plot out")


def draw(records: Sequence[RunRecord], folder: Path, wanted: bool, output: Output) -> list[Path]:
    """Draw the pictures into `folder`, if they are wanted, and say so; return their paths."""
    plots = plot_report(records, folder) if wanted else []
    if plots:
        output.line()
        output.facts([("plot", path) for path in plots])
    return plots


def rows_document(records: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """Return the rows of the results table as plain data."""
    return [asdict(row) for row in results_table(records)]


def show_tables(records: Sequence[RunRecord], output: Output) -> None:
    """Print for each benchmark how well was learned, and what it took."""
    rows = results_table(records)
    for benchmark in dict.fromkeys(row.benchmark for row in rows):
        _table(benchmark, [row for row in rows if row.benchmark == benchmark], output)
    output.line(LEGEND)


def _table(benchmark: str, rows: list[ResultRow], output: Output) -> None:
    output.line(benchmark, "bold")
    output.line()
    head = ["strategy", ">buffer", ">seeds", *HEADS.values()]
    named = [(row.strategy, size(row.buffer_bytes)) for row in rows]
    found = [[len(row.seeds), *(spread(row.metrics[name], 100.0, 2) for name in HEADS)] for row in rows]
    output.table(head, [(*name, *cells) for name, cells in zip(named, found, strict=True)])
    output.line()
    boards = [*dict.fromkeys(board for row in rows for board in row.modelled_seconds)]
    powered = [*dict.fromkeys(board for row in rows for board in row.modelled_joules)]
    head = ["strategy", ">buffer", ">memory", ">host s"]
    head += [f">{board} s" for board in boards] + [f">{board} J" for board in powered]
    output.table(head, [(*name, *_costs(row, boards, powered)) for name, row in zip(named, rows, strict=True)])
    output.line()


def _costs(row: ResultRow, boards: list[str], powered: list[str]) -> list[str]:
    cells = [size(row.memory_bytes), spread(row.seconds, 1.0, 1)]
    cells += [spread(row.modelled_seconds.get(board), 1.0, 2) for board in boards]
    return cells + [spread(row.modelled_joules.get(board), 1.0, 2) for board in powered]
