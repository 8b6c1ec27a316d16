"""How every device walks through steps, slots and commands, and how it stops: the report of a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from op_programs import run_op, site, slot_head
from strop.runtime.contract import COMMAND, REPORT, SLOT, C, Registers

SLOTS, SLOT_BYTES, REPORT_AT, ARENA = 4096, 128, 2048, 8192
LABELS = 64  # offset in a slot
CLASSES, SAMPLES = 2, 3


def count_command(**fields: int) -> NDArray[Any]:
    """Return a SOFTMAX_CROSS_ENTROPY command that only counts: equal logits, so that label 0 is correct."""
    command = np.zeros(1, COMMAND)
    sizes = {"batch": SAMPLES, "channels_out": CLASSES, "source": 1024, "source_plane": 64, "source_exponent": 1280}
    softmax = {"opcode": C.OP_SOFTMAX_CROSS_ENTROPY, "flags": C.FLAG_FIXED, "labels": LABELS}
    for name, value in {**softmax, **sizes, **fields}.items():
        command[name] = value
    return command


def start(device: Any, program: NDArray[Any], labels: list[list[int]], *, steps: int, first_slot: int) -> np.void:
    """Run `program` over slots that hold `labels`; return the report."""
    device.allocate(ARENA)
    device.write(0, program)
    for slot, values in enumerate(labels):
        device.write(SLOTS + slot * SLOT_BYTES + LABELS, np.array(values, np.int32))
    registers = Registers(
        program=0,
        commands=len(program),
        steps=steps,
        slots=SLOTS,
        slot_stride=SLOT_BYTES,
        slot_count=len(labels),
        first_slot=first_slot,
        report=REPORT_AT,
    )
    report: np.void = device.run(registers)
    in_memory = device.read(REPORT_AT, REPORT.itemsize).view(REPORT)[0]
    assert in_memory == report, "the record that run returns is the one in the arena"
    return report


def correct(device: Any, slot: int) -> int | None:
    """Return the correct count of a slot, None where no step has written it."""
    head = device.read(SLOTS + slot * SLOT_BYTES, SLOT.itemsize).view(SLOT)[0]
    return int(head["correct"]) if head["samples"] else None


@pytest.mark.parametrize(
    ("steps", "first", "visited"),
    [(0, 0, []), (1, 0, [0]), (2, 3, [3, 0]), (3, 2, [2, 3, 0]), (9, 1, [0, 1, 2, 3]), (2, 7, [3, 0])],
)
def test_steps_walk_through_the_slots_in_a_ring(device: Any, steps: int, first: int, visited: list[int]) -> None:
    """Protects streaming: step i takes slot (first + i) mod count, and no other."""
    labels = [[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0]]
    report = start(device, count_command(), labels, steps=steps, first_slot=first)
    assert (report["status"], report["steps_done"]) == (C.STATUS_OK, steps)
    assert [correct(device, slot) for slot in range(4)] == [slot if slot in visited else None for slot in range(4)]


@pytest.mark.parametrize("opcode", [C.OP_NONE, C.OP_COUNT, 2**32 - 1])
def test_an_opcode_that_does_not_exist_stops_the_run(device: Any, opcode: int) -> None:
    """Protects old hardware from new programs, and all from blank memory: the report names the command that stopped."""
    program = np.concatenate(
        [count_command(layer=3), count_command(opcode=opcode, layer=5), count_command(batch=1, layer=6)]
    )
    report = start(device, program, [[0, 0, 0], [0, 0, 0]], steps=2, first_slot=0)
    assert report["status"] == C.STATUS_UNKNOWN_OPCODE
    assert [report[name] for name in ("step", "command", "layer", "steps_done")] == [0, 1, 5, 0]
    assert correct(device, 0) == 3  # the first command ran, the third did not
    assert correct(device, 1) is None


def test_full_steps_before_an_error_are_counted(device: Any) -> None:
    """Protects recovery: `steps_done` counts mini-batches that are complete, when a later one fails on its labels."""
    report = start(device, count_command(layer=9), [[0, 1, 1], [1, 0, 0], [0, 0, 2], [0, 0, 0]], steps=4, first_slot=0)
    assert report["status"] == C.STATUS_LABEL_RANGE
    assert [report[name] for name in ("step", "command", "layer", "steps_done", "detail")] == [2, 0, 9, 2, 2]
    assert [correct(device, slot) for slot in range(4)] == [1, 2, None, None]


SOFTMAX = {"batch": 5, "channels_out": 4}


@pytest.mark.parametrize("wrong", [-1, 4, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("flags", [0, C.FLAG_FIXED])
def test_a_label_outside_the_classes_is_found_before_anything_is_written(device: Any, wrong: int, flags: int) -> None:
    """Protects state: the first bad sample is named, and neither dither, error nor slot has moved."""
    dither = np.array([77], np.uint32)
    head = slot_head()
    head["correct"], head["loss_sum"] = 11, 12
    inputs = {
        "source": np.zeros((4, 5)),
        "source_exponent": [4],
        "labels": [0, 3, wrong, 9, 1],
        "slot": head,
        "dither": dither,
    }
    results = run_op(device, C.OP_SOFTMAX_CROSS_ENTROPY, {**SOFTMAX, "flags": flags, "layer": 6}, inputs)
    assert results["report"].tolist() == [C.STATUS_LABEL_RANGE, 0, 0, 6, 0, 2]
    assert results["slot"] == head
    if not flags:
        assert results["dither"] == dither
        assert (results["target"].view(np.uint8) == 0x5A).all()


def test_a_fixed_shift_that_training_never_chose_stops_the_run(device: Any) -> None:
    """Protects evaluation of an untrained network: SITE_UNSET, and nothing is written."""
    fields = {
        "batch": 2,
        "channels_in": 3,
        "height_in": 1,
        "width_in": 1,
        "channels_out": 4,
        "height_out": 1,
        "width_out": 1,
        "flags": C.FLAG_FIXED,
        "layer": 2,
    }
    inputs = {
        "source": np.ones((3, 2, 1, 1)),
        "weights": np.ones((4, 3, 1, 1)),
        "source_exponent": [7],
        "weight_exponent": [7] * 4,
        "site": site(),
    }
    results = run_op(device, C.OP_CONV_FORWARD, fields, inputs)
    assert results["report"].tolist() == [C.STATUS_SITE_UNSET, 0, 0, 2, 0, 0]
    assert (results["target"].view(np.uint8) == 0x5A).all()
    assert not results["site"].any()
    results = run_op(device, C.OP_CONV_FORWARD, fields, {**inputs, "site": site(1)})
    assert results["report"][0] == C.STATUS_OK
    assert (results["target"] == 2).all()  # 3 / 2, rounded half up
    assert np.array_equal(results["site"], site(1))
