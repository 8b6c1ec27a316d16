"""The int8 side of the accuracy benchmark: the emulator, with the first weights and mini-batches of the baselines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from float_baseline import MOMENTUM, learning_rate
from strop.host.models import initial_state
from strop.host.order import epoch_order
from strop.runtime import Hyperparameters, Minibatch, NetworkGraph, Session, StepResult, open_device
from strop.runtime.contract import C


def train_int8(
    graph: NetworkGraph,
    images: NDArray[np.uint8],
    labels: NDArray[np.int32],
    test_images: NDArray[np.uint8],
    test_labels: NDArray[np.int32],
    *,
    epochs: int,
    batch: int = 128,
    lr: float = 0.1,
    seed: int = 0,
    schedule: str = "strop",
    per_channel_weights: bool = True,
    threads: int | None = None,
    log: Callable[[str], None] = print,
    on_epoch: Callable[[Session], None] = lambda session: None,
) -> dict[str, Any]:
    """Train `graph` in int8 from its first state; the same arguments and the same kind of result as `train_float`.

    The training loss is the kernel's own, from logits in units of 1/16 (NUMERICS.md 1.6).
    """
    steps = len(images) // batch
    hyper = Hyperparameters(momentum=MOMENTUM, per_channel_weights=per_channel_weights)
    session = Session(graph, open_device("emulator", threads), batch=batch, hyper=hyper)
    session.load_state(initial_state(graph, seed))

    def minibatches(epoch: int) -> Iterator[Minibatch]:
        order = epoch_order(len(images), seed, epoch)
        for step in range(steps):
            chosen = order[step * batch : (step + 1) * batch]
            rate = learning_rate(lr, epoch * steps + step, epochs * steps, schedule)
            yield Minibatch(images[chosen], labels[chosen], rate)

    losses: list[float] = []
    wall, cpu = time.perf_counter(), time.process_time()
    for epoch in range(epochs):
        total = sum(session.train(minibatches(epoch)), StepResult(0, 0, 0))
        losses.append(total.loss)
        log(f"{graph.name} int8 seed {seed}: epoch {epoch + 1}/{epochs}, loss {total.loss:.4f}")
        on_epoch(session)
    seen = epochs * steps * batch
    rates = {
        "images_per_second": round(seen / (time.perf_counter() - wall), 1),
        "images_per_cpu_second": round(seen / (time.process_time() - cpu), 1),
    }
    result = session.evaluate(test_images, test_labels)
    description = session.device.description
    session.close()
    return {
        "network": graph.name,
        "graph": graph.digest(),
        "arithmetic": "int8" if per_channel_weights else "int8, one weight exponent a layer",
        "norm": "l1",
        "numerics": C.NUMERICS_VERSION,
        "seed": seed,
        "epochs": epochs,
        "batch": batch,
        "lr": lr,
        "schedule": schedule,
        "momentum": MOMENTUM,
        "training_loss": [round(loss, 6) for loss in losses],
        "test_error": 1.0 - result.accuracy,
        **rates,
        "device": description,
    }
