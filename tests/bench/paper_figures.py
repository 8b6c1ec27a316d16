"""Figures 1 and 3 of the L1BN paper, on Fashion-MNIST, by one command.

    python tests/bench/paper_figures.py --network resnet20 --epochs 30 --int8
    python tests/bench/paper_figures.py --quick --out /tmp/figures    # ResNet-8, the bundled subset, two minutes

Trains a network with L2BN and with L1BN in float32 (and, with --int8, as strop does), from the same first weights, on
the same mini-batches, and draws how loss and test error fall (Figure 1). Then, parameters fixed, both deviations are
computed from the same layer inputs, over 100 mini-batches: their ratio by layer and channel, and histograms (Figure 3).
Prints the mean ratio and its spread against sqrt(pi/2). PNG and a JSON file lie in --out, tests/bench/results by
default. The paper: S. Wu et al., "L1-Norm Batch Normalization for Efficient Training of Deep Neural Networks", IEEE
TNNLS 2018; its Figures are of ResNet-110 on CIFAR-10, and Figure 3 of layers 38 to 73: --layers 38 73.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from figure_plots import draw_deviations, draw_training
from float_baseline import SCHEDULES, train_float
from int8_training import train_int8
from norm_deviations import Deviations, measure_deviations, summary
from strop.host.atomic_file import write_atomically
from strop.host.data import Dataset, load_dataset
from strop.host.models import MODELS, build_model
from strop.host.pytorch import FloatTwin
from strop.host.pytorch.float_twin import evaluate
from strop.host.pytorch.l1_batch_norm import L2_OVER_L1
from strop.runtime import NetworkGraph, Session

RESULTS = Path(__file__).resolve().parent / "results"
QUICK = {"network": "resnet8", "dataset": "fashion-mnist-subset", "epochs": 3, "images": 2_000, "batches": 20}


def train_all(
    graph: NetworkGraph, train: Dataset, test: Dataset, int8: bool, **settings: Any
) -> tuple[dict[str, dict[str, Any]], dict[str, FloatTwin]]:
    """Return the runs by name, each with "test_errors", one an epoch, and the trained float networks."""
    arrays = (train.images, train.labels, test.images, test.labels)
    held_out = torch.tensor(test.images), torch.tensor(test.labels, dtype=torch.int64)
    runs: dict[str, dict[str, Any]] = {}
    networks: dict[str, FloatTwin] = {}
    for name, norm in (("float32 L2BN", "l2"), ("float32 L1BN", "l1")):
        errors: list[float] = []

        def see(network: FloatTwin, name: str = name, errors: list[float] = errors) -> None:
            networks[name] = network
            errors.append(evaluate(network, *held_out))

        runs[name] = train_float(graph, norm, *arrays, **settings, on_epoch=see)
        runs[name]["test_errors"] = errors
    if int8:
        errors = []

        def see_int8(session: Session) -> None:
            errors.append(1 - session.evaluate(test.images, test.labels).accuracy)

        threads = torch.get_num_threads()
        runs["int8 L1BN"] = train_int8(graph, *arrays, **settings, threads=threads, on_epoch=see_int8)
        runs["int8 L1BN"]["test_errors"] = errors
    return runs, networks


def report(name: str, layers: tuple[Deviations, ...], log: Callable[[str], None] = print) -> dict[str, Any]:
    """Print and return what the ratio of deviations is in the network trained as `name`."""
    found = summary(layers)
    log(
        f"trained as {name}: sigma_L2 / sigma_L1 over {found['channels']} channels of {len(layers)} layers "
        f"({found['dead']} dead): mean {found['mean']:.4f} +- {found['std']:.4f}, median {found['median']:.4f}, "
        f"90 % from {found['q05']:.4f} to {found['q95']:.4f}; sqrt(pi/2) = {L2_OVER_L1:.4f}"
    )
    by_layer = {layer.layer: round(float(summary((layer,))["mean"]), 4) for layer in layers}
    return {**found, "by_layer": by_layer}


def main() -> None:
    """Train, measure, draw, and write everything down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=tuple(MODELS), default="resnet8")
    parser.add_argument("--dataset", default="fashion-mnist", help="a name, or the path of a data set")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--schedule", choices=tuple(SCHEDULES), default="strop")
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--images", type=int, default=60_000, help="of the training images, so many from the first on")
    parser.add_argument("--batches", type=int, default=100, help="mini-batches that deviations are averaged over")
    parser.add_argument("--layers", type=int, nargs=2, metavar=("FIRST", "LAST"), help="batch norm layers, from 1")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--int8", action="store_true", help="strop's int8 training beside them")
    parser.add_argument("--threads", type=int, default=1, help="threads of either side")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help=f"settings that take two minutes at most: {QUICK}")
    options = parser.parse_args()
    if options.quick:
        vars(options).update(QUICK)
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    train, test = (load_dataset(options.dataset, split) for split in ("train", "test"))
    train = train.subset(range(min(options.images, len(train))))
    graph = build_model(options.network, train.image_shape, len(train.classes))
    settings = {name: getattr(options, name) for name in ("epochs", "batch", "lr", "seed", "schedule")}
    runs, networks = train_all(graph, train, test, options.int8, **settings)
    where = f"{graph.name}, {options.dataset}, {len(train)} training images"
    pictures = [draw_training(runs, where, options.out / f"figure1-{graph.name}.png")]
    ratios = {}
    for name, network in networks.items():
        layers = measure_deviations(
            network, train.images, batches=options.batches, batch=options.batch, seed=options.seed
        )
        first, last = options.layers or (1, len(layers))
        ratios[name] = report(name, layers[first - 1 : last])
    pictures.append(
        draw_deviations(
            layers[first - 1 : last],
            f"{where}, trained with L1BN, {options.batches} mini-batches of {options.batch}",
            options.out / f"figure3-{graph.name}.png",
        )
    )
    record = {"dataset": train.name, "images": len(train), "runs": runs, "ratios": ratios}
    path = options.out / f"figures-{graph.name}.json"
    write_atomically(path, [json.dumps(record, indent=1).encode()])
    print("\n".join(str(path) for path in (*pictures, path)))


if __name__ == "__main__":
    main()
