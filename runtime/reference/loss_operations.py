"""One function an opcode, as in operations: the losses. No arithmetic here."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from strop.runtime.contract import C
from strop.runtime.reference import loss, output_loss
from strop.runtime.reference.arena import Arena, wide
from strop.runtime.reference.arithmetic import Integers
from strop.runtime.reference.command_access import (
    Stop,
    draw,
    source_exponent,
    source_offset,
    write_target,
    write_target_exponent,
)
from strop.runtime.reference.update_operations import Command


def softmax_cross_entropy(arena: Arena, c: Command, slot: int) -> None:
    """SOFTMAX_CROSS_ENTROPY: loss and correct count into the slot; unless FIXED the logit error, dithered."""
    shape = (c.channels_out, c.batch)
    logits = wide(arena.view(source_offset(c, slot), shape, np.int32, c.source_plane))
    e = source_exponent(arena, c, slot)
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
        r = draw(arena, c, shape)
        soft = c.flags & C.FLAG_SOFT
        e8 = loss.soft_error(logits, e, targets, r) if soft else loss.error(logits, e, labels, r)
        write_target(arena, c, slot, e8.reshape(*shape, 1, 1))
        write_target_exponent(arena, c, slot, [C.ERROR_EXPONENT])


def sigmoid_cross_entropy(arena: Arena, c: Command, slot: int) -> None:
    """SIGMOID_CROSS_ENTROPY: as softmax's with soft targets, each output by itself."""
    _output_loss(arena, c, slot, output_loss.sigmoid_cross_entropy)


def squared_error(arena: Arena, c: Command, slot: int) -> None:
    """SQUARED_ERROR: half the squared distance of each output from its target."""
    _output_loss(arena, c, slot, output_loss.squared_error)


def _output_loss(
    arena: Arena, c: Command, slot: int, measure: Callable[[Integers, int, Integers], output_loss.Outputs]
) -> None:
    shape = (c.channels_out, c.batch)
    logits = wide(arena.view(source_offset(c, slot), shape, np.int32, c.source_plane))
    targets = wide(arena.view(slot + c.source_2, shape, np.int32, c.source_2_plane))
    outputs = measure(logits, source_exponent(arena, c, slot), targets)
    head = arena.slot(slot)
    head["loss_sum"], head["samples"] = outputs.loss.sum(), c.batch
    head["correct"] = np.count_nonzero(outputs.right.all(axis=0))
    if not c.flags & C.FLAG_FIXED:
        e8 = loss.rounded(outputs.e15, draw(arena, c, shape))
        write_target(arena, c, slot, e8.reshape(*shape, 1, 1))
        write_target_exponent(arena, c, slot, [C.ERROR_EXPONENT])
