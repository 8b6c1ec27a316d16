"""`L1BatchNorm1d` and `L1BatchNorm2d`: `nn.BatchNorm1d` and `nn.BatchNorm2d` with the mean absolute deviation (Eq. 11).

Equation numbers are those of S. Wu et al., "L1-Norm Batch Normalization for Efficient Training of Deep Neural
Networks", IEEE TNNLS 2018.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from strop.host.pytorch.l1_normalize import NARROW, l1_normalize
from strop.runtime.errors import InputError

Compensation = Literal["gamma", "sigma"]
L2_OVER_L1 = math.sqrt(math.pi / 2)  # sigma_L2 / sigma_L1 of a normal distribution (Theorem 1, Eq. 12 and 15)


class _L1BatchNorm(nn.Module):
    """What both have in common; `_dimensions` are those that an input may have."""

    weight: nn.Parameter | None
    bias: nn.Parameter | None
    running_mean: Tensor | None
    running_sigma: Tensor | None
    num_batches_tracked: Tensor | None
    _dimensions: tuple[int, ...]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
        compensation: Compensation | None = None,
        initial_gamma: float = 1.0,
    ) -> None:
        super().__init__()
        if compensation not in (None, "gamma", "sigma"):
            raise InputError(f"compensation is {compensation!r}; allowed: 'gamma', 'sigma', or None for the default")
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.compensation: Compensation = compensation or ("gamma" if affine else "sigma")
        self.initial_gamma = initial_gamma
        kind = {"device": device, "dtype": dtype}
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            self.register_parameter(name, nn.Parameter(torch.empty(num_features, **kind)) if wanted else None)
        tracked = track_running_stats
        self.register_buffer("running_mean", torch.zeros(num_features, **kind) if tracked else None)
        self.register_buffer("running_sigma", torch.ones(num_features, **kind) if tracked else None)
        count = torch.tensor(0, dtype=torch.long, device=device) if tracked else None
        self.register_buffer("num_batches_tracked", count)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget the running statistics: mean 0, sigma 1, no mini-batch seen."""
        if self.running_mean is not None and self.running_sigma is not None and self.num_batches_tracked is not None:
            self.running_mean.zero_()
            self.running_sigma.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Forget everything: the running statistics, gamma `initial_gamma`, beta 0."""
        self.reset_running_stats()
        if self.weight is not None:
            nn.init.constant_(self.weight, self.initial_gamma)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    @property
    def factor(self) -> float:
        """What sigma is multiplied by: sqrt(pi/2) with compensation "sigma", else 1."""
        return L2_OVER_L1 if self.compensation == "sigma" else 1.0

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """Return what inference multiplies by and then adds, each [C] (Algorithm 1), float32 at least.

        Raises `InputError` with track_running_stats=False: such a layer takes each mini-batch's own statistics.
        """
        if self.running_mean is None or self.running_sigma is None:
            raise InputError(
                "this layer keeps no running statistics (track_running_stats=False), so inference has no fixed scale"
            )
        mean, sigma = self.running_mean, self.running_sigma
        if sigma.dtype in NARROW:
            mean, sigma = mean.float(), sigma.float()
        scale = 1 / (sigma * self.factor + self.eps)
        scale = scale if self.weight is None else scale * self.weight
        shift = -mean * scale
        return scale, shift if self.bias is None else shift + self.bias

    def forward(self, input: Tensor) -> Tensor:
        """Return y, of the shape and dtype of `input` [N, C, ...].

        In training, and always with track_running_stats=False, by the mini-batch's statistics; in training these also
        move the running ones. Else one multiply-add with the running statistics.
        """
        self._check(input)
        if not self.training and self.running_mean is not None:
            scale, shift = self.scale_and_shift()
            column = (-1, *(1,) * (input.ndim - 2))
            return torch.addcmul(shift.view(column), input, scale.view(column)).to(input.dtype)
        y, mu, sigma = l1_normalize(input, self.weight, self.bias, self.eps, self.factor)
        if self.training and self.running_mean is not None:
            self._track(mu, sigma)
        return y

    def _track(self, mu: Tensor, sigma: Tensor) -> None:
        """Move the running statistics by a mini-batch's, without gradient: Algorithm 1, alpha = 1 - the rate."""
        mean, deviation, batches = self.running_mean, self.running_sigma, self.num_batches_tracked
        assert mean is not None and deviation is not None and batches is not None
        rate = self._rate(batches.add_(1))
        mean.lerp_(mu.to(mean.dtype), rate)
        deviation.lerp_(sigma.to(deviation.dtype), rate)

    def _rate(self, batches: Tensor) -> float | Tensor:
        """Return the share of mini-batch number `batches` (from 1): `momentum`; without one, all count alike."""
        return self.momentum if self.momentum is not None else (1 / batches).float()

    def _check(self, input: Tensor) -> None:
        if input.ndim not in self._dimensions:
            allowed = " or ".join(f"{count} dimensions" for count in self._dimensions)
            raise InputError(f"{type(self).__name__} got an input of shape {list(input.shape)}; expected {allowed}")
        if input.shape[1] != self.num_features:
            raise InputError(
                f"{type(self).__name__} of {self.num_features} channels got an input of shape {list(input.shape)}, "
                f"which has {input.shape[1]}"
            )
        if input.numel() <= self.num_features and (self.training or self.running_mean is None):
            raise InputError(
                f"{type(self).__name__} needs more than one value a channel for statistics, got an input of shape "
                f"{list(input.shape)}"
            )

    def extra_repr(self) -> str:
        """The arguments, as PyTorch prints them."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}, compensation={self.compensation!r}"
        )


class L1BatchNorm1d(_L1BatchNorm):
    """L1BN over [N, C] or [N, C, L], used as `nn.BatchNorm1d` is, with two arguments more.

    `compensation` says how the factor sqrt(pi/2) between the two deviations is met (Section IV-A): "gamma" takes sigma
    as it is and leaves the factor for gamma to learn; "sigma" multiplies sigma by it, so that the output has the spread
    of L2 batch norm. Default: "gamma" where there is one, and "sigma" with affine=False. `initial_gamma` is what gamma
    starts from; sqrt(2/pi), about 0.8, starts as L2 batch norm would.

    `running_sigma` [C] has the place of `running_var` in the state_dict: the mean absolute deviation itself, under
    either compensation. All other names are the same. float16 and bfloat16 inputs, as under autocast, are normalized in
    float32 and come back in their own type. An input whose number of dimensions or channels does not fit, or that has
    one value a channel in training, raises `InputError` (a ValueError, as PyTorch's is).
    """

    _dimensions = (2, 3)


class L1BatchNorm2d(_L1BatchNorm):
    """L1BN over [N, C, H, W], used as `nn.BatchNorm2d` is; all else is as `L1BatchNorm1d` has it."""

    _dimensions = (4,)
