"""Continual learning: streams of experiences, and how well a model learns them without forgetting.

    from strop.host.continual import load_benchmark

    benchmark = load_benchmark("split-fashion-mnist")
    for experience in benchmark.experiences:
        print(experience.name, len(experience.train), len(experience.test), experience.classes)

| file or folder | holds |
|---|---|
| `experience.py` | `Experience` and `Benchmark` |
| `benchmarks/` | benchmarks by name, cut from Fashion-MNIST or another data set |
| `avalanche.py` | benchmarks of the library Avalanche |
| `metrics.py` | the accuracy matrix: average accuracy, forgetting, transfer |
| `report.py`, `plot.py` | records of runs as files, tables, pictures |
"""

from __future__ import annotations

from strop.host.continual.avalanche import from_avalanche
from strop.host.continual.benchmarks import BENCHMARKS, load_benchmark
from strop.host.continual.experience import Benchmark, Experience
from strop.host.continual.metrics import AccuracyMatrix, Summary, summarize
from strop.host.continual.plot import plot_curves, plot_matrices, plot_report
from strop.host.continual.report import (
    ResultRow,
    RunRecord,
    markdown_table,
    read_record,
    results_table,
    write_record,
)

__all__ = [
    "BENCHMARKS",
    "AccuracyMatrix",
    "Benchmark",
    "Experience",
    "ResultRow",
    "RunRecord",
    "Summary",
    "from_avalanche",
    "load_benchmark",
    "markdown_table",
    "plot_curves",
    "plot_matrices",
    "plot_report",
    "read_record",
    "results_table",
    "summarize",
    "write_record",
]
