"""One function an opcode, as in operations: those that change parameters. No arithmetic here."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from strop.runtime.contract import C
from strop.runtime.reference import sgd
from strop.runtime.reference.arena import Arena, wide

Command = SimpleNamespace


def weight_shape(c: Command) -> tuple[int, int, int, int]:
    """Return K, C/groups, R, S of the command's weights."""
    return (c.channels_out, c.channels_in // c.groups, c.kernel_h, c.kernel_w)


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
    shape = weight_shape(c)
    arena.write_weights(c.weights, w8.reshape(shape), c.groups, bool(c.flags & C.FLAG_PIXELS))
    arena.words(c.weight_exponent, c.rows)[...] = ew


def elastic_pull(arena: Arena, c: Command, slot: int) -> None:
    """ELASTIC_PULL: the master, by its distance from its anchor."""
    del slot
    master = arena.words(c.master, c.columns)
    importance = wide(arena.view(c.importance, (c.columns,), np.uint8))
    master[...] = sgd.pulled(wide(master), wide(arena.words(c.anchor, c.columns)), importance)
