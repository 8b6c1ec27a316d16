"""L1 batch normalization of one mini-batch as an autograd function: forward by Eq. 5 and 9 to 11, backward by 17 to 20.

Equation numbers are those of S. Wu et al., "L1-Norm Batch Normalization for Efficient Training of Deep Neural
Networks", IEEE TNNLS 2018. The work is bound by memory, so both directions are arranged for few passes over the
mini-batch: the forward one makes a single new tensor, first the deviations and then y, and x is all that is kept.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

NARROW = (torch.float16, torch.bfloat16)  # too short to sum in: statistics of these are float32


def l1_normalize(
    x: Tensor, gamma: Tensor | None, beta: Tensor | None, epsilon: float, factor: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Return y like x [N, C, ...], and the mini-batch's mu (5) and sigma (11), each [C].

    y = gamma * (x - mu) / (factor * sigma + epsilon) + beta, where gamma [C] and beta [C] may be None: 1 and 0. Only y
    has a gradient; it can be differentiated twice. float16 and bfloat16 are computed in float32, mu and sigma stay so.
    """
    y, mu, sigma = _L1Normalize.apply(x, gamma, beta, epsilon, factor)  # type: ignore[no-untyped-call, unused-ignore]
    return y, mu.flatten(), sigma.flatten()


class _L1Normalize(torch.autograd.Function):
    """`l1_normalize`; mu and sigma are [1, C, 1, ...]."""

    # With a setup_context of its own, as torch.func wants it, each call would take a tenth of a millisecond longer.
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gamma: Tensor | None, beta: Tensor | None, epsilon: float, factor: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        wide = _wide(x)
        axes = _all_but_channel(x)
        mu = wide.mean(axes, keepdim=True)
        deviations = (wide - mu).abs_()
        sigma = deviations.mean(axes, keepdim=True)
        scale = _scale(gamma, _inverse(sigma, epsilon, factor))
        shift = -mu * scale if beta is None else torch.addcmul(_column(beta, mu), mu, scale, value=-1)
        y = torch.addcmul(shift, wide, scale, out=deviations)  # into memory that is there already
        ctx.epsilon, ctx.factor, ctx.beta_dtype = epsilon, factor, None if beta is None else beta.dtype
        ctx.mark_non_differentiable(mu, sigma)
        ctx.save_for_backward(x, gamma, mu, sigma)
        return y.to(x.dtype), mu, sigma

    @staticmethod
    def backward(
        ctx: Any, grad_y: Tensor, *_: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        x, gamma, mu, sigma = ctx.saved_tensors
        wide, grad = _wide(x), _wide(grad_y)
        if torch.is_grad_enabled():  # someone differentiates the gradient: it must show how it depends on x
            grad_x, grad_gamma, grad_beta = _differentiable_gradients(wide, gamma, grad, ctx.epsilon, ctx.factor)
        else:
            inverse = _inverse(sigma, ctx.epsilon, ctx.factor)
            grad_gamma, grad_beta = _parameter_gradients(wide, grad, mu, inverse)
            grad_x = None
            if ctx.needs_input_grad[0]:
                grad_x = _input_gradient(wide, grad, mu, _scale(gamma, inverse), grad_gamma, grad_beta, ctx.factor)
        return (
            None if grad_x is None else grad_x.to(x.dtype),
            None if gamma is None else grad_gamma.flatten().to(gamma.dtype),
            None if ctx.beta_dtype is None else grad_beta.flatten().to(ctx.beta_dtype),
            None,
            None,
        )


def _parameter_gradients(x: Tensor, grad_y: Tensor, mu: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
    """Return sum dy * xhat and sum dy, each [1, C, 1, ...].

    PyTorch's own batch norm has these two sums in one pass over both tensors, for any mu and 1 / sigma. Elsewhere than
    on the processor they are plain sums, which torch.compile fuses.
    """
    if x.device.type == "cpu":
        _, grad_gamma, grad_beta = torch.ops.aten.native_batch_norm_backward(
            *(grad_y, x, None, None, None, mu.flatten(), inverse.flatten(), True, 0.0, [False, True, True])
        )
        return grad_gamma.view_as(mu), grad_beta.view_as(mu)
    axes = _all_but_channel(x)
    return (grad_y * (x - mu)).sum(axes, keepdim=True) * inverse, grad_y.sum(axes, keepdim=True)


def _input_gradient(
    x: Tensor, grad_y: Tensor, mu: Tensor, scale: Tensor, grad_gamma: Tensor, grad_beta: Tensor, factor: float
) -> Tensor:
    """Return dL/dx = level + slope * sgn(x - mu) + scale * dL/dy: Eq. 17 with its braces resolved.

    `scale` is gamma / sigma. In these terms mean(g) / sigma is scale * grad_beta / m, and mean(g * xhat) / sigma is
    scale * grad_gamma / m.
    """
    values = x.numel() // x.shape[1]
    sign = (x - mu).sign_()
    slope = scale * grad_gamma * (-factor / values)
    mean_sign = sign.mean(_all_but_channel(x), keepdim=True)
    level = torch.addcmul(scale * grad_beta * (-1 / values), slope, mean_sign, value=-1)
    grad_x = torch.addcmul(level, sign, slope, out=sign)
    return grad_x.addcmul_(grad_y, scale)


def _differentiable_gradients(
    x: Tensor, gamma: Tensor | None, grad_y: Tensor, epsilon: float, factor: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return dL/dx (17), sum dy * xhat and sum dy as functions of x, gamma and grad_y that autograd can follow."""
    axes = _all_but_channel(x)
    centered = x - x.mean(axes, keepdim=True)
    inverse = _inverse(centered.abs().mean(axes, keepdim=True), epsilon, factor)
    normalized = centered * inverse
    g = grad_y if gamma is None else grad_y * _column(gamma, inverse)
    sign = centered.sign()
    slope = (g * normalized).mean(axes, keepdim=True) * factor
    grad_x = inverse * (g - g.mean(axes, keepdim=True) - slope * (sign - sign.mean(axes, keepdim=True)))
    return grad_x, (grad_y * normalized).sum(axes), grad_y.sum(axes)


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.float32) if x.dtype in NARROW else x


def _all_but_channel(x: Tensor) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def _column(values: Tensor, like: Tensor) -> Tensor:
    """[C] as [1, C, 1, ...], in the type of the statistics `like`."""
    return values.to(like.dtype).view_as(like)


def _inverse(sigma: Tensor, epsilon: float, factor: float) -> Tensor:
    """1 / (factor * sigma + epsilon), the divisor of Eq. 10."""
    return torch.add(epsilon, sigma, alpha=factor).reciprocal()


def _scale(gamma: Tensor | None, inverse: Tensor) -> Tensor:
    return inverse if gamma is None else _column(gamma, inverse) * inverse
