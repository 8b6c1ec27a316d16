"""The pictures of the L1BN paper's Figures 1 and 3, from runs and deviations measured here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from norm_deviations import Deviations
from strop.host.plot import png_figure, write_png
from strop.host.pytorch.l1_batch_norm import L2_OVER_L1

COLORS = {"float32 L2BN": "#1f6fb4", "float32 L1BN": "#d2601a", "int8 L1BN": "#3a8f4d"}
STYLES = {"float32 L2BN": "-", "float32 L1BN": "--", "int8 L1BN": "-."}
SPREAD = 0.25  # of the colour map, to either side of sqrt(pi/2)


def draw_training(runs: Mapping[str, Mapping[str, Any]], title: str, path: Path) -> Path:
    """Draw Figure 1: training loss and test error over epochs, by name of the run; return the PNG's path."""
    figure = png_figure(path, 10, 4)
    figure.suptitle(title)
    loss, error = figure.subplots(1, 2)
    for name, run in runs.items():
        epochs = range(1, len(run["training_loss"]) + 1)
        line = {"color": COLORS[name], "linestyle": STYLES[name], "marker": "o", "markersize": 3}
        loss.plot(epochs, run["training_loss"], label=name, **line)
        last = run["test_errors"][-1]
        error.plot(epochs, [100 * e for e in run["test_errors"]], label=f"{name}, last {100 * last:.2f} %", **line)
    loss.set(title="Training", xlabel="epoch", ylabel="cross-entropy, nats", yscale="log")
    error.set(title="Test", xlabel="epoch", ylabel="error, %")
    _plain_ticks(loss.yaxis)
    for axes in (loss, error):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.25, which="both")
        axes.legend(frameon=False)
    return write_png(figure, path)


def draw_deviations(layers: Sequence[Deviations], title: str, path: Path) -> Path:
    """Draw Figure 3: the ratio of deviations by layer and channel, and histograms of both; return the PNG's path."""
    figure = png_figure(path, 12, 4.5)
    figure.suptitle(title)
    ratio, histogram = figure.subplots(1, 2)
    table = np.full((max(len(layer.l1) for layer in layers), len(layers)), np.nan)
    for column, layer in enumerate(layers):
        table[: len(layer.l1), column] = layer.ratio
    image = ratio.imshow(
        np.ma.masked_invalid(table),
        aspect="auto",
        interpolation="nearest",
        cmap="RdBu_r",
        vmin=L2_OVER_L1 - SPREAD,
        vmax=L2_OVER_L1 + SPREAD,
    )
    ratio.set_facecolor("#dddddd")
    ratio.set(title="sigma_L2 / sigma_L1 (white: sqrt(pi/2))", xlabel="batch norm layer", ylabel="channel")
    step = max(1, len(layers) // 12)
    ratio.set_xticks(range(0, len(layers), step), [layer.layer for layer in layers][::step], rotation=60, fontsize=7)
    figure.colorbar(image, ax=ratio, extend="both")
    _draw_histograms(histogram, layers)
    return write_png(figure, path)


def _draw_histograms(axes: Any, layers: Sequence[Deviations]) -> None:
    both = {
        "sigma_L2": np.concatenate([layer.l2 for layer in layers]),
        "sigma_L1": np.concatenate([layer.l1 for layer in layers]),
    }
    both = {name: values[values > 0] for name, values in both.items()}
    logs = np.log10(np.concatenate(list(both.values())))
    bins = np.logspace(logs.min(), logs.max(), 40)
    for (name, values), color in zip(both.items(), ("#1f6fb4", "#d2601a"), strict=True):
        axes.hist(
            values, bins, color=color, alpha=0.55, label=f"{name}, geometric mean {np.exp(np.log(values).mean()):.3f}"
        )
    axes.set(title="Deviations of all channels", xlabel="deviation", ylabel="channels", xscale="log")
    axes.margins(y=0.2)
    _plain_ticks(axes.xaxis)
    axes.legend(frameon=False, loc="upper left")


def _plain_ticks(axis: Any) -> None:
    """Label a logarithmic axis at 1, 2 and 5 of each decade, without powers of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())
