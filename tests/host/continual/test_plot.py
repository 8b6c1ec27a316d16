"""Pictures of continual learning: files that are there whole, for every shape of record; and what cannot be drawn."""

from __future__ import annotations

import builtins
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from run_records import run_record
from strop.host.continual import plot
from strop.host.continual.metrics import AccuracyMatrix
from strop.host.continual.plot import plot_curves, plot_matrices, plot_report
from strop.host.continual.report import RunRecord
from strop.runtime.errors import InputError

NAMED = {"experiences": ("first", "an experience whose name is long"), "samples": (50, 50)}


def size_of_png(path: Path) -> tuple[int, int]:
    """Return width and height of a PNG file that is whole."""
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n") and data.rstrip().endswith(b"IEND\xaeB`\x82")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def of_experiences(count: int, seed: int = 0) -> RunRecord:
    """A record of a stream of `count` experiences."""
    rows = np.tril(np.full((count + 1, count), 0.75), -1)
    return run_record(seed=seed, matrix=AccuracyMatrix(rows), seconds=(1.0,) * count)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every figure that is written, for looking into."""
    pytest.importorskip("matplotlib")
    figures: list[Any] = []
    write_png = plot.write_png
    monkeypatch.setattr(plot, "write_png", lambda figure, path: (figures.append(figure), write_png(figure, path))[1])
    return figures


def test_a_report_is_two_pictures_a_benchmark(tmp_path: Path) -> None:
    """Protects `plot_report`: its files, named by benchmark; none for curves that are not there."""
    pytest.importorskip("matplotlib")
    other = run_record(benchmark="Split (own data)", curve=())
    paths = plot_report([run_record(), run_record(seed=1), other, run_record(strategy="replay")], tmp_path)
    assert [path.name for path in paths] == ["a-benchmark-matrices.png", "a-benchmark-curves.png"] + [
        "split-own-data-matrices.png"
    ]
    assert sorted(os.listdir(tmp_path)) == sorted(path.name for path in paths)
    assert size_of_png(paths[1]) == (1200, 600)


def test_cells_hold_the_mean_over_seeds(tmp_path: Path, drawn: list[Any]) -> None:
    """Protects the numbers in the picture: percent of the mean matrix, row by row, and the figures above them."""
    other = AccuracyMatrix([[0.1, 0.0], [0.7, 0.25], [0.5, 0.95]])
    plot_matrices([run_record(**NAMED), run_record(seed=1, matrix=other, **NAMED)], tmp_path / "m.png")
    panel = drawn[0].axes[0]
    assert [text.get_text() for text in panel.texts] == ["10", "0", "80", "25", "50", "85"]
    assert panel.get_title() == "naive\naccuracy 67.5 ± 7.1 %, forgetting 30.0 ± 14.1 %"
    assert [label.get_text() for label in panel.get_xticklabels()] == ["first", "an experience whose nam…"]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["before", "1", "2"]


def test_lines_are_means_with_bands(tmp_path: Path, drawn: list[Any]) -> None:
    """Protects the curves: one line for several seeds at equal points, one each at others, ends of experiences."""
    second = run_record(seed=1, curve=((0, 0.3), (50, 0.7), (100, 0.625)), **NAMED)
    replay = [run_record(strategy="replay", seed=seed, curve=((seed + 1, 0.5),), **NAMED) for seed in range(2)]
    plot_curves([run_record(**NAMED), second, *replay], tmp_path / "c.png")
    axes = drawn[0].axes[0]
    mean, one, other, end = axes.lines
    assert np.allclose(mean.get_ydata(), [20, 80, 62.5]) and mean.get_xdata().tolist() == [0, 50, 100]
    assert (one.get_xdata().tolist(), other.get_xdata().tolist()) == ([1], [2]) and set(end.get_xdata()) == {50}
    assert len(axes.collections) == 1  # the band
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["naive: 62.5 ± 0.0 %", "replay: 62.5 ± 0.0 %"]


@pytest.mark.parametrize("count", [1, 2, 13])
def test_streams_of_any_length_can_be_drawn(tmp_path: Path, count: int) -> None:
    """Protects the edges: a single experience, and more than there is room for numbers."""
    pytest.importorskip("matplotlib")
    size_of_png(plot_matrices([of_experiences(count)], tmp_path / "m.png"))


def test_many_strategies_can_be_drawn(tmp_path: Path) -> None:
    """Protects tables of many rows: colours and panels do not run out."""
    pytest.importorskip("matplotlib")
    records = [run_record(strategy=f"strategy {number}", buffer_bytes=number) for number in range(10)]
    for path in plot_report(records, tmp_path):
        size_of_png(path)


def test_what_cannot_be_drawn_is_told(tmp_path: Path) -> None:
    """Protects users from pictures that mix what does not belong together."""
    pytest.importorskip("matplotlib")
    two = [run_record(), run_record(benchmark="another")]
    with pytest.raises(InputError, match="of one benchmark, got a benchmark, another; plot them apart"):
        plot_matrices(two, tmp_path / "m.png")
    with pytest.raises(InputError, match="got none"):
        plot_curves([], tmp_path / "c.png")
    with pytest.raises(InputError, match="nothing to plot"):
        plot_report([], tmp_path)
    with pytest.raises(InputError, match="no record has a curve"):
        plot_curves([run_record(curve=())], tmp_path / "c.png")
    with pytest.raises(InputError, match="accuracy matrices of one shape"):
        plot_matrices([run_record(), of_experiences(3, seed=1)], tmp_path / "m.png")
    with pytest.raises(InputError, match="does not exist"):
        plot_report([run_record()], tmp_path / "missing")
    assert os.listdir(tmp_path) == []


def test_without_matplotlib_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Protects installations without the extra: the message says what to install."""
    original = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(f"No module named {name}")
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InputError, match="pip install matplotlib"):
        plot_report([run_record()], tmp_path)


def test_columns_have_names_where_all_seeds_share_them(tmp_path: Path, drawn: list[Any]) -> None:
    """Protects pictures of shuffled classes: a column must not have the name that it has with one of the seeds."""
    other = {**NAMED, "experiences": ("second", "first")}
    plot_matrices([run_record(**NAMED), run_record(**NAMED, seed=1)], tmp_path / "same.png")
    plot_matrices([run_record(**NAMED), run_record(**other, seed=1)], tmp_path / "other.png")
    same, numbered = ([tick.get_text() for tick in figure.axes[0].get_xticklabels()] for figure in drawn)
    assert same[0] == "first" and numbered == ["1", "2"]
