"""The float32 twin, in PyTorch, of a `NetworkGraph`: with L1 batch norm as int8 training has it, the usual L2, or none.

Equation numbers are those of S. Wu et al., "L1-Norm Batch Normalization for Efficient Training of Deep Neural
Networks", IEEE TNNLS 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from strop.host.models import SUMMAND_GAMMA, norms_of_summands
from strop.host.order import uniform
from strop.host.pytorch.l1_batch_norm import L1BatchNorm2d
from strop.host.pytorch.twin_layers import Norm, module_of
from strop.runtime.cut import cut
from strop.runtime.errors import InputError
from strop.runtime.graph import IMAGES, NetworkGraph
from strop.runtime.layers import L1BN, NORMS, Linear
from strop.runtime.node import Node

_BLACK = -127  # a border's int8 value
_NORMALIZING = (L1BatchNorm2d, nn.BatchNorm2d)


class FloatTwin(nn.Module):
    """`graph` in float32, its L1BN layers as L1BN (`norm` "l1"), as usual batch norm ("l2"), or as bias ("none").

    `initial` maps "conv1.weight" [K, C/groups, R, S], "bn1.gamma" [K], "bn1.beta" [K], "fc3.bias" [K] and so on to real
    values, and, where there are any, "bn1.running_mu" [K] and "bn1.running_sigma" [K]; sigma is the deviation of the
    network's own norm, (11) or the square root of (6). Other names are ignored. Raises `InputError` for a missing
    parameter or another shape.
    """

    def __init__(self, graph: NetworkGraph, norm: Norm, initial: Mapping[str, NDArray[Any]]) -> None:
        super().__init__()
        if norm not in ("l1", "l2", "none"):
            raise InputError(f"{graph.name}: norm {norm!r} is unknown; allowed: 'l1', 'l2', 'none'")
        self.graph, self.norm = graph, norm
        self._last_reader = {source: node for node in graph.nodes for source in node.sources}
        self.layers = nn.ModuleDict({node.name: module_of(node, norm, node is graph.nodes[-1]) for node in graph.nodes})
        with torch.no_grad():
            for name, parameter in self.parameters_by_name().items():
                parameter.copy_(_real(graph, initial, name, parameter))
            for name, module in self.norms().items():
                if f"{name}.running_sigma" in initial:
                    self._load_statistics(name, module, initial)

    def norms(self) -> dict[str, nn.Module]:
        """Return by name the layers that normalize, `L1BatchNorm2d` or `nn.BatchNorm2d`; none with norm "none"."""
        return {name: module for name, module in self.layers.items() if isinstance(module, _NORMALIZING)}

    def parameters_by_name(self) -> dict[str, nn.Parameter]:
        """Return the trained parameters under the names that strop gives them."""
        named: dict[str, nn.Parameter] = {}
        for node in self.graph.nodes:
            renamed = {"weight": "gamma", "bias": "beta"} if isinstance(node.layer, NORMS) else {}
            for field, parameter in self.layers[node.name].named_parameters():
                named[f"{node.name}.{renamed.get(field, field)}"] = parameter
        return named

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, float32 [N, classes], of uint8 images [N, C, H, W]."""
        return self._run(self.graph.nodes, IMAGES, self._read(images)).flatten(1)

    def front(self, images: Tensor, after: str) -> Tensor:
        """Return the feature maps, float32 [N, C, H, W], that layer `after` gives of uint8 images [N, C, H, W].

        Raises `InputError` for a layer behind which the graph cannot be cut (runtime/cut.py).
        """
        return self._run(self._cut(after)[0], IMAGES, self._read(images))

    def rear(self, maps: Tensor, after: str) -> Tensor:
        """Return the logits, float32 [N, classes], of what `front` gave; raises `InputError` as it does."""
        return self._run(self._cut(after)[1], after, maps).flatten(1)

    def _cut(self, after: str) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
        behind = cut(self.graph, after).rear
        position = len(self.graph.nodes) - len(behind.nodes)
        return self.graph.nodes[:position], self.graph.nodes[position:]

    def _read(self, images: Tensor) -> Tensor:
        step = 2.0**-self.graph.input_exponent
        x = (images.to(torch.float32) - 128).clamp_(min=_BLACK) * step
        return functional.pad(x, (self.graph.border,) * 4, value=_BLACK * step) if self.graph.border else x

    def _run(self, nodes: tuple[Node, ...], source: str, x: Tensor) -> Tensor:
        """Run `nodes`, which follow each other in the graph; the first reads `x`, what `source` gives."""
        count, outputs = len(x), {source: x}
        for node in nodes:
            read = [outputs[source] for source in node.sources]
            for source in node.sources:
                if self._last_reader[source] is node:
                    del outputs[source]
            if isinstance(node.layer, Linear):
                read = [tensor.flatten(1) for tensor in read]
            x = self.layers[node.name](*read).reshape(count, *node.output)
            outputs[node.name] = x
        return x

    def _load_statistics(self, name: str, module: nn.Module, initial: Mapping[str, NDArray[Any]]) -> None:
        mean = torch.as_tensor(module.running_mean)
        mean.copy_(_real(self.graph, initial, f"{name}.running_mu", mean))
        sigma = _real(self.graph, initial, f"{name}.running_sigma", mean)
        kept = {"running_sigma": sigma} if isinstance(module, L1BatchNorm2d) else {"running_var": sigma.square()}
        for buffer, values in kept.items():
            module.get_buffer(buffer).copy_(values)
        module.num_batches_tracked.fill_(1)


def float_twin(
    graph: NetworkGraph, norm: Norm = "l1", initial: Mapping[str, NDArray[Any]] | None = None, *, seed: int = 0
) -> FloatTwin:
    """Return the twin of `graph`, in training mode; without `initial` it starts as an int8 run with `seed` does.

    `initial`, `norm` and errors as `FloatTwin` has them. A state of strop's becomes an `initial` by `real_state`, and
    the twin a state by `state_from_twin` (twin_state.py).
    """
    return FloatTwin(graph, norm, initial_parameters(graph, seed) if initial is None else initial)


def initial_parameters(graph: NetworkGraph, seed: int) -> dict[str, NDArray[np.float64]]:
    """Return what a run with `seed` starts from: weights and bias uniform within 1/sqrt(fan-in), gamma 1, beta 0.

    Where a `Residual` adds a norm's output gamma is `SUMMAND_GAMMA` (strop.host.models).
    """
    summands = norms_of_summands(graph)
    initial: dict[str, NDArray[np.float64]] = {}
    for index, node in enumerate(graph.weighted):
        shape = node.weight_shape
        bound = float(np.prod(shape[1:])) ** -0.5
        initial[f"{node.name}.weight"] = uniform(shape, bound, seed, 2 * index)
        if node is graph.nodes[-1]:
            initial[f"{node.name}.bias"] = uniform(shape[:1], bound, seed, 2 * index + 1)
    for node in graph.nodes:
        if isinstance(node.layer, L1BN):
            initial[f"{node.name}.gamma"] = np.full(node.output[0], SUMMAND_GAMMA if node.name in summands else 1.0)
        if isinstance(node.layer, NORMS):
            initial[f"{node.name}.beta"] = np.zeros(node.output[0])
    return initial


def evaluate(network: FloatTwin, images: Tensor, labels: Tensor, batch: int = 1000) -> float:
    """Return the share of uint8 `images` [n, C, H, W] that inference does not give their class in int `labels` [n]."""
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        wrong = sum(
            int((network(images[i : i + batch]).argmax(1) != labels[i : i + batch]).sum())
            for i in range(0, len(images), batch)
        )
    network.train(was_training)
    return wrong / len(images)


def _real(graph: NetworkGraph, initial: Mapping[str, NDArray[Any]], name: str, target: Tensor) -> Tensor:
    if name not in initial:
        raise InputError(f"{graph.name}: the initial state lacks {name}; it has {', '.join(sorted(initial))}")
    array = np.asarray(initial[name], np.float32)
    wanted = tuple(target.shape)
    # A Linear layer's weight is [K, C, 1, 1] in strop and [K, C] in PyTorch.
    if array.shape not in (wanted, (*wanted, 1, 1)):
        raise InputError(f"{graph.name}: {name} has shape {array.shape}; needed: {wanted}")
    return torch.from_numpy(array.reshape(wanted).copy())
