"""One function an opcode: fields of the command to arrays, the arithmetic, and back. No arithmetic here.

Each takes the arena, the command with its fields as Python integers, and the offset of the step's slot. Whatever can
stop a command is checked before it writes.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.runtime.contract import C
from strop.runtime.reference import convolution, l1bn, loss, pooling, sgd
from strop.runtime.reference.arena import Arena, wide
from strop.runtime.reference.arithmetic import Integers, Site, advance_dither, control, dither, dsh, rsh, sat, sat32
from strop.runtime.reference.windows import Geometry

Command = SimpleNamespace


class Stop(Exception):
    """The command cannot run: the status and the detail to report."""

    def __init__(self, status: int, detail: int = 0) -> None:
        super().__init__(status, detail)
        self.status, self.detail = status, detail


# ---- what commands have in common ------------------------------------------------------------------------------------


def _source(c: Command, slot: int) -> int:
    return int(c.source) + (slot if c.flags & C.FLAG_SOURCE_IN_SLOT else 0)


def _source_exponents(arena: Arena, c: Command, slot: int, count: int) -> Integers:
    return wide(arena.words(c.source_exponent + (slot if c.flags & C.FLAG_SOURCE_IN_SLOT else 0), count))


def _source_exponent(arena: Arena, c: Command, slot: int) -> int:
    return int(_source_exponents(arena, c, slot, 1)[0])


def _target(c: Command, slot: int) -> int:
    return int(c.target) + (slot if c.flags & C.FLAG_TARGET_IN_SLOT else 0)


def _write_target_exponent(arena: Arena, c: Command, slot: int, exponents: NDArray[Any] | list[int]) -> None:
    offset = c.target_exponent + (slot if c.flags & C.FLAG_TARGET_IN_SLOT else 0)
    arena.words(offset, len(exponents))[:] = exponents


def _map_in(arena: Arena, c: Command, offset: int, plane: int) -> NDArray[np.int8]:
    return arena.feature_map(offset, plane, c.channels_in, c.batch, c.height_in, c.width_in)


def _map_out(arena: Arena, c: Command, offset: int, plane: int, channels: int) -> NDArray[np.int8]:
    return arena.feature_map(offset, plane, channels, c.batch, c.height_out, c.width_out)


def _geometry(c: Command) -> Geometry:
    return Geometry(
        kernel=(c.kernel_h, c.kernel_w),
        stride=(c.stride_h, c.stride_w),
        pad=(c.pad_top, c.pad_left),
        input=(c.height_in, c.width_in),
        output=(c.height_out, c.width_out),
    )


def _weights(arena: Arena, c: Command) -> NDArray[np.int8]:
    return arena.view(c.weights, (c.channels_out, c.channels_in // c.groups, c.kernel_h, c.kernel_w), np.int8)


def _fixed_shift(site: Site) -> int:
    """Return the shift that training left."""
    if not site.set:
        raise Stop(C.STATUS_SITE_UNSET)
    return site.used


def _draw(arena: Arena, c: Command, shape: tuple[int, ...]) -> Integers:
    """Advance the command's dither counter; return the dither of a tensor of `shape`."""
    word = arena.counter(c.dither)
    word[0] = advance_dither(int(word[0]))
    return dither(int(word[0]), shape)


def _requantize_error(arena: Arena, c: Command, v: Integers) -> tuple[Integers, int]:
    """Return v as int8 by the command's site and dither, both advanced, and the shift."""
    s, site = control(arena.site(c.site), v, C.ERROR_RATE_LOG2)
    r = _draw(arena, c, v.shape)
    arena.write_site(c.site, site)
    return sat(dsh(v, s, r)), s


# ---- input, and changes of layout ------------------------------------------------------------------------------------


def input_conversion(arena: Arena, c: Command, slot: int) -> None:
    """INPUT: uint8 pixels [N, C, H, W] to int8, black around them."""
    pixels = arena.view(_source(c, slot), (c.batch, c.channels_in, c.height_in, c.width_in), np.uint8)
    a0 = np.maximum(pixels.transpose(1, 0, 2, 3).astype(np.int64) - 128, -127)
    target = _map_out(arena, c, _target(c, slot), c.target_plane, c.channels_in)
    target[...] = -127
    room = target[:, :, c.pad_top : c.pad_top + c.height_in, c.pad_left : c.pad_left + c.width_in]
    room[...] = a0[:, :, : room.shape[2], : room.shape[3]]
    _write_target_exponent(arena, c, slot, [C.INPUT_EXPONENT])


def flatten(arena: Arena, c: Command, slot: int) -> None:
    """FLATTEN: [C, N, H, W] to [C*H*W, N]."""
    source = _map_in(arena, c, _source(c, slot), c.source_plane)
    features = source.transpose(0, 2, 3, 1).reshape(-1, c.batch)
    arena.view(_target(c, slot), features.shape, np.int8, c.target_plane)[...] = features
    _write_target_exponent(arena, c, slot, [_source_exponent(arena, c, slot)])


def unflatten(arena: Arena, c: Command, slot: int) -> None:
    """UNFLATTEN: [C*H*W, N] to [C, N, H, W]."""
    features = c.channels_in * c.height_in * c.width_in
    source = arena.view(_source(c, slot), (features, c.batch), np.int8, c.source_plane)
    ordered = source.reshape(c.channels_in, c.height_in, c.width_in, c.batch).transpose(0, 3, 1, 2)
    _map_in(arena, c, _target(c, slot), c.target_plane)[...] = ordered
    _write_target_exponent(arena, c, slot, [_source_exponent(arena, c, slot)])


# ---- convolution -----------------------------------------------------------------------------------------------------


def conv_forward(arena: Arena, c: Command, slot: int) -> None:
    """CONV_FORWARD: to int8 by the site, or to int32 logits with a bias."""
    ea = _source_exponent(arena, c, slot)
    ew = wide(arena.words(c.weight_exponent, c.channels_out))
    a8 = _map_in(arena, c, _source(c, slot), c.source_plane)
    if c.flags & C.FLAG_LOGITS:
        e = ea + int(ew[0])
        acc = convolution.forward(a8, _weights(arena, c), _geometry(c), c.groups)[:, :, 0, 0]
        bias = rsh(wide(arena.words(c.beta, c.channels_out)), C.PARAMETER_FRACTION - e)
        arena.view(_target(c, slot), acc.shape, np.int32, c.target_plane)[...] = sat32(acc + bias[:, None])
        _write_target_exponent(arena, c, slot, [e])
        return
    site = arena.site(c.site)
    fixed = _fixed_shift(site) if c.flags & C.FLAG_FIXED else None
    acc = convolution.forward(a8, _weights(arena, c), _geometry(c), c.groups)
    if fixed is None:
        shift, site = control(site, acc, C.PRE_NORM_RATE_LOG2)
        arena.write_site(c.site, site)
    else:
        shift = fixed
    _map_out(arena, c, _target(c, slot), c.target_plane, c.channels_out)[...] = sat(rsh(acc, shift))
    _write_target_exponent(arena, c, slot, ea + ew - shift)


def conv_input_gradient(arena: Arena, c: Command, slot: int) -> None:
    """CONV_INPUT_GRADIENT: to int8 by the site, dithered."""
    dx8 = _map_out(arena, c, _source(c, slot), c.source_plane, c.channels_out)
    da = convolution.input_gradient(dx8, _weights(arena, c), _geometry(c), c.groups)
    exponent = _source_exponent(arena, c, slot) + arena.word(c.weight_exponent)
    e8, shift = _requantize_error(arena, c, da)
    _map_in(arena, c, _target(c, slot), c.target_plane)[...] = e8
    _write_target_exponent(arena, c, slot, [exponent - shift])


def conv_weight_gradient(arena: Arena, c: Command, slot: int) -> None:
    """CONV_WEIGHT_GRADIENT: int32 sums; of the bias too, whose layer's error has one exponent."""
    with_bias = bool(c.flags & C.FLAG_BIAS)
    dx8 = _map_out(arena, c, _source(c, slot), c.source_plane, c.channels_out)
    a8 = _map_in(arena, c, c.source_2, c.source_2_plane)
    e_dx = _source_exponents(arena, c, slot, 1 if with_bias else c.channels_out)
    gradient = convolution.weight_gradient(dx8, a8, _geometry(c), c.groups)
    exponents = np.broadcast_to(e_dx, c.channels_out) + arena.word(c.source_2_exponent)
    if with_bias:
        arena.words(c.grad_beta, c.channels_out)[...] = wide(dx8).sum(axis=(1, 2, 3))
    arena.words(_target(c, slot), *gradient.shape)[...] = gradient
    _write_target_exponent(arena, c, slot, exponents)


# ---- L1 batch normalization ------------------------------------------------------------------------------------------


def l1bn_forward(arena: Arena, c: Command, slot: int) -> None:
    """L1BN_FORWARD: by the mini-batch's statistics, or with FIXED by the running ones."""
    k = c.channels_out
    x8 = wide(_map_out(arena, c, _source(c, slot), c.source_plane, k)).reshape(k, -1)
    ex = _source_exponents(arena, c, slot, k)
    gamma, beta = wide(arena.words(c.gamma, k)), wide(arena.words(c.beta, k))
    running_mu, running_sigma = arena.words(c.running_mu, k), arena.words(c.running_sigma, k)
    if c.flags & C.FLAG_FIXED:
        mu, sigma = l1bn.from_running(wide(running_mu), wide(running_sigma), ex)
        sign_sum = np.zeros_like(mu)
    else:
        mu, sigma = l1bn.mean_and_deviation(x8)
        sign_sum = l1bn.signs(x8, mu).sum(axis=1)
        steps = arena.counter(c.running_steps)
        first = int(steps[0]) == 0
        running_mu[...] = l1bn.advance_running(wide(running_mu), l1bn.to_running(mu, ex), first)
        running_sigma[...] = l1bn.advance_running(wide(running_sigma), l1bn.to_running(sigma, ex), first)
        steps[0] = min(int(steps[0]) + 1, 2**32 - 1)
    multiplier = l1bn.multiplier(gamma, sigma, c.exponent)
    constant = l1bn.constant(beta, mu, multiplier, c.exponent)
    y8 = l1bn.normalize(x8, multiplier, constant, l1bn.lowest(c.activation))
    target = _map_out(arena, c, _target(c, slot), c.target_plane, k)
    target[...] = y8.reshape(target.shape)
    arena.write_statistics(c.statistics, l1bn.Statistics(mu, sigma, multiplier, sign_sum))
    _write_target_exponent(arena, c, slot, [c.exponent])


def l1bn_backward(arena: Arena, c: Command, slot: int) -> None:
    """L1BN_BACKWARD: gradients of the input, gamma and beta; with FIXED, of the input alone."""
    k = c.channels_out
    e8 = wide(_map_out(arena, c, _source(c, slot), c.source_plane, k)).reshape(k, -1)
    x8 = wide(_map_out(arena, c, c.source_2, c.source_2_plane, k)).reshape(k, -1)
    y8 = wide(_map_out(arena, c, c.source_3, c.source_3_plane, k)).reshape(k, -1)
    ex = wide(arena.words(c.source_2_exponent, k))
    exponent = _source_exponent(arena, c, slot) + c.exponent + C.SCALE_FRACTION - ex
    kept = arena.statistics(c.statistics, k)
    dy = l1bn.masked(e8, y8, l1bn.lowest(c.activation))
    if c.flags & C.FLAG_FIXED:
        v = l1bn.scaled(dy, kept)
    else:
        dgamma, dbeta = l1bn.parameter_gradients(dy, x8, kept)
        v = l1bn.input_gradient(dy, x8, kept, dgamma, dbeta)
        arena.words(c.grad_gamma, k)[...] = dgamma
        arena.words(c.grad_beta, k)[...] = dbeta
    dx8, shift = _requantize_error(arena, c, v)
    target = _map_out(arena, c, _target(c, slot), c.target_plane, k)
    target[...] = dx8.reshape(target.shape)
    _write_target_exponent(arena, c, slot, exponent - shift)


# ---- pooling ---------------------------------------------------------------------------------------------------------


def max_pool_forward(arena: Arena, c: Command, slot: int) -> None:
    """MAX_POOL_FORWARD."""
    maxima = pooling.max_forward(_map_in(arena, c, _source(c, slot), c.source_plane), _geometry(c))
    _map_out(arena, c, _target(c, slot), c.target_plane, c.channels_in)[...] = maxima
    _write_target_exponent(arena, c, slot, [_source_exponent(arena, c, slot)])


def max_pool_backward(arena: Arena, c: Command, slot: int) -> None:
    """MAX_POOL_BACKWARD."""
    e8 = wide(_map_out(arena, c, _source(c, slot), c.source_plane, c.channels_in))
    y8 = _map_in(arena, c, c.source_2, c.source_2_plane)
    _map_in(arena, c, _target(c, slot), c.target_plane)[...] = pooling.max_backward(e8, y8, _geometry(c))
    _write_target_exponent(arena, c, slot, [_source_exponent(arena, c, slot)])


def global_average_pool_forward(arena: Arena, c: Command, slot: int) -> None:
    """GLOBAL_AVERAGE_POOL_FORWARD."""
    mean = pooling.average_forward(wide(_map_in(arena, c, _source(c, slot), c.source_plane)))
    arena.feature_map(_target(c, slot), c.target_plane, c.channels_in, c.batch, 1, 1)[...] = mean
    _write_target_exponent(arena, c, slot, [_source_exponent(arena, c, slot)])


def global_average_pool_backward(arena: Arena, c: Command, slot: int) -> None:
    """GLOBAL_AVERAGE_POOL_BACKWARD, dithered."""
    e8 = wide(arena.feature_map(_source(c, slot), c.source_plane, c.channels_in, c.batch, 1, 1))
    target = _map_in(arena, c, _target(c, slot), c.target_plane)
    spread, gained = pooling.average_backward(e8, _draw(arena, c, target.shape))
    target[...] = spread
    _write_target_exponent(arena, c, slot, [_source_exponent(arena, c, slot) + gained])


# ---- loss and update -------------------------------------------------------------------------------------------------


def softmax_cross_entropy(arena: Arena, c: Command, slot: int) -> None:
    """SOFTMAX_CROSS_ENTROPY: loss and correct count into the slot; unless FIXED the logit error, dithered."""
    shape = (c.channels_out, c.batch)
    logits = wide(arena.view(_source(c, slot), shape, np.int32, c.source_plane))
    e = _source_exponent(arena, c, slot)
    labels = arena.words(slot + c.labels, c.batch)
    outside = np.flatnonzero((labels < 0) | (labels >= c.channels_out))
    if outside.size:
        raise Stop(C.STATUS_LABEL_RANGE, int(outside[0]))
    head = arena.slot(slot)
    head["loss_sum"] = loss.cross_entropy(logits, e, labels).sum()
    head["correct"] = loss.correct(logits, labels)
    head["samples"] = c.batch
    if not c.flags & C.FLAG_FIXED:
        e8 = loss.error(logits, e, labels, _draw(arena, c, shape))
        arena.view(_target(c, slot), shape, np.int8, c.target_plane)[...] = e8
        _write_target_exponent(arena, c, slot, [C.ERROR_EXPONENT])


def sgd_update(arena: Arena, c: Command, slot: int) -> None:
    """SGD: master and momentum; with VIEW the int8 view too."""
    shape = (c.rows, c.columns)
    master, momentum = arena.words(c.master, *shape), arena.words(c.momentum, *shape)
    exponents = c.rows if c.flags & C.FLAG_EXPONENT_PER_ROW else 1
    head = arena.slot(slot)
    master[...], momentum[...] = sgd.update(
        wide(master),
        wide(momentum),
        wide(arena.words(c.gradient, *shape)),
        wide(arena.words(c.gradient_exponent, exponents, 1)),
        fraction=c.fraction_bits,
        reciprocal=sgd.Factor(c.batch_mantissa, c.batch_shift),
        decay=c.momentum_decay,
        weight_decay=sgd.Factor(c.weight_decay_mantissa, c.weight_decay_shift),
        learning_rate=sgd.Factor(int(head["learning_rate_mantissa"]), int(head["learning_rate_shift"])),
    )
    if c.flags & C.FLAG_VIEW:
        weight_view(arena, c, slot)


def weight_view(arena: Arena, c: Command, slot: int) -> None:
    """WEIGHT_VIEW: int8 weights and their exponents from the masters."""
    del slot
    master = wide(arena.words(c.master, c.rows, c.columns))
    w8, ew = sgd.weight_view(master, bool(c.flags & C.FLAG_VIEW_PER_ROW))
    arena.view(c.weights, w8.shape, np.int8)[...] = w8
    arena.words(c.weight_exponent, c.rows)[...] = ew


OPERATIONS: dict[int, Callable[[Arena, Command, int], None]] = {
    C.OP_INPUT: input_conversion,
    C.OP_CONV_FORWARD: conv_forward,
    C.OP_CONV_INPUT_GRADIENT: conv_input_gradient,
    C.OP_CONV_WEIGHT_GRADIENT: conv_weight_gradient,
    C.OP_L1BN_FORWARD: l1bn_forward,
    C.OP_L1BN_BACKWARD: l1bn_backward,
    C.OP_MAX_POOL_FORWARD: max_pool_forward,
    C.OP_MAX_POOL_BACKWARD: max_pool_backward,
    C.OP_GLOBAL_AVERAGE_POOL_FORWARD: global_average_pool_forward,
    C.OP_GLOBAL_AVERAGE_POOL_BACKWARD: global_average_pool_backward,
    C.OP_FLATTEN: flatten,
    C.OP_UNFLATTEN: unflatten,
    C.OP_SOFTMAX_CROSS_ENTROPY: softmax_cross_entropy,
    C.OP_SGD: sgd_update,
    C.OP_WEIGHT_VIEW: weight_view,
}
