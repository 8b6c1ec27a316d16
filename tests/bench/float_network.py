"""The float32 twin, in PyTorch, of a `NetworkGraph`: with L1 batch norm as int8 training has it, the usual L2, or none.

Equation numbers are those of S. Wu et al., "L1-Norm Batch Normalization for Efficient Training of Deep Neural
Networks", IEEE TNNLS 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from strop.host.order import uniform
from strop.runtime.cut import cut
from strop.runtime.errors import InputError
from strop.runtime.graph import (
    IMAGES,
    Conv2d,
    Flatten,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool2d,
    NetworkGraph,
    Node,
    ReLU,
    Residual,
)

Norm = Literal["l1", "l2", "none"]
EPSILON = 1e-5
RUNNING_RATE = 1 / 16  # 1 - alpha of Algorithm 1, with the alpha of int8 training
BLACK = -127 / 128
_ALL_BUT_CHANNEL = (0, 2, 3)


class _L1Normalize(torch.autograd.Function):
    """x [N, C, H, W], gamma, beta, epsilon -> y (9 to 11), mu (5), sigma (11); only y has a gradient (17 to 20)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
        mu = x.mean(_ALL_BUT_CHANNEL, keepdim=True)
        centered = x - mu
        sigma = centered.abs().mean(_ALL_BUT_CHANNEL, keepdim=True)
        inverse = 1 / (sigma + epsilon)
        y = torch.addcmul(beta.view_as(mu), centered, gamma.view_as(mu) * inverse)
        ctx.save_for_backward(centered, inverse, gamma)
        mu, sigma = mu.flatten(), sigma.flatten()
        ctx.mark_non_differentiable(mu, sigma)
        return y, mu, sigma

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        centered, inverse, gamma = ctx.saved_tensors
        values = centered.numel() // centered.shape[1]
        sign = centered.sign()
        grad_beta = grad_y.sum(_ALL_BUT_CHANNEL, keepdim=True)
        grad_gamma = (grad_y * centered).sum(_ALL_BUT_CHANNEL, keepdim=True) * inverse
        # Eq. 17 with gamma out of its braces: mean(g) = gamma * grad_beta / m, mean(g * xhat) = gamma * grad_gamma / m.
        slope = grad_gamma / values
        level = grad_beta / values - slope * sign.mean(_ALL_BUT_CHANNEL, keepdim=True)
        grad_x = (grad_y - level - slope * sign) * (gamma.view_as(inverse) * inverse)
        return grad_x, grad_gamma.flatten(), grad_beta.flatten(), None


class L1BatchNorm2d(nn.Module):
    """L1BN over [N, C, H, W], used as `nn.BatchNorm2d` is; `running_sigma` is the mean absolute deviation (11).

    The first training step sets the running statistics, later ones move them by `momentum`, 1 - alpha of Algorithm 1.
    """

    running_mean: Tensor
    running_sigma: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int, eps: float = EPSILON, momentum: float = RUNNING_RATE) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_sigma", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        """Return y [N, C, H, W]; in training from the mini-batch's statistics, which also move the running ones."""
        if not self.training:
            scale = self.weight / (self.running_sigma + self.eps)
            shift = self.bias - self.running_mean * scale
            return x * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)
        y, mu, sigma = _L1Normalize.apply(x, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        rate = self.momentum if self.num_batches_tracked else 1.0
        self.running_mean.lerp_(mu, rate)
        self.running_sigma.lerp_(sigma, rate)
        self.num_batches_tracked += 1
        return torch.as_tensor(y)


class _Bias(nn.Module):
    """What is left of batch norm without norm: a bias for each channel of x [N, C, H, W], called beta as there."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias.view(-1, 1, 1)


class FloatNetwork(nn.Module):
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
        self.layers = nn.ModuleDict(
            {node.name: _module(node.layer, node.input[0], norm, node is graph.nodes[-1]) for node in graph.nodes}
        )
        with torch.no_grad():
            for name, parameter in self.parameters_by_name().items():
                parameter.copy_(_real(graph, initial, name, parameter))
            for name, module in self.layers.items():
                if isinstance(module, (L1BatchNorm2d, nn.BatchNorm2d)) and f"{name}.running_sigma" in initial:
                    self._load_statistics(name, module, initial)

    def _load_statistics(
        self, name: str, module: L1BatchNorm2d | nn.BatchNorm2d, initial: Mapping[str, NDArray[Any]]
    ) -> None:
        mean = torch.as_tensor(module.running_mean)
        mean.copy_(_real(self.graph, initial, f"{name}.running_mu", mean))
        sigma = _real(self.graph, initial, f"{name}.running_sigma", mean)
        if isinstance(module, L1BatchNorm2d):
            module.running_sigma.copy_(sigma)
            module.num_batches_tracked.fill_(1)
        else:
            torch.as_tensor(module.running_var).copy_(sigma.square())

    def parameters_by_name(self) -> dict[str, nn.Parameter]:
        """Return the trained parameters under the names that strop gives them."""
        named: dict[str, nn.Parameter] = {}
        for name, module in self.layers.items():
            normalizes = isinstance(module, (L1BatchNorm2d, nn.BatchNorm2d, _Bias))
            for field, parameter in module.named_parameters():
                named[f"{name}.{({'weight': 'gamma', 'bias': 'beta'}[field]) if normalizes else field}"] = parameter
        return named

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, float32 [N, classes], of uint8 images [N, C, H, W]."""
        return self._run(self.graph.nodes, IMAGES, self._read(images))

    def front(self, images: Tensor, after: str) -> Tensor:
        """Return the feature maps, float32 [N, C, H, W], that layer `after` gives of uint8 images [N, C, H, W].

        Raises `InputError` for a layer behind which the graph cannot be cut (runtime/cut.py).
        """
        return self._run(self._cut(after)[0], IMAGES, self._read(images))

    def rear(self, maps: Tensor, after: str) -> Tensor:
        """Return the logits, float32 [N, classes], of what `front` gave; raises `InputError` as it does."""
        return self._run(self._cut(after)[1], after, maps)

    def _cut(self, after: str) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
        behind = cut(self.graph, after).rear
        position = len(self.graph.nodes) - len(behind.nodes)
        return self.graph.nodes[:position], self.graph.nodes[position:]

    def _read(self, images: Tensor) -> Tensor:
        x = (images.to(torch.float32) - 128).clamp_(min=-127) / 128
        return functional.pad(x, (self.graph.border,) * 4, value=BLACK) if self.graph.border else x

    def _run(self, nodes: tuple[Node, ...], source: str, x: Tensor) -> Tensor:
        """Run `nodes`, which follow each other in the graph; the first reads `x`, what `source` gives."""
        count, outputs = len(x), {source: x}
        for node in nodes:
            read = [outputs[source] for source in node.sources]
            for source in node.sources:
                if self._last_reader[source] is node:
                    del outputs[source]
            shape = (-1,) if isinstance(node.layer, Linear) else node.input
            x = self.layers[node.name](*(tensor.reshape(count, *shape) for tensor in read))
            outputs[node.name] = x
        return x


class _Addition(nn.Module):
    """Where the branches of a `Residual` meet."""

    def forward(self, body: Tensor, shortcut: Tensor) -> Tensor:
        return body + shortcut


def initial_parameters(graph: NetworkGraph, seed: int) -> dict[str, NDArray[np.float64]]:
    """Return what a run with `seed` starts from: weights and bias uniform within 1/sqrt(fan-in), gamma 1, beta 0."""
    initial: dict[str, NDArray[np.float64]] = {}
    for index, node in enumerate(graph.weighted):
        shape = node.weight_shape
        bound = float(np.prod(shape[1:])) ** -0.5
        initial[f"{node.name}.weight"] = uniform(shape, bound, seed, 2 * index)
        if node is graph.nodes[-1]:
            initial[f"{node.name}.bias"] = uniform(shape[:1], bound, seed, 2 * index + 1)
    for node in graph.nodes:
        if node.layer.kind == "l1bn":
            initial[f"{node.name}.gamma"] = np.ones(node.output[0])
            initial[f"{node.name}.beta"] = np.zeros(node.output[0])
    return initial


def evaluate(network: FloatNetwork, images: Tensor, labels: Tensor, batch: int = 1000) -> float:
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


def _module(layer: Layer, channels: int, norm: Norm, last: bool) -> nn.Module:
    if isinstance(layer, Conv2d):
        return nn.Conv2d(
            channels, layer.channels, layer.kernel, layer.stride, layer.padding, groups=layer.groups, bias=False
        )
    if isinstance(layer, Linear):
        return nn.Linear(channels, layer.features, bias=last)
    if isinstance(layer, MaxPool2d):
        return nn.MaxPool2d(layer.kernel, layer.stride, layer.padding)
    if isinstance(layer, GlobalAveragePool):
        return nn.AdaptiveAvgPool2d(1)
    if isinstance(layer, Flatten):
        return nn.Flatten()
    if isinstance(layer, ReLU):
        return nn.ReLU()
    if isinstance(layer, Residual):
        return _Addition()
    if norm == "none":
        return _Bias(channels)
    return L1BatchNorm2d(channels) if norm == "l1" else nn.BatchNorm2d(channels, EPSILON, RUNNING_RATE)


def _real(graph: NetworkGraph, initial: Mapping[str, NDArray[Any]], name: str, target: Tensor) -> Tensor:
    if name not in initial:
        raise InputError(f"{graph.name}: the initial state lacks {name}; it has {', '.join(sorted(initial))}")
    array = np.asarray(initial[name], np.float32)
    wanted = tuple(target.shape)
    # A Linear layer's weight is [K, C, 1, 1] in strop and [K, C] in PyTorch.
    if array.shape not in (wanted, (*wanted, 1, 1)):
        raise InputError(f"{graph.name}: {name} has shape {array.shape}; needed: {wanted}")
    return torch.from_numpy(array.reshape(wanted).copy())
