"""Running statistics of L1BN layers, measured on given inputs, each layer behind layers that have theirs already."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from strop.host.pytorch.l1_batch_norm import L1BatchNorm1d, L1BatchNorm2d
from strop.runtime.errors import InputError

L1BatchNorm = L1BatchNorm1d | L1BatchNorm2d


def mini_batches(inputs: Iterable[Tensor | Sequence[Tensor]]) -> list[Tensor]:
    """Return all of `inputs`, of tuples and lists the first item; raises `InputError` where there are none."""
    batches = [batch[0] if isinstance(batch, (tuple, list)) else batch for batch in inputs]
    if not batches:
        raise InputError("the calibration data are empty: give at least one mini-batch of inputs")
    return batches


@torch.no_grad()
def collect_statistics(model: nn.Module, norms: Sequence[L1BatchNorm], batches: list[Tensor]) -> set[L1BatchNorm]:
    """Set `running_mean` and `running_sigma` of `norms` to what they read of `batches`; return those that were reached.

    The model runs in inference. Layers are done in the order in which they first run, so that each reads what it will
    read; of one that runs several times all that it reads counts. Mean (Eq. 5) and mean absolute deviation (Eq. 11) are
    exact over all mini-batches, float64 sums. Modes of all modules are as before afterwards, also after an error.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        return _in_order(model, norms, batches)
    finally:
        for module, mode in modes.items():
            module.training = mode


def _in_order(model: nn.Module, norms: Sequence[L1BatchNorm], batches: list[Tensor]) -> set[L1BatchNorm]:
    order: list[L1BatchNorm] = []

    def note(norm: L1BatchNorm, _: Tensor) -> None:
        if norm not in order and norm.running_mean is not None:
            order.append(norm)

    for batch in batches:
        _watch(model, norms, note, batch)
    for norm in order:
        assert norm.running_mean is not None and norm.running_sigma is not None
        mean = _mean_of(model, norm, batches, lambda x: x)
        sigma = _mean_of(model, norm, batches, lambda x, mean=mean: (x - mean.view(1, -1, 1)).abs_())
        norm.running_mean.copy_(mean)
        norm.running_sigma.copy_(sigma)
    return set(order)


def _mean_of(model: nn.Module, norm: L1BatchNorm, batches: list[Tensor], value: Callable[..., Tensor]) -> Tensor:
    """Return the mean, float64 [C], of `value` over all that `norm` reads, as float64 [N, C, L]."""
    total, count = torch.zeros((), dtype=torch.float64), 0

    def add(_: L1BatchNorm, x: Tensor) -> None:
        nonlocal total, count
        x = x.double().reshape(x.shape[0], x.shape[1], -1)
        total = total.to(x.device) + value(x).sum((0, 2))
        count += x.shape[0] * x.shape[2]

    for batch in batches:
        _watch(model, [norm], add, batch)
    return total / count


def _watch(
    model: nn.Module, norms: Sequence[L1BatchNorm], see: Callable[[L1BatchNorm, Tensor], None], batch: Any
) -> None:
    """Run the model on one mini-batch; `see` each of `norms` with what it reads."""
    hooks = [norm.register_forward_pre_hook(lambda norm, args: see(norm, args[0])) for norm in norms]
    try:
        model(batch)
    finally:
        for hook in hooks:
            hook.remove()
