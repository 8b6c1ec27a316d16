"""Both deviations of what each batch norm layer of a trained network reads: the data of the L1BN paper's Figure 3.

Equation numbers are those of S. Wu et al., "L1-Norm Batch Normalization for Efficient Training of Deep Neural
Networks", IEEE TNNLS 2018.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from strop.host.order import epoch_order
from strop.host.pytorch import FloatTwin
from strop.runtime.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Deviations:
    """sigma_L2, the root of (6), and sigma_L1 (11) of one layer's input, float64 [C]: means over mini-batches."""

    layer: str
    l2: Floats
    l1: Floats

    @property
    def ratio(self) -> Floats:
        """sigma_L2 / sigma_L1 [C]; NaN for a channel that never moves."""
        return np.divide(self.l2, self.l1, out=np.full_like(self.l1, np.nan), where=self.l1 > 0)


def measure_deviations(
    network: FloatTwin, images: NDArray[np.uint8], *, batches: int = 100, batch: int = 128, seed: int = 0
) -> tuple[Deviations, ...]:
    """Return both deviations by layer, in the order of the graph, over mini-batches of uint8 images [n, C, H, W].

    Nothing of the network changes: it runs in inference, on mini-batches of orders that no training with `seed` has had
    (epochs are counted on from 10^6). Raises `InputError` if there is not one full mini-batch.
    """
    if len(images) < batch:
        raise InputError(f"{len(images)} images; at least a mini-batch of {batch} is needed")
    norms = network.norms()
    sums = {name: np.zeros((2, norm.num_features)) for name, norm in norms.items()}

    def watch(name: str) -> object:
        def see(_: nn.Module, read: tuple[Tensor, ...]) -> None:
            x = read[0].transpose(0, 1).flatten(1)
            centered = x - x.mean(1, keepdim=True)
            sums[name][0] += centered.square().mean(1).sqrt().numpy()
            sums[name][1] += centered.abs().mean(1).numpy()

        return norms[name].register_forward_pre_hook(see)

    hooks = [watch(name) for name in norms]
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            for chosen in _mini_batches(len(images), batches, batch, seed):
                network(torch.from_numpy(images[chosen]))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return tuple(Deviations(name, total[0] / batches, total[1] / batches) for name, total in sums.items())


def _mini_batches(count: int, batches: int, batch: int, seed: int) -> list[NDArray[np.int64]]:
    per_epoch = count // batch
    epochs = [epoch_order(count, seed, 10**6 + epoch) for epoch in range(-(-batches // per_epoch))]
    found = [order[i * batch : (i + 1) * batch] for order in epochs for i in range(per_epoch)]
    return found[:batches]


def summary(layers: tuple[Deviations, ...]) -> dict[str, float]:
    """Return of the ratio over all channels: mean, standard deviation, 5 %, 50 % and 95 % quantile; dead channels."""
    ratios = np.concatenate([layer.ratio for layer in layers])
    alive = ratios[np.isfinite(ratios)]
    low, median, high = np.quantile(alive, [0.05, 0.5, 0.95])
    found = {"mean": alive.mean(), "std": alive.std(), "q05": low, "median": median, "q95": high}
    return {
        "channels": len(ratios),
        "dead": int(len(ratios) - len(alive)),
        **{k: round(float(v), 4) for k, v in found.items()},
    }
