"""L1BN in a stream: what normalizes while training on small mini-batches of shifting data.

    python tests/bench/continual/statistics_run.py --seeds 3

A model learns 10,000 images as they are, in mini-batches of 32. Then come 4,000 images turned by 36 degrees, in
mini-batches of 1 to 32, alone or with as many images of the past beside them (a reservoir of 500; at least 15 beside a
single one), under each kind of statistics. The learning rate goes with the new samples of a mini-batch, from 0.05 at
32. What is printed is the accuracy on turned and on upright test images afterwards, mean and sample deviation over
seeds; each run is a JSON line in tests/bench/results/continual-statistics.jsonl, and is not run again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # networks.py, one folder up

from int8_run import RESULTS
from networks import cl_cnn
from strop.host import Model
from strop.host.continual import Learner, LearnerSettings, Replay, load_benchmark
from strop.runtime.errors import InputError

BATCHES = (1, 8, 32)
SAMPLES = 4_000  # turned
STATISTICS = ("batch", "running", "frozen")
LEAST_REPLAY = 15


def run(seed: int, batch: int, statistics: str, replay: bool) -> dict[str, Any]:
    """Return the accuracies after the stream, or why it cannot be trained so."""
    benchmark = load_benchmark("rotated-fashion-mnist", seed=seed)
    upright, turned = benchmark.experiences[:2]
    with Model.create(cl_cnn(), classes=benchmark.classes, seed=seed, device="emulator") as model:
        Learner(model, settings=LearnerSettings(seed=seed)).learn(upright)
        settings = LearnerSettings(batch, 0.05 * batch / 32, statistics=statistics, seed=seed)
        memory = Replay(500, max(LEAST_REPLAY, batch), seed=seed)
        second = Learner(model, *([memory] if replay else []), settings=settings)
        if memory.memory is not None:  # the learner has made it
            memory.memory.add(upright.train.images, upright.train.labels)
        case = {"seed": seed, "batch": batch, "statistics": statistics, "replay": replay}
        try:
            learned = second.learn(turned.train.take(SAMPLES, seed))
        except InputError as error:
            return {**case, "refused": str(error)}
        return {
            **case,
            "turned": second.evaluate(turned.test),
            "upright": second.evaluate(upright.test),
            "seconds": round(learned.seconds, 2),
        }


def table(runs: Sequence[dict[str, Any]]) -> str:
    """Return the accuracies as a Markdown table, a row for each kind of statistics and size of mini-batch."""
    lines = [
        "| statistics | new samples | turned % | upright % | with replay: turned % | upright % |",
        "|---|---|---|---|---|---|",
    ]
    for statistics in STATISTICS:
        for batch in BATCHES:
            cells = [statistics, str(batch)]
            for replay in (False, True):
                found = [r for r in runs if (r["statistics"], r["batch"], r["replay"]) == (statistics, batch, replay)]
                for which in ("turned", "upright"):
                    values = [100 * r[which] for r in found if which in r]
                    cells.append(
                        f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else "refused"
                    )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0")
    parser.add_argument("--out", type=Path, default=RESULTS / "continual-statistics.jsonl")
    options = parser.parse_args()
    done = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    cases = [(s, b, k, r) for k in STATISTICS for b in BATCHES for r in (False, True) for s in range(options.seeds)]
    runs = []
    for index, case in enumerate(cases):
        found = [r for r in done if (r["seed"], r["batch"], r["statistics"], r["replay"]) == case]
        if not found:
            found = [run(*case)]
            with options.out.open("a") as stream:
                stream.write(json.dumps(found[0]) + "\n")
            print(f"{index + 1}/{len(cases)}", found[0], flush=True)
        runs += found
    print(table(runs))


if __name__ == "__main__":
    main()
