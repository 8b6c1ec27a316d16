"""What int8 fine-tuning is measured against: the same checkpoint, mini-batches and learning rates, in float32."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from float_baseline import MOMENTUM, sgd_step
from strop.host.pytorch.float_twin import FloatTwin, Norm, evaluate
from strop.host.pytorch.twin_state import to_l2
from strop.runtime.errors import InputError
from strop.runtime.graph import NetworkGraph


def finetune_float(
    graph: NetworkGraph,
    state: Mapping[str, NDArray[Any]],
    images: NDArray[np.uint8],
    labels: NDArray[Any],
    test_images: NDArray[np.uint8],
    test_labels: NDArray[Any],
    order: Sequence[NDArray[np.integer[Any]]],
    learning_rates: Sequence[float],
    norm: Norm = "l1",
) -> dict[str, Any]:
    """Train on from `state` in float32, SGD with momentum 0.9: step i on `images[order[i]]` with `learning_rates[i]`.

    `state` has the real values of a network trained with L1BN (`real_state`); where it has momenta, SGD goes on with
    them, so leave them out if the int8 run starts from zero. With `norm` "l2" gamma and sigma are carried over by
    Theorem 1 (15, 16). Images are uint8 [n, C, H, W]. Returns "error_before" and "error_after" (shares of the test
    images), "training_loss" (nats, one a step) and "images_per_second". Raises `InputError` where the rates are not as
    many as the steps, or the state does not fit.
    """
    if len(order) != len(learning_rates) or not order:
        counts = f"{len(order)} mini-batches and {len(learning_rates)} learning rates"
        raise InputError(f"{graph.name}: {counts}; give one rate for each mini-batch, and at least one of them")
    state = state if norm == "l1" else to_l2(state)
    network = FloatTwin(graph, norm, state).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=learning_rates[0], momentum=MOMENTUM)
    for name, parameter in network.parameters_by_name().items():
        if f"{name}.momentum" in state:
            momentum = np.asarray(state[f"{name}.momentum"], np.float32).reshape(tuple(parameter.shape))
            optimizer.state[parameter]["momentum_buffer"] = torch.from_numpy(momentum.copy())
    inputs, targets = torch.tensor(images), torch.tensor(labels, dtype=torch.int64)
    held_out = torch.tensor(test_images), torch.tensor(test_labels, dtype=torch.int64)
    before = evaluate(network, *held_out)
    losses: list[float] = []
    start = time.perf_counter()
    for indices, rate in zip(order, learning_rates, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate
        chosen = torch.from_numpy(indices.astype(np.int64))
        losses.append(float(sgd_step(network, optimizer, inputs[chosen], targets[chosen])))
    seconds = time.perf_counter() - start
    return {
        "network": graph.name,
        "graph": graph.digest(),
        "arithmetic": "float32",
        "norm": norm,
        "steps": len(order),
        "error_before": before,
        "error_after": evaluate(network, *held_out),
        "training_loss": losses,
        "images_per_second": sum(len(indices) for indices in order) / seconds,
    }
