"""L1 batch normalization, forward (NUMERICS 1.3 steps 3 to 9, in a stream 1.12) and backward (1.7 steps 1 to 4).

A feature map is an array [K, m], one row a channel; what belongs to a channel is an array [K]. `_q6` marks F = 6
fraction bits on the int8 grid. Equations are those of Wu et al., "L1-Norm Batch Normalization for Efficient Training of
Deep Neural Networks".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from strop.runtime.contract import C
from strop.runtime.reference.arithmetic import Integers, rdiv, rsh, sat32

F = C.STATISTIC_FRACTION
S = C.SCALE_FRACTION


@dataclass(frozen=True)
class Statistics:
    """What the forward pass leaves for the backward pass, each [K]."""

    mu: Integers  # mean, F fraction bits on the int8 grid
    sigma: Integers  # mean absolute deviation, likewise, at least 1
    multiplier: Integers  # M: gamma / sigma, S fraction bits, the output's exponent folded in
    sign_sum: Integers  # SG: sum of sgn(x - mu)


def lowest(activation: int) -> int:
    """Return the lower bound of the output: 0 for ReLU, -127 for no activation."""
    return 0 if activation == C.ACTIVATION_RELU else -127


def mean_and_deviation(x8: Integers) -> tuple[Integers, Integers]:
    """Return mu (Eq. 5) and sigma (Eq. 11) of each channel: steps 3 and 4."""
    mu = mean(x8)
    return mu, deviation(x8, mu)


def mean(x8: Integers) -> Integers:
    """Return mu of each channel (Eq. 5): step 3."""
    return rdiv(x8.sum(axis=1) << F, x8.shape[1])


def deviation(x8: Integers, mu: Integers) -> Integers:
    """Return sigma of each channel (Eq. 11), the mean distance from mu, at least 1: step 4."""
    return np.maximum(1, rdiv(np.abs((x8 << F) - mu[:, None]).sum(axis=1), x8.shape[1]))


def signs(x8: Integers, mu: Integers) -> Integers:
    """Return sgn(x - mu) of each element (Eq. 18)."""
    sign: Integers = np.sign((x8 << F) - mu[:, None])
    return sign


def multiplier(gamma: Integers, sigma: Integers, ey: int) -> Integers:
    """Return M of each channel: step 5."""
    g12 = rsh(gamma, C.PARAMETER_FRACTION - 12)
    result: Integers = np.clip(rdiv(g12 << (F + ey + S - 12), sigma), -(2**17 - 1), 2**17 - 1)
    return result


def constant(beta: Integers, mu: Integers, m: Integers, ey: int) -> Integers:
    """Return C of each channel, the rounding half included: step 6."""
    c = rsh(beta, C.PARAMETER_FRACTION - ey - S) - rsh(mu * m, F) + 2 ** (S - 1)
    result: Integers = np.clip(c, -(2**30), 2**30)
    return result


def normalize(x8: Integers, m: Integers, c: Integers, lo: int) -> Integers:
    """Return y8 [K, m]: normalize, scale, shift, round and activate (Eq. 9, 10), step 7."""
    y8: Integers = np.clip((x8 * m[:, None] + c[:, None]) >> S, lo, 127)
    return y8


def to_running(statistic_q6: Integers, ex: Integers) -> Integers:
    """Return a statistic of the mini-batch in the unit of the running ones, 2^-16 of the real value: step 8."""
    return rsh(statistic_q6, F + ex - C.RUNNING_FRACTION)


def advance_running(running: Integers, batch: Integers, first: bool) -> Integers:
    """Return the running statistic after one more mini-batch (Algorithm 1, alpha = 15/16): step 8."""
    return sat32(batch if first else running + rsh(batch - running, C.RUNNING_SHIFT))


def from_running(running_mu: Integers, running_sigma: Integers, ex: Integers) -> tuple[Integers, Integers]:
    """Return mu and sigma on the int8 grid from the running ones: inference and frozen layers."""
    shift = C.RUNNING_FRACTION - F - ex
    return np.clip(rsh(running_mu, shift), -32767, 32767), np.clip(rsh(running_sigma, shift), 1, 32767)


def in_stream(
    x8: Integers, running_mu: Integers, running_sigma: Integers, ex: Integers, first: bool
) -> tuple[Integers, Integers, Integers, Integers]:
    """Return the running mu and sigma after this mini-batch, then mu' and sigma' that they normalize it by: 1.12."""
    new_mu = advance_running(running_mu, to_running(mean(x8), ex), first)
    mu, _ = from_running(new_mu, running_sigma, ex)
    new_sigma = advance_running(running_sigma, to_running(deviation(x8, mu), ex), first)
    _, sigma = from_running(new_mu, new_sigma, ex)
    return new_mu, new_sigma, mu, sigma


def masked(e8: Integers, y8: Integers, lo: int) -> Integers:
    """Return dy: the error where the activation was neither cut below nor above, 1.7 step 1."""
    return np.where((lo < y8) & (y8 < 127), e8, 0)


def parameter_gradients(dy: Integers, x8: Integers, kept: Statistics) -> tuple[Integers, Integers]:
    """Return dgamma and dbeta of each channel, 1.7 steps 2 and 3."""
    s1 = dy.sum(axis=1)
    s2 = (dy * x8).sum(axis=1)
    t = (s2 << F) - kept.mu * s1
    return sat32(rdiv(t, kept.sigma)), s1


def input_gradient(dy: Integers, x8: Integers, kept: Statistics, dgamma: Integers, dbeta: Integers) -> Integers:
    """Return v [K, m], the gradient before requantization (Eq. 20), 1.7 steps 3 and 4."""
    m = dy.shape[1]
    b = rdiv(dgamma << 8, m)
    a = rdiv(dbeta << 8, m) - rdiv(b * kept.sign_sum, m)
    p = rsh(kept.multiplier * a, 8)
    q = rsh(kept.multiplier * b, 8)
    return scaled(dy, kept) - p[:, None] - signs(x8, kept.mu) * q[:, None]


def scaled(dy: Integers, kept: Statistics) -> Integers:
    """Return v [K, m] where mu and sigma are constants: P = Q = 0."""
    return dy * kept.multiplier[:, None]
