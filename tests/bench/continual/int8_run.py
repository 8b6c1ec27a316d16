"""Continual learning in strop's int8: strategies over a protocol's stream, beside the float32 runs of the same.

    python tests/bench/continual/int8_run.py --protocol split --seeds 3 --buffers 200 500 1000
    python tests/bench/continual/int8_run.py --protocol rotated --seeds 3 --buffers 1000

Each run is a record in tests/bench/results/continual-int8/<protocol>/ (--out); a run that is there already is not run
again. At the end a Markdown table is printed, in which float32 is what float_run.py recorded for the same protocol,
learner, buffer and seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # networks.py, one folder up

from networks import cl_cnn, cl_cnn_wide
from protocols import PROTOCOLS, Protocol
from strop.host import Model
from strop.host.continual import (
    BenchmarkRun,
    ElasticWeightConsolidation,
    GDumb,
    Joint,
    LatentReplay,
    Learner,
    LearnerSettings,
    LearningWithoutForgetting,
    NearestMean,
    Replay,
    RunRecord,
    Strategy,
    StreamingLda,
    load_benchmark,
    read_record,
    write_record,
)
from strop.host.networks import lenet5
from strop.runtime.cut import cut
from strop.runtime.graph import NetworkGraph

RESULTS = Path(__file__).resolve().parents[1] / "results"
IMAGE_BYTES = 28 * 28
NETWORKS: Mapping[str, Callable[[], NetworkGraph]] = {
    "cl-cnn": cl_cnn,
    "cl-cnn-wide": cl_cnn_wide,
    "lenet5": lenet5,
}


def equal_bytes(images: int, graph: NetworkGraph, after: str) -> int:
    """Return how many feature maps behind `after` take the bytes of `images` images."""
    return images * IMAGE_BYTES // cut(graph, after).map_bytes


Builder = Callable[[int, int, Protocol], Sequence[Strategy]]  # of buffer, seed and protocol
# learner: network, strategies, whether it has a buffer, and the float learner beside it
LEARNERS: Mapping[str, tuple[str, Builder, bool, str | None]] = {
    "naive": ("cl-cnn", lambda n, seed, p: (), False, "naive"),
    "joint": ("cl-cnn", lambda n, seed, p: (Joint(p.epochs),), False, "joint"),
    "replay": ("cl-cnn", lambda n, seed, p: (Replay(n, p.replay_batch, seed=seed),), True, "replay"),
    "replay-balanced": (
        "cl-cnn",
        lambda n, seed, p: (Replay(n, p.replay_batch, "balanced", seed),),
        True,
        None,
    ),
    "latent-replay": (
        "cl-cnn",
        lambda n, seed, p: (LatentReplay(n, p.replay_batch, "pool2", seed=seed),),
        True,
        "latent-replay",
    ),
    "ewc-100": ("cl-cnn", lambda n, seed, p: (ElasticWeightConsolidation(100, 1000, seed),), False, "ewc-100"),
    "ewc-1000": ("cl-cnn", lambda n, seed, p: (ElasticWeightConsolidation(1000, 1000, seed),), False, "ewc-1000"),
    "lwf": ("cl-cnn", lambda n, seed, p: (LearningWithoutForgetting(),), False, "lwf"),
    "lwf+replay": (
        "cl-cnn",
        lambda n, seed, p: (LearningWithoutForgetting(), Replay(n, p.replay_batch, seed=seed)),
        True,
        None,
    ),
    "gdumb": ("cl-cnn", lambda n, seed, p: (GDumb(n, seed=seed),), True, "gdumb"),
    "slda": ("cl-cnn", lambda n, seed, p: (StreamingLda("pool2"),), False, "slda"),
    "slda-wide": ("cl-cnn-wide", lambda n, seed, p: (StreamingLda("pool2"),), False, None),
    "nearest-mean": ("cl-cnn", lambda n, seed, p: (NearestMean("pool2"),), False, None),
    # a network whose maps are smaller than images: the comparison at equal bytes
    "lenet5-replay": ("lenet5", lambda n, seed, p: (Replay(n, p.replay_batch, seed=seed),), True, None),
    "lenet5-replay-128": ("lenet5", lambda n, seed, p: (Replay(n, 128, seed=seed),), True, None),
    "lenet5-latent-replay": (
        "lenet5",
        lambda n, seed, p: (LatentReplay(equal_bytes(n, lenet5(), "pool2"), p.replay_batch, "pool2", seed=seed),),
        True,
        None,
    ),
    "lenet5-latent-replay-128": (
        "lenet5",
        lambda n, seed, p: (LatentReplay(equal_bytes(n, lenet5(), "pool2"), 128, "pool2", seed=seed),),
        True,
        None,
    ),
}


def run(name: str, buffer: int, protocol: Protocol, seed: int, log: Callable[[str], None]) -> RunRecord:
    """Run one learner once; return its record."""
    benchmark = load_benchmark(protocol.benchmark, seed=seed, per_experience=protocol.per_experience)
    network, build, _, _ = LEARNERS[name]
    settings = LearnerSettings(
        batch=protocol.batch,
        learning_rate=protocol.learning_rate,
        epochs=protocol.epochs,
        momentum=protocol.momentum,
        seed=seed,
    )
    with Model.create(NETWORKS[network](), classes=benchmark.classes, seed=seed, device="emulator") as model:
        learner = Learner(model, *build(buffer, seed, protocol), settings=settings)
        return BenchmarkRun(benchmark, learner, strategy=name, seed=seed).run(
            on_experience=lambda experience, learned, row: log(" ".join(f"{100 * a:.1f}" for a in row))
        )


def float_results(protocol: Protocol) -> dict[tuple[str, int | None, int], float]:
    """Return the float runs' average accuracy, percent, by learner, buffer and seed."""
    path = RESULTS / "continual-float.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    runs = [json.loads(line) for line in lines]
    return {
        (r["learner"], r["buffer"], r["seed"]): 100 * r["average_accuracy"]
        for r in runs
        if r["protocol"]["name"] == protocol.name and r["norm"] == "l2"
    }


def table(found: Mapping[tuple[str, int, int], RunRecord], protocol: Protocol) -> str:
    """Return mean and sample standard deviation over seeds as a Markdown table, with float32 beside it."""
    floats = float_results(protocol)
    lines = [
        "| learner | network | buffer | buffer kB | int8 accuracy % | forgetting | anytime | float32 accuracy % "
        "| int8 - float32 | s | learner kB |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, buffer in dict.fromkeys((name, buffer) for name, buffer, _ in found):
        records = [record for (n, b, _), record in found.items() if (n, b) == (name, buffer)]
        network, _, buffered, twin = LEARNERS[name]
        key = buffer if buffered else None
        beside = [floats[twin, key, r.seed] for r in records if twin and (twin, key, r.seed) in floats]
        accuracy = [100 * r.matrix.average_accuracy for r in records]
        complete = len(beside) == len(records)
        cells = [
            *(name, network, str(buffer) if buffered else "-", f"{records[0].buffer_bytes / 1000:,.0f}"),
            *(_spread(accuracy), _spread([100 * r.matrix.forgetting for r in records])),
            _spread([100 * r.matrix.anytime_accuracy for r in records]),
            *(_spread(beside) if complete else "-", f"{np.mean(accuracy) - np.mean(beside):+.2f}" if complete else "-"),
            f"{np.mean([sum(r.seconds) for r in records]):.0f}",
            f"{np.mean([sum(r.memory.values()) for r in records]) / 1000:,.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    return f"{np.mean(values):.2f}" + (f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else "")


def wanted(options: argparse.Namespace) -> Iterator[tuple[str, int, int]]:
    """Yield learner, buffer and seed of each run that the command line asks for."""
    for name in options.learners:
        for buffer in options.buffers if LEARNERS[name][2] else [0]:
            for seed in range(options.seeds):
                yield name, buffer, seed


def main(arguments: Sequence[str] | None = None) -> dict[tuple[str, int, int], Any]:
    """Run what is missing, then print the table; return the records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protocol", choices=tuple(PROTOCOLS), default="split")
    parser.add_argument("--learners", nargs="+", choices=tuple(LEARNERS), default=list(LEARNERS))
    parser.add_argument("--buffers", nargs="+", type=int, default=[200, 500, 1000])
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0")
    parser.add_argument("--out", type=Path, default=RESULTS / "continual-int8")
    options = parser.parse_args(arguments)
    protocol = PROTOCOLS[options.protocol]
    folder = options.out / protocol.name
    folder.mkdir(parents=True, exist_ok=True)
    plan, found = list(wanted(options)), {}
    for index, (name, buffer, seed) in enumerate(plan):
        path = folder / f"{name}-{buffer}-seed{seed}.json"
        if not path.exists():
            label = f"{index + 1}/{len(plan)} {protocol.name} {name} {buffer or ''} seed {seed}:"
            write_record(
                run(name, buffer, protocol, seed, lambda text, label=label: print(label, text, flush=True)), path
            )
        found[name, buffer, seed] = read_record(path)
    print(table(found, protocol))
    return found


if __name__ == "__main__":
    main()
