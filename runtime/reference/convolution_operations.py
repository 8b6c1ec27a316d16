"""One function an opcode, as in operations: convolutions, and transposed ones. No arithmetic here."""

from __future__ import annotations

import numpy as np

from strop.runtime.contract import C
from strop.runtime.reference import convolution
from strop.runtime.reference.arena import Arena, wide
from strop.runtime.reference.arithmetic import Integers, control, rsh, sat, sat32
from strop.runtime.reference.command_access import (
    convolved,
    fixed_shift,
    geometry,
    read_source,
    requantize_error,
    shape_out,
    source_exponent,
    source_exponents,
    source_offset,
    target_offset,
    weights,
    write_target,
    write_target_exponent,
)
from strop.runtime.reference.update_operations import Command


def conv_forward(arena: Arena, c: Command, slot: int) -> None:
    """CONV_FORWARD: to int8 by the site, or to int32 logits with a bias; TRANSPOSED: an input gradient."""
    ea = source_exponent(arena, c, slot)
    ew = wide(arena.words(c.weight_exponent, c.channels_out))
    a8 = convolved(arena, c, source_offset(c, slot), c.source_plane)
    if c.flags & C.FLAG_LOGITS:
        e = ea + int(ew[0])
        acc = convolution.forward(a8, weights(arena, c), geometry(c), c.groups)[:, :, 0, 0]
        bias = rsh(wide(arena.words(c.beta, c.channels_out)), C.PARAMETER_FRACTION - e)
        arena.view(target_offset(c, slot), acc.shape, np.int32, c.target_plane)[...] = sat32(acc + bias[:, None])
        write_target_exponent(arena, c, slot, [e])
        return
    if not c.flags & C.FLAG_TRANSPOSED:
        _refuse_unset(arena, c)
    acc = convolution.forward(a8, weights(arena, c), geometry(c), c.groups)
    if c.flags & C.FLAG_TRANSPOSED:
        _write_gradient(arena, c, slot, acc, ea + int(ew[0]))
    else:
        _write_pre_norm(arena, c, slot, acc, ea + ew)


def conv_input_gradient(arena: Arena, c: Command, slot: int) -> None:
    """CONV_INPUT_GRADIENT: to int8 by the site, dithered; TRANSPOSED: a forward pass."""
    if c.flags & C.FLAG_TRANSPOSED:
        _refuse_unset(arena, c)
    dx8 = read_source(arena, c, slot, shape_out(c))
    da = convolution.input_gradient(dx8, weights(arena, c), geometry(c), c.groups)
    exponent = source_exponent(arena, c, slot) + arena.word(c.weight_exponent)
    if c.flags & C.FLAG_TRANSPOSED:
        _write_pre_norm(arena, c, slot, da, np.full(c.channels_in, exponent))
    else:
        _write_gradient(arena, c, slot, da, exponent)


def conv_weight_gradient(arena: Arena, c: Command, slot: int) -> None:
    """CONV_WEIGHT_GRADIENT: int32 sums; of the bias too, whose layer's error has one exponent.

    TRANSPOSED: `source` is the layer's input, which has one exponent, and source_2 the gradient of its output.
    """
    with_bias = bool(c.flags & C.FLAG_BIAS)
    one = bool(c.flags & (C.FLAG_BIAS | C.FLAG_TRANSPOSED))
    dx8 = read_source(arena, c, slot, shape_out(c))
    a8 = convolved(arena, c, c.source_2, c.source_2_plane)
    e_dx = source_exponents(arena, c, slot, 1 if one else c.channels_out)
    gradient = convolution.weight_gradient(dx8, a8, geometry(c), c.groups)
    exponents = np.broadcast_to(e_dx, c.channels_out) + arena.word(c.source_2_exponent)
    if with_bias:
        arena.words(c.grad_beta, c.channels_out)[...] = wide(dx8).sum(axis=(1, 2, 3))
    arena.words(target_offset(c, slot), *gradient.shape)[...] = gradient
    write_target_exponent(arena, c, slot, exponents)


def _refuse_unset(arena: Arena, c: Command) -> None:
    """Stop a forward pass by a shift that training never chose."""
    if c.flags & C.FLAG_FIXED:
        fixed_shift(arena.site(c.site))


def _write_pre_norm(arena: Arena, c: Command, slot: int, acc: Integers, exponents: Integers) -> None:
    """Write a forward pass's sums: rounded by the site, which advances unless FIXED; an exponent a channel."""
    site = arena.site(c.site)
    if c.flags & C.FLAG_FIXED:
        shift = fixed_shift(site)
    else:
        shift, site = control(site, acc, C.PRE_NORM_RATE_LOG2)
        arena.write_site(c.site, site)
    write_target(arena, c, slot, sat(rsh(acc, shift)))
    write_target_exponent(arena, c, slot, exponents - shift)


def _write_gradient(arena: Arena, c: Command, slot: int, da: Integers, exponent: int) -> None:
    """Write an input gradient's sums, whose exponent is `exponent`: dithered, by the site; one exponent."""
    e8, shift = requantize_error(arena, c, da, exponent, flat=bool(c.flags & C.FLAG_FLAT))
    write_target(arena, c, slot, e8)
    write_target_exponent(arena, c, slot, [exponent - shift])
