"""Continual learning in float32 PyTorch: every learner over a protocol's stream, as the measure of the int8 runs.

    python tests/bench/continual/float_run.py --protocol split --seeds 3 --buffers 200 500 1000

Each run is a JSON line in tests/bench/results/continual-float.jsonl (--out); a run that is there already is not run
again. At the end the table is printed as Markdown. The rotated protocol: --protocol rotated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the float twin and the networks, one folder up

from experiences import Experience, load_experiences
from float_features import SLDA, LatentReplay
from float_learners import EWC, GDumb, LwF, Naive, Replay
from networks import cl_cnn
from protocols import PROTOCOLS, Protocol
from strop.host.continual import AccuracyMatrix
from strop.host.pytorch.float_twin import Norm
from strop.runtime.graph import NetworkGraph

RESULTS = Path(__file__).resolve().parents[1] / "results" / "continual-float.jsonl"
FRONT_END = "pool2"  # behind the last convolution of `cl_cnn`
JOINT = "joint"

Builder = Callable[[NetworkGraph, Norm, Protocol, int], Naive]
BufferedBuilder = Callable[[NetworkGraph, Norm, Protocol, int, int], Naive]
LEARNERS: Mapping[str, Builder] = {
    "naive": Naive,
    JOINT: Naive,
    "ewc-100": lambda *given: EWC(*given, strength=100),
    "ewc-1000": lambda *given: EWC(*given, strength=1000),
    "lwf": LwF,
    "slda-random": lambda *given: SLDA(*given, FRONT_END, "random"),
    "slda": lambda *given: SLDA(*given, FRONT_END),
    "slda-3-epochs": lambda *given: SLDA(*given, FRONT_END, front_epochs=3),
}
BUFFERED_LEARNERS: Mapping[str, BufferedBuilder] = {
    "replay": Replay,
    "gdumb": GDumb,
    "latent-replay": lambda *given: LatentReplay(*given, FRONT_END),
}


def learn_stream(
    learner: Naive, experiences: Sequence[Experience], log: Callable[[str], None]
) -> tuple[list[list[float]], float]:
    """Return the accuracy matrix [T + 1, T] of `learner` over `experiences`, and the seconds it spent on learning."""
    matrix, seconds = [accuracies(learner, experiences)], 0.0
    for index, experience in enumerate(experiences):
        start = time.perf_counter()
        learner.learn(experience.train_images, experience.train_labels)
        seconds += time.perf_counter() - start
        matrix.append(accuracies(learner, experiences))
        log(f"experience {index + 1}/{len(experiences)}: {' '.join(f'{100 * a:.1f}' for a in matrix[-1])}")
    return matrix, seconds


def learn_jointly(
    learner: Naive, experiences: Sequence[Experience], log: Callable[[str], None]
) -> tuple[list[list[float]], float]:
    """Return what `learn_stream` does for all experiences shuffled into one: two rows, before and after it."""
    matrix, start = [accuracies(learner, experiences)], time.perf_counter()
    images, labels = ([part[i] for part in experiences] for i in (0, 1))
    learner.learn(np.concatenate(images), np.concatenate(labels))
    seconds = time.perf_counter() - start
    matrix.append(accuracies(learner, experiences))
    log(f"all experiences at once: {' '.join(f'{100 * a:.1f}' for a in matrix[-1])}")
    return matrix, seconds


def accuracies(learner: Naive, experiences: Sequence[Experience]) -> list[float]:
    """Return the share of each experience's test images that `learner` gives their class."""
    return [float(np.mean(learner.predict(part.test_images) == part.test_labels)) for part in experiences]


def run(
    name: str, buffer: int | None, norm: Norm, protocol: Protocol, seed: int, log: Callable[[str], None]
) -> dict[str, Any]:
    """Run one learner once; return its result as plain data."""
    graph, experiences = cl_cnn(), load_experiences(protocol, seed)
    if buffer is None:
        learner = LEARNERS[name](graph, norm, protocol, seed)
    else:
        learner = BUFFERED_LEARNERS[name](graph, norm, protocol, seed, buffer)
    matrix, seconds = (learn_jointly if name == JOINT else learn_stream)(learner, experiences, log)
    return {
        "protocol": asdict(protocol),
        "network": graph.name,
        "graph": graph.digest(),
        "arithmetic": "float32",
        "norm": norm,
        "learner": name,
        "buffer": buffer,
        "kept_bytes": learner.kept_bytes,
        "seed": seed,
        "matrix": matrix,
        "average_accuracy": float(np.mean(matrix[-1])),
        "forgetting": None if name == JOINT else AccuracyMatrix(matrix).forgetting,
        "seconds": round(seconds, 2),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
    }


def table(runs: Sequence[dict[str, Any]]) -> str:
    """Return mean and sample standard deviation over seeds as a Markdown table, a row for each learner and buffer."""
    rows: dict[tuple[str, int | None, str], list[dict[str, Any]]] = {}
    for result in runs:
        rows.setdefault((result["learner"], result["buffer"], result["norm"]), []).append(result)
    lines = [
        "| learner | kept samples | kept kB | norm | accuracy %, mean +- sd | forgetting, points | seconds | seeds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (name, buffer, norm), found in rows.items():
        accuracy = _spread([100 * result["average_accuracy"] for result in found])
        forgot = [100 * result["forgetting"] for result in found if result["forgetting"] is not None]
        seconds = f"{np.mean([result['seconds'] for result in found]):.0f}"
        cells = [name, str(buffer or "-"), f"{found[0]['kept_bytes'] / 1000:.0f}", norm, accuracy]
        seeds = " ".join(str(result["seed"]) for result in found)
        lines.append(f"| {' | '.join([*cells, _spread(forgot) if forgot else '-', seconds, seeds])} |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    return f"{np.mean(values):.2f}" + (f" +- {np.std(values, ddof=1):.2f}" if len(values) > 1 else "")


def load_results(path: Path) -> list[dict[str, Any]]:
    """Return the recorded runs."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def commit() -> str:
    """Return the commit that last changed what is measured."""
    folder = Path(__file__).resolve().parent
    measured = [str(folder), str(folder.parent / "networks.py"), str(folder.parents[2] / "host" / "pytorch")]
    command = ["git", "-C", str(folder), "log", "-1", "--format=%h", "--", *measured]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def wanted(options: argparse.Namespace) -> Iterator[tuple[str, int | None, Norm, int]]:
    """Yield learner, buffer, norm and seed of each run that the command line asks for."""
    for norm in options.norms:
        for name in options.learners:
            for buffer in options.buffers if name in BUFFERED_LEARNERS else [None]:
                for seed in range(options.seeds):
                    yield name, buffer, norm, seed


def main() -> None:
    """Run what is missing, then print the table."""
    names = (*LEARNERS, *BUFFERED_LEARNERS)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protocol", choices=tuple(PROTOCOLS), default="split")
    parser.add_argument("--learners", nargs="+", choices=names, default=list(names))
    parser.add_argument("--buffers", nargs="+", type=int, default=[200, 500, 1000])
    parser.add_argument("--norms", nargs="+", choices=("l1", "l2", "none"), default=["l2"])
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    protocol, measured = PROTOCOLS[options.protocol], commit()
    options.out.parent.mkdir(parents=True, exist_ok=True)

    def key(result: dict[str, Any]) -> tuple[Any, ...]:
        return result["protocol"], result["learner"], result["buffer"], result["norm"], result["seed"]

    plan = list(wanted(options))
    for index, (name, buffer, norm, seed) in enumerate(plan):
        if (asdict(protocol), name, buffer, norm, seed) in map(key, load_results(options.out)):
            continue
        label = " ".join([f"{index + 1}/{len(plan)}", protocol.name, name, *([str(buffer)] if buffer else []), norm])
        result = run(name, buffer, norm, protocol, seed, partial(print, f"{label} seed {seed}:", flush=True))
        with options.out.open("a") as stream:
            stream.write(json.dumps({"commit": measured, **result}) + "\n")
    found = {key(result)[1:]: result for result in load_results(options.out) if result["protocol"] == asdict(protocol)}
    print(table([found[case] for case in plan]))


if __name__ == "__main__":
    main()
