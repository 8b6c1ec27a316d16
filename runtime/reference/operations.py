"""One function an opcode: fields of the command to arrays, the arithmetic, and back. No arithmetic here.

Each takes the arena, the command with its fields as Python integers, and the offset of the step's slot. Whatever can
stop a command is checked before it writes. Those of convolutions, of maps alone, losses and parameters are in files of
their own, what all have in common in command_access.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from strop.runtime.contract import C
from strop.runtime.reference import l1bn, map_operations
from strop.runtime.reference.arena import Arena, wide
from strop.runtime.reference.command_access import (
    read_source,
    requantize_error,
    shape_in,
    shape_out,
    source_exponent,
    source_exponents,
    source_offset,
    target_offset,
    write_target,
    write_target_exponent,
)
from strop.runtime.reference.convolution_operations import conv_forward, conv_input_gradient, conv_weight_gradient
from strop.runtime.reference.loss_operations import sigmoid_cross_entropy, softmax_cross_entropy, squared_error
from strop.runtime.reference.update_operations import Command, elastic_pull, sgd_update, weight_view

# ---- input, and changes of layout ------------------------------------------------------------------------------------


def input_conversion(arena: Arena, c: Command, slot: int) -> None:
    """INPUT: uint8 pixels [N, C, H, W] to int8, black around them; with PIXELS as a pixel map."""
    pixels = arena.view(source_offset(c, slot), (c.batch, c.channels_in, c.height_in, c.width_in), np.uint8)
    a0 = np.maximum(pixels.transpose(1, 0, 2, 3).astype(np.int64) - 128, -127)
    bordered = np.full((c.channels_in, c.batch, c.height_out, c.width_out), -127)
    bordered[:, :, c.pad_top : c.pad_top + c.height_in, c.pad_left : c.pad_left + c.width_in] = a0
    if c.flags & C.FLAG_PIXELS:
        padded = np.pad(bordered, ((0, 0), (0, 0), (0, 0), (c.columns, 0)))
        arena.write_pixels(target_offset(c, slot), c.target_plane, padded)
    else:
        write_target(arena, c, slot, bordered)
    write_target_exponent(arena, c, slot, [c.exponent])


def flatten(arena: Arena, c: Command, slot: int) -> None:
    """FLATTEN: [C, N, H, W] to [C*H*W, N, 1, 1]."""
    source = read_source(arena, c, slot, shape_in(c))
    write_target(arena, c, slot, source.transpose(0, 2, 3, 1).reshape(-1, c.batch, 1, 1))
    write_target_exponent(arena, c, slot, [source_exponent(arena, c, slot)])


def unflatten(arena: Arena, c: Command, slot: int) -> None:
    """UNFLATTEN: [C*H*W, N, 1, 1] to [C, N, H, W]."""
    source = read_source(arena, c, slot, (c.channels_in * c.height_in * c.width_in, c.batch, 1, 1))
    ordered = source.reshape(c.channels_in, c.height_in, c.width_in, c.batch).transpose(0, 3, 1, 2)
    write_target(arena, c, slot, ordered)
    write_target_exponent(arena, c, slot, [source_exponent(arena, c, slot)])


# ---- L1 batch normalization ------------------------------------------------------------------------------------------


def l1bn_forward(arena: Arena, c: Command, slot: int) -> None:
    """L1BN_FORWARD: by the mini-batch's statistics; with FIXED by the running ones, with RUNNING by those advanced."""
    k = c.channels_out
    x8 = wide(read_source(arena, c, slot, shape_out(c))).reshape(k, -1)
    ex = source_exponents(arena, c, slot, k)
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
    write_target(arena, c, slot, y8.reshape(shape_out(c)))
    arena.write_statistics(c.statistics, l1bn.Statistics(mu, sigma, multiplier, sign_sum))
    write_target_exponent(arena, c, slot, [c.exponent])


def l1bn_backward(arena: Arena, c: Command, slot: int) -> None:
    """L1BN_BACKWARD: gradients of the input, gamma and beta; with FIXED, of the input alone."""
    k = c.channels_out
    e8 = wide(read_source(arena, c, slot, shape_out(c))).reshape(k, -1)
    x8 = wide(arena.read_map(c.source_2, c.source_2_plane, shape_out(c))).reshape(k, -1)
    y8 = wide(arena.read_map(c.source_3, c.source_3_plane, shape_out(c))).reshape(k, -1)
    ex = wide(arena.words(c.source_2_exponent, k))
    arriving = source_exponent(arena, c, slot)
    exponent = arriving + c.exponent + C.SCALE_FRACTION - ex
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
    dx8, shift = requantize_error(arena, c, v, arriving)
    write_target(arena, c, slot, dx8.reshape(shape_out(c)))
    write_target_exponent(arena, c, slot, exponent - shift)


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
    C.OP_SIGMOID_CROSS_ENTROPY: sigmoid_cross_entropy,
    C.OP_SQUARED_ERROR: squared_error,
    **map_operations.OPERATIONS,
}
