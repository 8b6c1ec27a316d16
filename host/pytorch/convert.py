"""From L2 to L1 batch normalization: every `nn.BatchNorm1d` and `nn.BatchNorm2d` of a model, parameters included."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from strop.host.pytorch.l1_batch_norm import L2_OVER_L1, L1BatchNorm1d, L1BatchNorm2d
from strop.host.pytorch.l1_statistics import collect_statistics, mini_batches
from strop.runtime.errors import InputError

L1BatchNorm = L1BatchNorm1d | L1BatchNorm2d
_CONVERTED: dict[type[nn.Module], type[L1BatchNorm]] = {nn.BatchNorm1d: L1BatchNorm1d, nn.BatchNorm2d: L1BatchNorm2d}


@dataclass(frozen=True)
class ConvertedLayer:
    """What became of one layer; `statistics` are "estimated" from the variance, "measured", or "none" if not kept."""

    name: str
    kind: str
    channels: int
    gamma: str
    statistics: str


@dataclass(frozen=True)
class Conversion:
    """The converted model, and what was done, layer by layer; `print` it."""

    model: nn.Module
    layers: tuple[ConvertedLayer, ...]

    def __str__(self) -> str:
        lines = [f"{len(self.layers)} batch norm layers became L1BN:"]
        lines += [
            f"  {layer.name or 'the model itself'}: {layer.kind}, {layer.channels} channels, {layer.gamma}, "
            f"running statistics {layer.statistics}"
            for layer in self.layers
        ]
        return "\n".join(lines)


def convert_l1bn(
    model: nn.Module, calibration: Iterable[Tensor | tuple[Tensor, ...]] | None = None, *, in_place: bool = False
) -> Conversion:
    """Return `model` with L1BN for every BatchNorm1d and BatchNorm2d: a copy, or `model` itself with `in_place`.

    gamma becomes gamma / sqrt(pi/2) (Eq. 16), so the layer has compensation "gamma"; without gamma it has "sigma". The
    running sigma starts from Theorem 1, sqrt(running_var + eps) / sqrt(pi/2), less L1BN's own eps: so estimated, the
    model answers in inference as it did before. Where values are not normally distributed that is not their mean
    absolute deviation, which is what training on would use. `calibration`, inputs as the model takes them (of a tuple
    or list the first, as data loaders give them), measures it: layer by layer, in the order in which they run, mean and
    deviation over all inputs, with the layers before on theirs already. They are kept while it lasts, and each layer
    takes two passes. A layer that they do not reach stays estimated. Make optimizers afterwards: gammas are new.

    Raises `InputError`, before anything is changed, for a model without batch norm and for one with layers that cannot
    be converted: BatchNorm3d, SyncBatchNorm, lazy ones, and classes derived from these; also where the calibration
    data hold no mini-batch.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model is of type {type(model).__name__}; expected a torch.nn.Module")
    _check(model)
    batches = None if calibration is None else mini_batches(calibration)
    model = model if in_place else copy.deepcopy(model)
    made: dict[nn.Module, L1BatchNorm] = {}
    listed: list[tuple[str, L1BatchNorm]] = []
    for name, module in tuple(model.named_modules(remove_duplicate=False)):
        if type(module) in _CONVERTED:
            if module not in made:
                made[module] = _converted(module)
                listed.append((name, made[module]))
            model = _put(model, name, made[module])
    measured = set() if batches is None else collect_statistics(model, [norm for _, norm in listed], batches)
    return Conversion(model, tuple(_describe(name, norm, norm in measured) for name, norm in listed))


def _check(model: nn.Module) -> None:
    kinds = {name: type(module) for name, module in model.named_modules()}
    refused = [
        f"{name or 'the model itself'} ({kind.__name__})"
        for name, kind in kinds.items()
        if issubclass(kind, nn.modules.batchnorm._BatchNorm) and kind not in _CONVERTED
    ]
    if refused:
        raise InputError(
            f"these layers cannot become L1BN: {', '.join(refused)}; convertible are BatchNorm1d and BatchNorm2d "
            "themselves: replace the others first, or convert the part of the model without them"
        )
    if not any(kind in _CONVERTED for kind in kinds.values()):
        raise InputError(f"the model ({type(model).__name__}) has no BatchNorm1d or BatchNorm2d: nothing to convert")


@torch.no_grad()
def _converted(norm: nn.Module) -> L1BatchNorm:
    assert isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d))
    tensor = norm.weight if norm.weight is not None else norm.running_mean
    kind = {} if tensor is None else {"device": tensor.device, "dtype": tensor.dtype}
    made: Any = _CONVERTED[type(norm)](
        *(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats), **kind
    )
    if norm.affine:
        made.weight.copy_(norm.weight / L2_OVER_L1)
        made.weight.requires_grad_(norm.weight.requires_grad)
        made.bias = norm.bias
    if norm.running_mean is not None and norm.running_var is not None:
        made.running_mean.copy_(norm.running_mean)
        deviation = torch.sqrt(norm.running_var + norm.eps)
        # so that factor * sigma + eps is the deviation times sqrt(2/pi) with "gamma", and the deviation with "sigma"
        made.running_sigma.copy_((deviation * made.factor / L2_OVER_L1 - norm.eps) / made.factor)
        made.num_batches_tracked.copy_(norm.num_batches_tracked)
    made.train(norm.training)
    return cast(L1BatchNorm, made)


def _put(model: nn.Module, name: str, norm: nn.Module) -> nn.Module:
    """Put `norm` where `name` is; return the model, which is `norm` itself for the empty name."""
    if not name:
        return norm
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, norm)
    return model


def _describe(name: str, norm: L1BatchNorm, measured: bool) -> ConvertedLayer:
    gamma = "gamma / sqrt(pi/2)" if norm.affine else "no gamma, sigma * sqrt(pi/2)"
    statistics = "none" if norm.running_mean is None else "measured" if measured else "estimated"
    return ConvertedLayer(name, type(norm).__name__, norm.num_features, gamma, statistics)
