"""Roofline of a network's layers on a board, as the cycle model has them: what memory and the MAC array allow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from strop.host.plot import png_figure, write_png
from strop.runtime.estimate import Board, Estimate, LayerCost

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PHASES = ("forward", "input gradient", "weight gradient")
MARK, ROOF = "#1f6fb4", "#555555"


def plot_roofline(estimate: Estimate, path: str | Path) -> Path:
    """Draw the three phases of every layer with multiply-adds into the PNG file `path`; return its path.

    Raises `InputError` without matplotlib, for another kind of file, and where `path` cannot be written.
    """
    figure = png_figure(path, 12, 4.5)
    board, costs = estimate.board, [cost for cost in estimate.training if cost.macs]
    figure.suptitle(f"{estimate.network} on {board.name}, mini-batches of {estimate.batch} (modelled)", fontsize=11)
    panels = figure.subplots(1, len(PHASES), sharex=True, sharey=True)
    for axes, phase in zip(panels, PHASES, strict=True):
        _draw_roofs(axes, board, [intensity(cost) for cost in costs])
        points = [cost for cost in costs if cost.phase == phase]
        x, y = [intensity(cost) for cost in points], [rate(cost, board) / 1e9 for cost in points]
        axes.scatter(x, y, color=MARK, s=22, zorder=3)
        for names, place in _labels(points, board):
            axes.annotate(names, place, (0, -6), textcoords="offset points", fontsize=7, ha="center", va="top")
        axes.set(title=phase, xscale="log", yscale="log", xlabel="multiply-adds a byte of DRAM")
        axes.grid(alpha=0.25)
    panels[0].set_ylim(bottom=panels[0].get_ylim()[0] / 2)  # room for the lowest label
    panels[0].set_ylabel("$10^9$ multiply-adds a second")
    return write_png(figure, path)


def intensity(cost: LayerCost) -> float:
    """Multiply-adds for each byte of DRAM traffic."""
    return cost.macs / max(1, cost.dram_bytes)


def rate(cost: LayerCost, board: Board) -> float:
    """Multiply-adds a second."""
    return cost.macs * board.clock_mhz * 1e6 / max(1, cost.cycles)


def _labels(points: list[LayerCost], board: Board) -> list[tuple[str, tuple[float, float]]]:
    """Names and the place of each label: layers whose marks would touch share one, below the lowest."""
    groups: list[list[LayerCost]] = []
    for cost in sorted(points, key=intensity):
        near = [group for group in groups if any(_touch(cost, other, board) for other in group)]
        groups = [group for group in groups if group not in near]
        groups.append([*(other for group in near for other in group), cost])
    labels = []
    for group in groups:
        middle = float(np.exp(np.mean([np.log(intensity(cost)) for cost in group])))
        lowest = min(rate(cost, board) for cost in group) / 1e9
        labels.append(("\n".join(sorted(cost.layer for cost in group)), (middle, lowest)))
    return labels


def _touch(one: LayerCost, other: LayerCost, board: Board) -> bool:
    """Whether labels of their own would touch: within a factor of 2 in intensity and of 1.6 in rate."""
    factors = intensity(one) / intensity(other), rate(one, board) / rate(other, board)
    return all(abs(np.log(factor)) < np.log(most) for factor, most in zip(factors, (2.0, 1.6), strict=True))


def _draw_roofs(axes: Axes, board: Board, intensities: list[float]) -> None:
    """The array's peak, what one port of the kernel brings, and what the memory controller gives to all of them."""
    peak = board.peak_macs_second
    slopes = {
        "one port": board.port_bytes * board.clock_mhz * 1e6,
        "all ports": board.dram_mbytes_second * 1e6,
    }
    ridges = [peak / slope for slope in slopes.values()]
    x = np.geomspace(min([*ridges, *intensities]) / 4, max([*ridges, *intensities]) * 3, 200)
    for (name, slope), style in zip(slopes.items(), ("--", "-"), strict=True):
        label = f"{name}, {slope / 1e9:.1f} GB/s"
        axes.plot(x, np.minimum(peak, slope * x) / 1e9, style, color=ROOF, linewidth=1.1, label=label)
    axes.annotate(
        f"MAC array, {peak / 1e9:.1f}", (x[-1], peak / 1e9), (-4, 4), textcoords="offset points", fontsize=7, ha="right"
    )
    axes.legend(frameon=False, loc="lower right", fontsize=7)
