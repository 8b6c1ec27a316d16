"""One function an opcode, as in operations: pooling, sums, upsampling and activations. No arithmetic here."""

from __future__ import annotations

from collections.abc import Callable

from strop.runtime.contract import C
from strop.runtime.reference import activation, l1bn, pooling, residual
from strop.runtime.reference.arena import Arena, wide
from strop.runtime.reference.arithmetic import Integers
from strop.runtime.reference.command_access import (
    draw,
    geometry,
    read_source,
    shape_in,
    shape_out,
    source_exponent,
    source_exponents,
    write_target,
    write_target_exponent,
)
from strop.runtime.reference.update_operations import Command

# ---- pooling ---------------------------------------------------------------------------------------------------------


def max_pool_forward(arena: Arena, c: Command, slot: int) -> None:
    """MAX_POOL_FORWARD."""
    write_target(arena, c, slot, pooling.max_forward(read_source(arena, c, slot, shape_in(c)), geometry(c)))
    write_target_exponent(arena, c, slot, [source_exponent(arena, c, slot)])


def max_pool_backward(arena: Arena, c: Command, slot: int) -> None:
    """MAX_POOL_BACKWARD."""
    e8 = wide(read_source(arena, c, slot, (c.channels_in, c.batch, c.height_out, c.width_out)))
    y8 = arena.read_map(c.source_2, c.source_2_plane, shape_in(c))
    write_target(arena, c, slot, pooling.max_backward(e8, y8, geometry(c)))
    write_target_exponent(arena, c, slot, [source_exponent(arena, c, slot)])


def global_average_pool_forward(arena: Arena, c: Command, slot: int) -> None:
    """GLOBAL_AVERAGE_POOL_FORWARD, with its gain."""
    y8 = wide(read_source(arena, c, slot, shape_in(c)))
    write_target(arena, c, slot, pooling.global_average_forward(y8, c.exponent))
    write_target_exponent(arena, c, slot, [source_exponent(arena, c, slot) + c.exponent])


def global_average_pool_backward(arena: Arena, c: Command, slot: int) -> None:
    """GLOBAL_AVERAGE_POOL_BACKWARD, dithered."""
    e8 = wide(read_source(arena, c, slot, (c.channels_in, c.batch, 1, 1)))
    spread, gained = pooling.global_average_backward(e8, draw(arena, c, shape_in(c)))
    write_target(arena, c, slot, spread)
    write_target_exponent(arena, c, slot, [source_exponent(arena, c, slot) + gained])


# ---- residual sums ---------------------------------------------------------------------------------------------------


def _source_2(arena: Arena, c: Command) -> Integers:
    return wide(arena.read_map(c.source_2, c.source_2_plane, shape_out(c)))


def add_forward(arena: Arena, c: Command, slot: int) -> None:
    """ADD_FORWARD: the sum of two maps, activated."""
    a8, ea = wide(read_source(arena, c, slot, shape_out(c))), source_exponent(arena, c, slot)
    b8, eb = _source_2(arena, c), arena.word(c.source_2_exponent)
    y8 = residual.add_forward(a8, ea, b8, eb, c.exponent, l1bn.lowest(c.activation))
    write_target(arena, c, slot, y8)
    write_target_exponent(arena, c, slot, [c.exponent])


def add_backward(arena: Arena, c: Command, slot: int) -> None:
    """ADD_BACKWARD: the gradient that both summands have."""
    e8 = wide(read_source(arena, c, slot, shape_out(c)))
    write_target(arena, c, slot, residual.add_backward(e8, _source_2(arena, c), l1bn.lowest(c.activation)))
    write_target_exponent(arena, c, slot, [source_exponent(arena, c, slot)])


def add_gradient(arena: Arena, c: Command, slot: int) -> None:
    """ADD_GRADIENT: the sum of two gradients of one map, dithered; by channel 0 where each has an exponent."""
    count = c.channels_out if c.flags & C.FLAG_EXPONENT_PER_ROW else 1
    a8, ea = wide(read_source(arena, c, slot, shape_out(c))), source_exponents(arena, c, slot, count)
    b8, eb = _source_2(arena, c), wide(arena.words(c.source_2_exponent, count))
    e8, exponent = residual.add_gradient(a8, int(ea[0]), b8, int(eb[0]), draw(arena, c, shape_out(c)))
    write_target(arena, c, slot, e8)
    write_target_exponent(arena, c, slot, ea if ea[0] == exponent else eb)


# ---- average pooling by windows, upsampling, activations -------------------------------------------------------------


def _hand_on_exponents(arena: Arena, c: Command, slot: int, gained: int) -> None:
    """Write the target's exponents: the source's, one or with EXPONENT_PER_ROW those of all channels, with a gain."""
    count = c.channels_in if c.flags & C.FLAG_EXPONENT_PER_ROW else 1
    write_target_exponent(arena, c, slot, source_exponents(arena, c, slot, count) + gained)


def _errors(arena: Arena, c: Command, slot: int) -> Integers:
    """Return the error of an output of as many channels as its input, int64 [C, N, P, Q]."""
    return wide(read_source(arena, c, slot, (c.channels_in, c.batch, c.height_out, c.width_out)))


def average_pool_forward(arena: Arena, c: Command, slot: int) -> None:
    """AVERAGE_POOL_FORWARD."""
    y8 = read_source(arena, c, slot, shape_in(c))
    write_target(arena, c, slot, pooling.average_forward(y8, geometry(c)))
    _hand_on_exponents(arena, c, slot, 0)


def average_pool_backward(arena: Arena, c: Command, slot: int) -> None:
    """AVERAGE_POOL_BACKWARD, dithered."""
    e8 = _errors(arena, c, slot)
    spread, gained = pooling.average_backward(e8, geometry(c), draw(arena, c, shape_in(c)))
    write_target(arena, c, slot, spread)
    _hand_on_exponents(arena, c, slot, gained)


def upsample_forward(arena: Arena, c: Command, slot: int) -> None:
    """UPSAMPLE_FORWARD."""
    a8 = read_source(arena, c, slot, shape_in(c))
    write_target(arena, c, slot, pooling.upsample_forward(a8, c.stride_h, c.stride_w))
    write_target_exponent(arena, c, slot, [source_exponent(arena, c, slot)])


def upsample_backward(arena: Arena, c: Command, slot: int) -> None:
    """UPSAMPLE_BACKWARD, dithered."""
    e8, lost = pooling.upsample_backward(_errors(arena, c, slot), draw(arena, c, shape_in(c)))
    write_target(arena, c, slot, e8)
    write_target_exponent(arena, c, slot, [source_exponent(arena, c, slot) - lost])


def activation_forward(arena: Arena, c: Command, slot: int) -> None:
    """ACTIVATION_FORWARD, by table."""
    table = activation.Table.of(arena.words(c.table, C.TABLE_WORDS))
    write_target(arena, c, slot, table.forward(read_source(arena, c, slot, shape_out(c))))
    write_target_exponent(arena, c, slot, [c.exponent])


def activation_backward(arena: Arena, c: Command, slot: int) -> None:
    """ACTIVATION_BACKWARD, by the table's slopes, dithered."""
    table = activation.Table.of(arena.words(c.table, C.TABLE_WORDS))
    e8, x8 = wide(read_source(arena, c, slot, shape_out(c))), _source_2(arena, c)
    write_target(arena, c, slot, table.backward(e8, x8, draw(arena, c, shape_out(c))))
    write_target_exponent(arena, c, slot, [source_exponent(arena, c, slot)])


OPERATIONS: dict[int, Callable[[Arena, Command, int], None]] = {
    C.OP_MAX_POOL_FORWARD: max_pool_forward,
    C.OP_MAX_POOL_BACKWARD: max_pool_backward,
    C.OP_GLOBAL_AVERAGE_POOL_FORWARD: global_average_pool_forward,
    C.OP_GLOBAL_AVERAGE_POOL_BACKWARD: global_average_pool_backward,
    C.OP_ADD_FORWARD: add_forward,
    C.OP_ADD_BACKWARD: add_backward,
    C.OP_ACTIVATION_FORWARD: activation_forward,
    C.OP_ACTIVATION_BACKWARD: activation_backward,
    C.OP_AVERAGE_POOL_FORWARD: average_pool_forward,
    C.OP_AVERAGE_POOL_BACKWARD: average_pool_backward,
    C.OP_ADD_GRADIENT: add_gradient,
    C.OP_UPSAMPLE_FORWARD: upsample_forward,
    C.OP_UPSAMPLE_BACKWARD: upsample_backward,
}
