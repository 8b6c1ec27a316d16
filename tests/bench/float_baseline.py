"""What int8 training is measured against: the same network, first weights and mini-batches, trained in float32.

One run is one JSON line appended to a results file:

    python tests/bench/float_baseline.py results.jsonl --norm l2 --seed 0 --epochs 30
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from float_network import FloatNetwork, Norm, evaluate, initial_parameters
from numpy.typing import NDArray
from strop.host.order import epoch_order
from strop.runtime.errors import DataError, InputError
from strop.runtime.graph import L1BN, Conv2d, Flatten, Linear, MaxPool2d, NetworkGraph, ReLU
from torch.nn import functional

MOMENTUM = 0.9
# Shares of a run's steps after which the learning rate is a tenth, then a hundredth, of the first one.
SCHEDULES = {"strop": (1 / 2, 5 / 6), "paper": (1 / 3, 2 / 3)}


def learning_rate(first: float, step: int, total_steps: int, schedule: str = "strop") -> float:
    """Return the rate of step `step` (from 0): `first`, a tenth or a hundredth of it."""
    share = step / total_steps
    tenth, hundredth = SCHEDULES[schedule]
    return first if share < tenth else first / 10 if share < hundredth else first / 100


def train_float(
    graph: NetworkGraph,
    norm: Norm,
    images: NDArray[np.uint8],
    labels: NDArray[Any],
    test_images: NDArray[np.uint8],
    test_labels: NDArray[Any],
    *,
    epochs: int,
    batch: int = 128,
    lr: float = 0.1,
    seed: int = 0,
    schedule: str = "strop",
    log: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Train `graph` in float32, SGD with momentum 0.9, on uint8 images [n, C, H, W], int labels [n]; return results.

    Each epoch visits `epoch_order` in consecutive full mini-batches and drops the partial last one. The result has
    "training_loss", the mean in nats of each epoch, "test_error", a share, after the last epoch and never the best, and
    training images a second, by the clock and by this process's processor time (a busy machine moves only the former).
    Raises `InputError` if there is not one full mini-batch.
    """
    steps = len(images) // batch
    if steps < 1 or epochs < 1:
        raise InputError(f"{graph.name}: {len(images)} images, mini-batch {batch}, {epochs} epochs; none makes a step")
    network = FloatNetwork(graph, norm, initial_parameters(graph, seed)).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=lr, momentum=MOMENTUM)
    inputs, targets = torch.tensor(images), torch.tensor(labels, dtype=torch.int64)
    losses: list[float] = []
    wall, cpu = time.perf_counter(), time.process_time()
    for epoch in range(epochs):
        order = torch.from_numpy(epoch_order(len(images), seed, epoch))
        total = torch.zeros((), dtype=torch.float64)
        for step in range(steps):
            rate = learning_rate(lr, epoch * steps + step, epochs * steps, schedule)
            for group in optimizer.param_groups:
                group["lr"] = rate
            chosen = order[step * batch : (step + 1) * batch]
            total += sgd_step(network, optimizer, inputs[chosen], targets[chosen])
        losses.append(float(total) / steps)
        seconds = time.perf_counter() - wall
        where = f"{graph.name} {norm} seed {seed}: epoch {epoch + 1}/{epochs}"
        log(f"{where}, lr {rate:g}, loss {losses[-1]:.4f}, {seconds:.0f} s")
    seen = epochs * steps * batch
    rates = {
        "images_per_second": round(seen / (time.perf_counter() - wall), 1),
        "images_per_cpu_second": round(seen / (time.process_time() - cpu), 1),
    }
    error = evaluate(network, torch.tensor(test_images), torch.tensor(test_labels, dtype=torch.int64))
    return {
        "network": graph.name,
        "graph": graph.digest(),
        "arithmetic": "float32",
        "norm": norm,
        "seed": seed,
        "epochs": epochs,
        "batch": batch,
        "lr": lr,
        "schedule": schedule,
        "momentum": MOMENTUM,
        "training_loss": [round(loss, 6) for loss in losses],
        "test_error": error,
        **rates,
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
    }


def sgd_step(
    network: FloatNetwork, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Take one step on uint8 images [N, C, H, W], int64 labels [N]; return the mean loss in nats before it."""
    optimizer.zero_grad(set_to_none=True)
    loss = functional.cross_entropy(network(images), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.detach()


def load_idx(path: Path) -> NDArray[np.uint8]:
    """Return the uint8 array in an idx file compressed by gzip; raises `DataError` if it is none or is cut short."""
    data = gzip.decompress(path.read_bytes())
    rank = data[3] if data[:3] == b"\0\0\x08" else 0
    shape = np.frombuffer(data, ">u4", rank, 4).astype(int)
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * rank)
    if not rank or values.size != np.prod(shape):
        raise DataError(f"{path}: {len(data)} bytes that are no idx file of uint8; download it again")
    array: NDArray[np.uint8] = values.reshape(shape).copy()
    return array


def load_fashion_mnist(folder: Path, split: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images [n, 1, 28, 28] and labels [n] of `split` "train" or "t10k"."""
    images = load_idx(folder / f"{split}-images-idx3-ubyte.gz")
    return images[:, None], load_idx(folder / f"{split}-labels-idx1-ubyte.gz")


def lenet5() -> NetworkGraph:
    """LeNet-5 with batch norm, on 28x28 images in a black frame of two pixels."""
    block = (L1BN(), ReLU())
    layers = (
        *(Conv2d(6, (5, 5)), *block, MaxPool2d()),
        *(Conv2d(16, (5, 5)), *block, MaxPool2d()),
        *(Flatten(), Linear(120), *block, Linear(84), *block, Linear(10)),
    )
    return NetworkGraph("lenet5", (1, 28, 28), layers, border=2)


def main() -> None:
    """Train once, as the command line says, and append the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="file to which one JSON line is appended")
    parser.add_argument("--norm", choices=("l1", "l2"), required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--schedule", choices=tuple(SCHEDULES), default="strop", help="where the rate falls")
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    result = train_float(
        lenet5(),
        options.norm,
        *load_fashion_mnist(options.data, "train"),
        *load_fashion_mnist(options.data, "t10k"),
        epochs=options.epochs,
        batch=options.batch,
        lr=options.lr,
        seed=options.seed,
        schedule=options.schedule,
        log=lambda line: print(line, flush=True),
    )
    with options.results.open("a") as stream:
        stream.write(json.dumps({"dataset": "fashion-mnist", **result}) + "\n")
    print(f"test error {100 * result['test_error']:.2f} %, {result['images_per_second']:.0f} images/s")


if __name__ == "__main__":
    main()
