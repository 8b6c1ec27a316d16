"""Does integer training need Adam? Float32 with L2BN by Adam and by SGD with momentum, and int8 by momentum.

    python tests/bench/optimizers.py --networks lenet5 resnet8 --seeds 0 1 2

All share first weights, mini-batches, epochs and the schedule; Adam has the better of two learning rates. Each run is a
JSON line in tests/bench/results/optimizers.jsonl; a run that is there is not run again.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from float_baseline import train_float
from int8_training import train_int8
from strop.host.data import load_dataset
from strop.host.models import MODELS, build_model
from strop.runtime.contract import C

RESULTS = Path(__file__).resolve().parent / "results" / "optimizers.jsonl"
ROWS: dict[str, dict[str, Any]] = {
    "float32, momentum, lr 0.1": {"lr": 0.1},
    "float32, Adam, lr 0.001": {"lr": 0.001, "adam": True},
    "float32, Adam, lr 0.003": {"lr": 0.003, "adam": True},
    "int8, momentum, lr 0.1": {"lr": 0.1, "int8": True},
}


def table(runs: list[dict[str, Any]]) -> str:
    """Return test errors as Markdown, a line a network and row."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for run in runs:
        found[run["network"], run["row"]].append(100 * run["test_error"])
    lines = ["| network | optimizer | test error %, by seed | mean |", "|---|---|---|---|"]
    for (network, row), errors in found.items():
        lines.append(f"| {network} | {row} | {' / '.join(f'{e:.2f}' for e in errors)} | {np.mean(errors):.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=tuple(MODELS), default=["lenet5", "resnet8"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--images", type=int, default=30_000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train, test = load_dataset("fashion-mnist", "train"), load_dataset("fashion-mnist", "test")
    data = (train.images[: options.images], train.labels[: options.images], test.images, test.labels)
    runs = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    for network in options.networks:
        graph = build_model(network, train.image_shape, len(train.classes))
        for seed in options.seeds:
            for row, settings in ROWS.items():
                key: dict[str, Any] = {
                    "network": network,
                    "row": row,
                    "seed": seed,
                    "epochs": options.epochs,
                    "images": options.images,
                }
                if "int8" in settings:
                    key["numerics"] = C.NUMERICS_VERSION
                if any(all(run.get(name) == value for name, value in key.items()) for run in runs):
                    continue
                facts = {name: value for name, value in settings.items() if name != "int8"}
                if "int8" in settings:
                    run = train_int8(graph, *data, epochs=options.epochs, seed=seed, threads=options.threads, **facts)
                else:
                    run = train_float(graph, "l2", *data, epochs=options.epochs, seed=seed, **facts)
                runs.append({**run, **key})
                with RESULTS.open("a") as stream:
                    stream.write(json.dumps(runs[-1]) + "\n")
    print(table(runs))


if __name__ == "__main__":
    main()
