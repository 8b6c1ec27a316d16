"""A network of the zoo on the whole of Fashion-MNIST: int8 with L1BN against float32 with L2BN and L1BN.

All rows share first weights, mini-batches and schedule.

    python tests/bench/accuracy.py                      # LeNet-5, 30 epochs, seeds 0 1 2, all four rows
    python tests/bench/accuracy.py --rows int8 --epochs 90 --schedule paper --seeds 0
    python tests/bench/accuracy.py --network resnet20 --epochs 3 --rows l2 int8 --threads 2

Each run is a JSON line in tests/bench/results/accuracy-NETWORK.jsonl; a run that is there already is not run again. At
the end the table is printed as Markdown, and the loss curves are drawn beside the results.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from float_baseline import SCHEDULES, train_float
from int8_training import train_int8
from strop.host.data import load_dataset
from strop.host.models import MODELS, build_model
from strop.runtime.contract import C
from strop.runtime.graph import NetworkGraph

RESULTS = Path(__file__).resolve().parent / "results"
ROWS = {
    "float32 L2BN": {"norm": "l2"},
    "float32 L2BN, every gamma 1": {"norm": "l2", "unit_gamma": True},
    "float32 L1BN": {"norm": "l1"},
    "int8 L1BN, one weight exponent a layer": {"per_channel_weights": False},
    "int8 L1BN": {"per_channel_weights": True},
}
SHORT = dict(zip(("l2", "l2-unit-gamma", "l1", "int8-per-layer", "int8"), ROWS, strict=True))


def row_of(run: dict[str, Any]) -> str:
    """Return the table's row that a result belongs to."""
    if run["arithmetic"] == "float32":
        row = "float32 L2BN" if run["norm"] == "l2" else "float32 L1BN"
        return f"{row}, every gamma 1" if run.get("unit_gamma") else row
    return "int8 L1BN" if run["arithmetic"] == "int8" else "int8 L1BN, one weight exponent a layer"


def load_results(path: Path) -> list[dict[str, Any]]:
    """Return the recorded runs."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def current(runs: list[dict[str, Any]], graph: NetworkGraph) -> list[dict[str, Any]]:
    """Return the runs in float, which no exponent changes, and those of this very graph in the arithmetic of today."""
    today = (C.NUMERICS_VERSION, graph.digest())
    return [r for r in runs if r["arithmetic"] == "float32" or (r.get("numerics", 1), r["graph"]) == today]


def schedule_of(run: dict[str, Any]) -> tuple[int, str, int]:
    """Return epochs, schedule and number of training images: runs of one table have them in common."""
    return run["epochs"], run["schedule"], run.get("images", 60_000)


def commit() -> str:
    """Return the commit that last changed what is measured."""
    folder = RESULTS.parent
    root, names = folder.parents[1], ("hls", "runtime", "host/models.py", "host/networks")
    measured = [*(str(root / name) for name in names), str(folder / "float_baseline.py")]
    command = ["git", "-C", str(folder), "log", "-1", "--format=%h", "--", *measured]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def table(runs: list[dict[str, Any]]) -> str:
    """Return mean test error and last-epoch training loss of each row as a Markdown table."""
    by_row: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: int(run["seed"])):
        by_row[row_of(run)].append(run)
    lines = [
        "| recipe | test error %, by seed | mean | training loss of the last epoch, by seed | mean |",
        "|---|---|---|---|---|",
    ]
    for row in ROWS:
        found = by_row.get(row, [])
        if found:
            errors = [100 * run["test_error"] for run in found]
            losses = [run["training_loss"][-1] for run in found]
            cells = [" / ".join(f"{e:.2f}" for e in errors), f"{np.mean(errors):.2f}"]
            cells += [" / ".join(f"{x:.4f}" for x in losses), f"{np.mean(losses):.4f}"]
            lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(runs: list[dict[str, Any]], network: str, path: Path) -> None:
    """Draw training loss over epochs, a line a run."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for color, row in zip(("C0", "C4", "C1", "C2", "C3"), ROWS, strict=True):
        for index, run in enumerate(run for run in runs if row_of(run) == row):
            epochs = range(1, len(run["training_loss"]) + 1)
            axes.plot(epochs, run["training_loss"], color=color, alpha=0.8, label=None if index else row)
    axes.set(xlabel="epoch", ylabel="training loss (nats)", yscale="log", title=f"{network} on Fashion-MNIST")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=tuple(MODELS), default="lenet5")
    parser.add_argument("--rows", nargs="+", choices=tuple(SHORT), default=["l2", "l1", "int8-per-layer", "int8"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--schedule", choices=tuple(SCHEDULES), default="strop")
    parser.add_argument("--images", type=int, default=60_000, help="of the training images, so many from the first on")
    parser.add_argument("--threads", type=int, default=1, help="threads of either side")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"accuracy-{options.network}.jsonl"
    train, test = load_dataset("fashion-mnist", "train"), load_dataset("fashion-mnist", "test")
    data = (train.images[: options.images], train.labels[: options.images], test.images, test.labels)
    wanted_schedule = (options.epochs, options.schedule, options.images)
    measured = commit()  # what is loaded now, whatever is committed while this runs
    same = {"epochs": options.epochs, "schedule": options.schedule}
    graph = build_model(options.network, train.image_shape, len(train.classes))
    wanted = {SHORT[name] for name in options.rows}
    for seed in options.seeds:
        for row in (row for row in ROWS if row in wanted):
            done = [r for r in current(load_results(path), graph) if row_of(r) == row and r["seed"] == seed]
            if any(schedule_of(r) == wanted_schedule for r in done):
                continue
            settings: dict[str, Any] = {**ROWS[row], **same, "seed": seed}
            if "norm" in settings:
                run = train_float(graph, settings.pop("norm"), *data, **settings)
            else:
                run = train_int8(graph, *data, **settings, threads=options.threads)
            with path.open("a") as stream:
                facts = {"dataset": train.name, "images": options.images, "commit": measured}
                stream.write(json.dumps({**facts, **run}) + "\n")
    runs = [r for r in current(load_results(path), graph) if schedule_of(r) == wanted_schedule]
    print(table(runs))
    part = "" if options.images == 60_000 else f"-{options.images}-images"
    draw(runs, options.network, RESULTS / f"accuracy-{options.network}-{options.epochs}-epochs{part}.png")


if __name__ == "__main__":
    main()
