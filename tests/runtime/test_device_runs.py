"""How every device walks through steps, slots and commands, and how it stops: the report of a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from op_programs import run_op, site, slot_head
from strop.runtime.contract import COMMAND, REPORT, C, Registers

SLOTS, SLOT_BYTES, REPORT_AT, ARENA = 4096, 256, 2048, 8192
IMAGE, RESULT, EXPONENT = 64, 128, 192  # offsets in a slot


def input_command(layer: int = 0, **fields: int) -> NDArray[Any]:
    """Return an INPUT command that converts 1x1 images of the slot into the slot."""
    command = np.zeros(1, COMMAND)
    sizes = {"batch": 3, "channels_in": 1, "height_in": 1, "width_in": 1, "height_out": 1, "width_out": 1}
    places = {"source": IMAGE, "target": RESULT, "target_plane": 64, "target_exponent": EXPONENT}
    flags = C.FLAG_SOURCE_IN_SLOT | C.FLAG_TARGET_IN_SLOT
    for name, value in {"opcode": C.OP_INPUT, "flags": flags, "layer": layer, **sizes, **places, **fields}.items():
        command[name] = value
    return command


def start(device: Any, program: NDArray[Any], steps: int, slot_count: int, first_slot: int) -> np.void:
    """Run `program` over slots whose images are the slot's number; return the report."""
    device.allocate(ARENA)
    device.write(0, program)
    for slot in range(slot_count):
        device.write(SLOTS + slot * SLOT_BYTES + IMAGE, np.full(3, 200 + slot, np.uint8))
    registers = Registers(
        program=0,
        commands=len(program),
        steps=steps,
        slots=SLOTS,
        slot_stride=SLOT_BYTES,
        slot_count=slot_count,
        first_slot=first_slot,
        report=REPORT_AT,
    )
    report: np.void = device.run(registers)
    in_memory = device.read(REPORT_AT, REPORT.itemsize).view(REPORT)[0]
    assert in_memory == report, "the record that run returns is the one in the arena"
    return report


def converted(device: Any, slot: int) -> list[int]:
    """Return what INPUT wrote into a slot."""
    return [int(x) for x in device.read(SLOTS + slot * SLOT_BYTES + RESULT, 3).view(np.int8)]


@pytest.mark.parametrize(
    ("steps", "first", "visited"), [(1, 0, {0}), (2, 3, {3, 0}), (3, 2, {2, 3, 0}), (9, 1, {0, 1, 2, 3})]
)
def test_steps_walk_through_the_slots_in_a_ring(device: Any, steps: int, first: int, visited: set[int]) -> None:
    """Protects streaming: step i takes slot (first + i) mod count, and no other."""
    report = start(device, input_command(), steps, slot_count=4, first_slot=first)
    assert (report["status"], report["steps_done"]) == (C.STATUS_OK, steps)
    assert {slot for slot in range(4) if converted(device, slot) != [0, 0, 0]} == visited
    assert all(converted(device, slot) == [72 + slot] * 3 for slot in visited)


@pytest.mark.parametrize("opcode", [*range(C.OP_ADD_FORWARD, C.OP_COUNT), C.OP_COUNT, 2**32 - 1])
def test_an_opcode_that_does_not_exist_stops_the_run(device: Any, opcode: int) -> None:
    """Protects older hardware from newer programs: the report names the command; later ones do not run."""
    program = np.concatenate(
        [input_command(3), input_command(5, opcode=opcode), input_command(6, target=0, target_exponent=EXPONENT)]
    )
    report = start(device, program, steps=2, slot_count=1, first_slot=0)
    assert report["status"] == C.STATUS_UNKNOWN_OPCODE
    assert [report[name] for name in ("step", "command", "layer", "steps_done")] == [0, 1, 5, 0]
    assert converted(device, 0) == [72, 72, 72]
    assert not device.read(SLOTS, 3).any()


def test_full_steps_before_an_error_are_counted(device: Any) -> None:
    """Protects recovery: `steps_done` counts mini-batches that are complete, when a later one fails on its labels."""
    softmax = np.zeros(1, COMMAND)
    fields = {"opcode": C.OP_SOFTMAX_CROSS_ENTROPY, "flags": C.FLAG_FIXED, "batch": 3, "channels_out": 2, "layer": 9}
    for name, value in {**fields, "source": 1024, "source_plane": 64, "source_exponent": 1280, "labels": IMAGE}.items():
        softmax[name] = value
    device.allocate(ARENA)
    device.write(0, softmax)
    for slot, labels in enumerate(([0, 1, 1], [1, 0, 0], [0, 0, 2])):
        device.write(SLOTS + slot * SLOT_BYTES + IMAGE, np.array(labels, np.int32))
    registers = Registers(
        program=0,
        commands=1,
        steps=3,
        slots=SLOTS,
        slot_stride=SLOT_BYTES,
        slot_count=3,
        first_slot=0,
        report=REPORT_AT,
    )
    report = device.run(registers)
    assert report["status"] == C.STATUS_LABEL_RANGE
    assert [report[name] for name in ("step", "command", "layer", "steps_done", "detail")] == [2, 0, 9, 2, 2]


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
