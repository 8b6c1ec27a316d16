"""Continual learning: streams of experiences, and how well a model learns them without forgetting.

    from strop.host import Model
    from strop.host.continual import Learner, Replay, load_benchmark

    benchmark = load_benchmark("split-fashion-mnist")
    learner = Learner(Model.create("lenet5", input=benchmark.image_shape, classes=benchmark.classes), Replay(500))
    for experience in benchmark.experiences:
        print(experience.name, learner.learn(experience), learner.evaluate(experience.test))

| file or folder | holds |
|---|---|
| `experience.py` | `Experience` and `Benchmark` |
| `benchmarks/` | benchmarks by name, cut from Fashion-MNIST or another data set |
| `avalanche.py` | benchmarks of the library Avalanche |
| `learner.py`, `visits.py` | the training loop; in which order and mini-batches it goes through samples |
| `learned.py`, `learner_record.py` | its settings and results; its checkpoint |
| `strategies/`, `replay_memory.py` | what is done against forgetting, and the samples that are kept for it |
| `guard.py` | what undoes an update that forgets too much |
| `learner_memory.py`, `sparse_update.py` | what a learner takes in bytes; which layers to freeze for a budget of them |
| `named.py` | learners by the names of their strategies |
| `river.py` | a learner as a classifier of the library river |
| `run.py`, `run_files.py`, `run_settings.py` | one run over a benchmark, which can be broken off and goes on |
| `metrics.py` | the accuracy matrix: average accuracy, forgetting, transfer |
| `report.py`, `plot.py` | records of runs as files, tables, pictures |
"""

from __future__ import annotations

from strop.host.continual.avalanche import from_avalanche
from strop.host.continual.benchmarks import BENCHMARKS, load_benchmark
from strop.host.continual.experience import Benchmark, Experience, hold_out
from strop.host.continual.guard import Guard, GuardVerdict
from strop.host.continual.learned import Learned, LearnerSettings
from strop.host.continual.learner import Learner
from strop.host.continual.learner_memory import LearnerMemory
from strop.host.continual.metrics import AccuracyMatrix, Summary, summarize
from strop.host.continual.named import learner_for
from strop.host.continual.plot import plot_curves, plot_matrices, plot_report
from strop.host.continual.report import (
    ResultRow,
    RunRecord,
    markdown_table,
    read_record,
    results_table,
    write_record,
)
from strop.host.continual.run import BenchmarkRun
from strop.host.continual.sparse_update import layers_to_freeze
from strop.host.continual.strategies import (
    STRATEGIES,
    ElasticWeightConsolidation,
    GDumb,
    Joint,
    LatentReplay,
    LearningWithoutForgetting,
    NearestMean,
    Replay,
    Strategy,
    StreamingLda,
)

__all__ = [
    "BENCHMARKS",
    "STRATEGIES",
    "AccuracyMatrix",
    "Benchmark",
    "BenchmarkRun",
    "ElasticWeightConsolidation",
    "Experience",
    "GDumb",
    "Guard",
    "GuardVerdict",
    "Joint",
    "LatentReplay",
    "Learned",
    "Learner",
    "LearnerMemory",
    "LearningWithoutForgetting",
    "LearnerSettings",
    "NearestMean",
    "Replay",
    "ResultRow",
    "RunRecord",
    "Strategy",
    "StreamingLda",
    "Summary",
    "from_avalanche",
    "hold_out",
    "layers_to_freeze",
    "learner_for",
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
