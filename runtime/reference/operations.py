"""One function an opcode: fields of the command to arrays, the arithmetic, and back. No arithmetic here.

Each takes the arena, the command with its fields as Python integers, and the offset of the step's slot. Whatever can
stop a command is checked before it writes. Those on maps without weights are in map_operations, those on parameters in
update_operations.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from strop.runtime.contract import C
from strop.runtime.reference import convolution, l1bn, loss, map_operations
from strop.runtime.reference.arena import Arena, wide
from strop.runtime.reference.arithmetic import Integers, Site, control, dsh, rsh, sat, sat32
from strop.runtime.reference.command_fields import Command
from strop.runtime.reference.command_fields import draw as _draw
from strop.runtime.reference.command_fields import geometry as _geometry
from strop.runtime.reference.command_fields import read_source as _read_source
from strop.runtime.reference.command_fields import shape_in as _shape_in
from strop.runtime.reference.command_fields import shape_out as _shape_out
from strop.runtime.reference.command_fields import source_at as _source_at
from strop.runtime.reference.command_fields import source_exponent as _source_exponent
from strop.runtime.reference.command_fields import source_exponents as _source_exponents
from strop.runtime.reference.command_fields import target_at as _target_at
from strop.runtime.reference.command_fields import write_target as _write_target
from strop.runtime.reference.command_fields import write_target_exponent as _write_target_exponent
from strop.runtime.reference.update_operations import elastic_pull, sgd_update, weight_shape, weight_view


class Stop(Exception):
    """The command cannot run: the status and the detail to report."""

    def __init__(self, status: int, detail: int = 0) -> None:
        super().__init__(status, detail)
        self.status, self.detail = status, detail


# ---- what commands have in common ------------------------------------------------------------------------------------


def _weights(arena: Arena, c: Command) -> NDArray[np.int8]:
    return arena.read_weights(c.weights, weight_shape(c), c.groups, bool(c.flags & C.FLAG_PIXELS))


def _convolved(arena: Arena, c: Command, offset: int, plane: int) -> NDArray[np.int8]:
    """Return the map that a convolution reads, which is a pixel map if the command says so."""
    read = arena.read_pixels if c.flags & C.FLAG_PIXELS else arena.read_map
    return read(offset, plane, _shape_in(c))


def _fixed_shift(site: Site) -> int:
    """Return the shift that training left."""
    if not site.set:
        raise Stop(C.STATUS_SITE_UNSET)
    return site.used


def _requantize_error(arena: Arena, c: Command, v: Integers, flat: bool = False) -> tuple[Integers, int]:
    """Return v as int8 by the command's site and dither, both advanced, and the shift.

    `flat` counts the elements of v [C, N, H, W] for the dither as those of [C*H*W, N].
    """
    s, site = control(arena.site(c.site), v, C.ERROR_RATE_LOG2)
    if flat:
        channels, samples, height, width = v.shape
        r = _draw(arena, c, (channels, height, width, samples)).transpose(0, 3, 1, 2)
    else:
        r = _draw(arena, c, v.shape)
    arena.write_site(c.site, site)
    return sat(dsh(v, s, r)), s


# ---- input, and changes of layout ------------------------------------------------------------------------------------


def input_conversion(arena: Arena, c: Command, slot: int) -> None:
    """INPUT: uint8 pixels [N, C, H, W] to int8, black around them; with PIXELS as a pixel map."""
    pixels = arena.view(_source_at(c, slot), (c.batch, c.channels_in, c.height_in, c.width_in), np.uint8)
    a0 = np.maximum(pixels.transpose(1, 0, 2, 3).astype(np.int64) - 128, -127)
    bordered = np.full((c.channels_in, c.batch, c.height_out, c.width_out), -127)
    bordered[:, :, c.pad_top : c.pad_top + c.height_in, c.pad_left : c.pad_left + c.width_in] = a0
    if c.flags & C.FLAG_PIXELS:
        padded = np.pad(bordered, ((0, 0), (0, 0), (0, 0), (c.columns, 0)))
        arena.write_pixels(_target_at(c, slot), c.target_plane, padded)
    else:
        _write_target(arena, c, slot, bordered)
    _write_target_exponent(arena, c, slot, [c.exponent])


def flatten(arena: Arena, c: Command, slot: int) -> None:
    """FLATTEN: [C, N, H, W] to [C*H*W, N, 1, 1]."""
    source = _read_source(arena, c, slot, _shape_in(c))
    _write_target(arena, c, slot, source.transpose(0, 2, 3, 1).reshape(-1, c.batch, 1, 1))
    _write_target_exponent(arena, c, slot, [_source_exponent(arena, c, slot)])


def unflatten(arena: Arena, c: Command, slot: int) -> None:
    """UNFLATTEN: [C*H*W, N, 1, 1] to [C, N, H, W]."""
    source = _read_source(arena, c, slot, (c.channels_in * c.height_in * c.width_in, c.batch, 1, 1))
    ordered = source.reshape(c.channels_in, c.height_in, c.width_in, c.batch).transpose(0, 3, 1, 2)
    _write_target(arena, c, slot, ordered)
    _write_target_exponent(arena, c, slot, [_source_exponent(arena, c, slot)])


# ---- convolution -----------------------------------------------------------------------------------------------------


def conv_forward(arena: Arena, c: Command, slot: int) -> None:
    """CONV_FORWARD: to int8 by the site, or to int32 logits with a bias."""
    ea = _source_exponent(arena, c, slot)
    ew = wide(arena.words(c.weight_exponent, c.channels_out))
    a8 = _convolved(arena, c, _source_at(c, slot), c.source_plane)
    if c.flags & C.FLAG_LOGITS:
        e = ea + int(ew[0])
        acc = convolution.forward(a8, _weights(arena, c), _geometry(c), c.groups)[:, :, 0, 0]
        bias = rsh(wide(arena.words(c.beta, c.channels_out)), C.PARAMETER_FRACTION - e)
        arena.view(_target_at(c, slot), acc.shape, np.int32, c.target_plane)[...] = sat32(acc + bias[:, None])
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
    _write_target(arena, c, slot, sat(rsh(acc, shift)))
    _write_target_exponent(arena, c, slot, ea + ew - shift)


def conv_input_gradient(arena: Arena, c: Command, slot: int) -> None:
    """CONV_INPUT_GRADIENT: to int8 by the site, dithered."""
    dx8 = _read_source(arena, c, slot, _shape_out(c))
    da = convolution.input_gradient(dx8, _weights(arena, c), _geometry(c), c.groups)
    exponent = _source_exponent(arena, c, slot) + arena.word(c.weight_exponent)
    e8, shift = _requantize_error(arena, c, da, flat=bool(c.flags & C.FLAG_FLAT))
    _write_target(arena, c, slot, e8)
    _write_target_exponent(arena, c, slot, [exponent - shift])


def conv_weight_gradient(arena: Arena, c: Command, slot: int) -> None:
    """CONV_WEIGHT_GRADIENT: int32 sums; of the bias too, whose layer's error has one exponent."""
    with_bias = bool(c.flags & C.FLAG_BIAS)
    dx8 = _read_source(arena, c, slot, _shape_out(c))
    a8 = _convolved(arena, c, c.source_2, c.source_2_plane)
    e_dx = _source_exponents(arena, c, slot, 1 if with_bias else c.channels_out)
    gradient = convolution.weight_gradient(dx8, a8, _geometry(c), c.groups)
    exponents = np.broadcast_to(e_dx, c.channels_out) + arena.word(c.source_2_exponent)
    if with_bias:
        arena.words(c.grad_beta, c.channels_out)[...] = wide(dx8).sum(axis=(1, 2, 3))
    arena.words(_target_at(c, slot), *gradient.shape)[...] = gradient
    _write_target_exponent(arena, c, slot, exponents)


# ---- L1 batch normalization ------------------------------------------------------------------------------------------


def l1bn_forward(arena: Arena, c: Command, slot: int) -> None:
    """L1BN_FORWARD: by the mini-batch's statistics; with FIXED by the running ones, with RUNNING by those advanced."""
    k = c.channels_out
    x8 = wide(_read_source(arena, c, slot, _shape_out(c))).reshape(k, -1)
    ex = _source_exponents(arena, c, slot, k)
    gamma, beta = wide(arena.words(c.gamma, k)), wide(arena.words(c.beta, k))
    running_mu, running_sigma = arena.words(c.running_mu, k), arena.words(c.running_sigma, k)
    if c.flags & C.FLAG_FIXED:
        mu, sigma = l1bn.from_running(wide(running_mu), wide(running_sigma), ex)
        sign_sum = np.zeros_like(mu)
    else:
        steps = arena.counter(c.running_steps)
        first = int(steps[0]) == 0
        if c.flags & C.FLAG_RUNNING:
            advanced = l1bn.in_stream(x8, wide(running_mu), wide(running_sigma), ex, first)
            running_mu[...], running_sigma[...], mu, sigma = advanced
            sign_sum = np.zeros_like(mu)
        else:
            mu, sigma = l1bn.mean_and_deviation(x8)
            sign_sum = l1bn.signs(x8, mu).sum(axis=1)
            running_mu[...] = l1bn.advance_running(wide(running_mu), l1bn.to_running(mu, ex), first)
            running_sigma[...] = l1bn.advance_running(wide(running_sigma), l1bn.to_running(sigma, ex), first)
        steps[0] = min(int(steps[0]) + 1, 2**32 - 1)
    multiplier = l1bn.multiplier(gamma, sigma, c.exponent)
    constant = l1bn.constant(beta, mu, multiplier, c.exponent)
    y8 = l1bn.normalize(x8, multiplier, constant, l1bn.lowest(c.activation))
    _write_target(arena, c, slot, y8.reshape(_shape_out(c)))
    arena.write_statistics(c.statistics, l1bn.Statistics(mu, sigma, multiplier, sign_sum))
    _write_target_exponent(arena, c, slot, [c.exponent])


def l1bn_backward(arena: Arena, c: Command, slot: int) -> None:
    """L1BN_BACKWARD: gradients of the input, gamma and beta; with FIXED, of the input alone."""
    k = c.channels_out
    e8 = wide(_read_source(arena, c, slot, _shape_out(c))).reshape(k, -1)
    x8 = wide(arena.read_map(c.source_2, c.source_2_plane, _shape_out(c))).reshape(k, -1)
    y8 = wide(arena.read_map(c.source_3, c.source_3_plane, _shape_out(c))).reshape(k, -1)
    ex = wide(arena.words(c.source_2_exponent, k))
    exponent = _source_exponent(arena, c, slot) + c.exponent + C.SCALE_FRACTION - ex
    kept = arena.statistics(c.statistics, k)
    dy = l1bn.masked(e8, y8, l1bn.lowest(c.activation))
    if c.flags & (C.FLAG_FIXED | C.FLAG_RUNNING):
        v = l1bn.scaled(dy, kept)
    if not c.flags & C.FLAG_FIXED:
        dgamma, dbeta = l1bn.parameter_gradients(dy, x8, kept)
        if not c.flags & C.FLAG_RUNNING:
            v = l1bn.input_gradient(dy, x8, kept, dgamma, dbeta)
        arena.words(c.grad_gamma, k)[...] = dgamma
        arena.words(c.grad_beta, k)[...] = dbeta
    dx8, shift = _requantize_error(arena, c, v)
    _write_target(arena, c, slot, dx8.reshape(_shape_out(c)))
    _write_target_exponent(arena, c, slot, exponent - shift)


# ---- loss and update -------------------------------------------------------------------------------------------------


def softmax_cross_entropy(arena: Arena, c: Command, slot: int) -> None:
    """SOFTMAX_CROSS_ENTROPY: loss and correct count into the slot; unless FIXED the logit error, dithered."""
    shape = (c.channels_out, c.batch)
    logits = wide(arena.view(_source_at(c, slot), shape, np.int32, c.source_plane))
    e = _source_exponent(arena, c, slot)
    labels = arena.words(slot + c.labels, c.batch)
    outside = np.flatnonzero((labels < 0) | (labels >= c.channels_out))
    if outside.size:
        raise Stop(C.STATUS_LABEL_RANGE, int(outside[0]))
    head = arena.slot(slot)
    if c.flags & C.FLAG_SOFT:
        targets = wide(arena.view(slot + c.source_2, shape, np.int32, c.source_2_plane))
        losses = loss.soft_cross_entropy(logits, e, targets)
    else:
        losses = loss.cross_entropy(logits, e, labels)
    head["loss_sum"], head["correct"], head["samples"] = losses.sum(), loss.correct(logits, labels), c.batch
    if not c.flags & C.FLAG_FIXED:
        r = _draw(arena, c, shape)
        soft = c.flags & C.FLAG_SOFT
        e8 = loss.soft_error(logits, e, targets, r) if soft else loss.error(logits, e, labels, r)
        _write_target(arena, c, slot, e8.reshape(*shape, 1, 1))
        _write_target_exponent(arena, c, slot, [C.ERROR_EXPONENT])


OPERATIONS: dict[int, Callable[[Arena, Command, int], None]] = {
    C.OP_INPUT: input_conversion,
    C.OP_CONV_FORWARD: conv_forward,
    C.OP_CONV_INPUT_GRADIENT: conv_input_gradient,
    C.OP_CONV_WEIGHT_GRADIENT: conv_weight_gradient,
    C.OP_L1BN_FORWARD: l1bn_forward,
    C.OP_L1BN_BACKWARD: l1bn_backward,
    C.OP_FLATTEN: flatten,
    C.OP_UNFLATTEN: unflatten,
    C.OP_SOFTMAX_CROSS_ENTROPY: softmax_cross_entropy,
    C.OP_SGD: sgd_update,
    C.OP_WEIGHT_VIEW: weight_view,
    C.OP_ELASTIC_PULL: elastic_pull,
    **map_operations.OPERATIONS,
}
