"""Golden programs of single operations, each on tensors of its own, for `record_golden.py`: what its networks lack."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "runtime"))  # the layout of operands, as for their tests

from golden import write_golden
from memory_layout import PLANES, Region, aligned
from op_programs import regions, site, slot_head
from strop.host.order import epoch_order
from strop.runtime.contract import COMMAND, REPORT, SLOT, C, Registers
from strop.runtime.reference import ReferenceDevice

Operation = tuple[int, dict[str, int]]  # opcode and fields
DEFAULTS = dict.fromkeys(("stride_h", "stride_w", "kernel_h", "kernel_w", "dilation_h", "dilation_w"), 1)

# from 6 channels to 10 in two groups, a stride and a padding of its own along each axis, more than one group of images
UP = {"channels_in": 10, "height_in": 6, "width_in": 5, "channels_out": 6, "height_out": 3, "width_out": 5}
UP |= {"kernel_h": 4, "kernel_w": 3, "stride_h": 2, "pad_top": 1, "pad_left": 1, "groups": 2, "batch": 18}
# from one position, as a generator begins
SEED = {"channels_in": 5, "height_in": 3, "width_in": 4, "channels_out": 9, "height_out": 1, "width_out": 1}
SEED |= {"kernel_h": 3, "kernel_w": 4, "groups": 1, "batch": 3}
OUTPUTS = {"channels_out": 7, "batch": 19, "groups": 1}
PHASES = (C.OP_CONV_INPUT_GRADIENT, C.OP_CONV_FORWARD, C.OP_CONV_WEIGHT_GRADIENT)


def transposed(layer: Mapping[str, int], flags: int = 0) -> list[Operation]:
    """Return the three phases of a transposed convolution; `flags` are the forward pass's."""
    forward, *others = ((opcode, {**layer, "flags": C.FLAG_TRANSPOSED}) for opcode in PHASES)
    return [(forward[0], {**layer, "flags": C.FLAG_TRANSPOSED | flags}), *others]


# A slot holds the loss of one command, the last.
PROGRAMS = {
    "small-operations-sigmoid": [
        *transposed(UP),
        (C.OP_SQUARED_ERROR, {**OUTPUTS, "flags": C.FLAG_FIXED}),
        (C.OP_SIGMOID_CROSS_ENTROPY, {**OUTPUTS, "channels_out": 3}),
    ],
    "small-operations-squared": [
        *transposed(SEED, C.FLAG_FIXED),
        (C.OP_SIGMOID_CROSS_ENTROPY, {**OUTPUTS, "flags": C.FLAG_FIXED}),
        (C.OP_SQUARED_ERROR, OUTPUTS),
    ],
}


def operand(region: Region, seed: int, flags: int) -> Any:
    """Return what a region that is read holds before: any maps and weights, exponents near each other."""
    if region.name == "slot":
        return slot_head()
    if region.name == "site":
        return site(6 if flags & C.FLAG_FIXED else None)
    order = epoch_order(int(np.prod(region.shape)), seed, 0).reshape(region.shape)
    if region.dtype == np.int8:
        return order % 201 - 100
    targets = order * 7919 % 32769
    if region.name == "source_2":  # of a loss
        return targets
    if region.name == "source":  # logits: of every other sample its targets, of the rest from -8 to 8
        return np.where(np.arange(region.shape[1]) % 2, order * 1237 % 4096 - 2048, targets >> 7)
    return order % 3 + 8


def record_operations(path: Path, operations: Sequence[Operation]) -> None:
    """Record one step of a program of `operations` in `path`; the whole memory is what it must leave."""
    commands = np.zeros(len(operations), COMMAND)
    placed: list[tuple[Region, int, int, Any]] = []
    end, slot_bytes = aligned(commands.nbytes), aligned(SLOT.itemsize)
    for index, (opcode, fields) in enumerate(operations):
        command = commands[index : index + 1]
        for field, value in {**DEFAULTS, **fields, "opcode": opcode, "layer": index}.items():
            command[field] = value
        for region in regions(opcode, fields):
            plane = region.plane_bytes(1) if region.layout in PLANES else 0
            at = 0 if region.name == "slot" else slot_bytes if region.in_slot else end
            if region.name != "slot":
                command[region.name] = at
                slot_bytes += aligned(region.nbytes(plane)) if region.in_slot else 0
                end += 0 if region.in_slot else aligned(region.nbytes(plane))
            if plane:
                command[f"{region.name}_plane"] = plane
            placed.append((region, at, plane, operand(region, index, fields.get("flags", 0)) if region.read else None))
    slots, report = end, end + slot_bytes
    arena = np.zeros(report + aligned(REPORT.itemsize), np.uint8)
    arena[: commands.nbytes] = commands.view(np.uint8)
    for region, at, plane, values in placed:
        if values is not None:
            region.put(arena, at + (slots if region.in_slot else 0), plane, values)
    registers = Registers(0, len(commands), 1, slots, slot_bytes, 1, 0, report)
    check = [(0, report + REPORT.fields["cycles"][1])]
    write_golden(path, ReferenceDevice(), registers, arena, check)
