"""What int8 training is measured against: the same network, first weights and mini-batches, trained in float32."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from strop.host.order import epoch_order
from strop.host.pytorch.float_twin import FloatTwin, Norm, evaluate, initial_parameters
from strop.runtime.errors import InputError
from strop.runtime.graph import NetworkGraph

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
    adam: bool = False,
    unit_gamma: bool = False,
    log: Callable[[str], None] = print,
    on_epoch: Callable[[FloatTwin], None] = lambda network: None,
) -> dict[str, Any]:
    """Train `graph` in float32 on uint8 images [n, C, H, W], int labels [n], by SGD with momentum 0.9 or Adam.

    Each epoch visits `epoch_order` in consecutive full mini-batches and drops the partial last one. The result has
    "training_loss", the mean in nats of each epoch, "test_error", a share, after the last epoch and never the best, and
    training images a second, by the clock and by this process's processor time (a busy machine moves only the former).
    With `unit_gamma` every gamma starts from 1, as PyTorch has it, also where int8 training starts from another.
    `on_epoch` sees the network after each epoch, and its time counts. Raises `InputError` if there is not one full
    mini-batch.
    """
    steps = len(images) // batch
    if steps < 1 or epochs < 1:
        raise InputError(f"{graph.name}: {len(images)} images, mini-batch {batch}, {epochs} epochs; none makes a step")
    initial = initial_parameters(graph, seed)
    if unit_gamma:
        initial = {name: np.ones_like(a) if name.endswith(".gamma") else a for name, a in initial.items()}
    network = FloatTwin(graph, norm, initial).train()
    network = network.to(memory_format=torch.channels_last)  # the faster layout: four times for depthwise convolution
    optimizer: torch.optim.Optimizer = (
        torch.optim.Adam(network.parameters(), lr=lr)
        if adam
        else torch.optim.SGD(network.parameters(), lr=lr, momentum=MOMENTUM)
    )
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
        on_epoch(network)
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
        "unit_gamma": unit_gamma,
        "optimizer": "adam" if adam else "sgd",
        "training_loss": [round(loss, 6) for loss in losses],
        "test_error": error,
        **rates,
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
    }


def sgd_step(
    network: FloatTwin, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Take one step on uint8 images [N, C, H, W], int64 labels [N]; return the mean loss in nats before it."""
    optimizer.zero_grad(set_to_none=True)
    loss = functional.cross_entropy(network(images), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.detach()
