"""Sizes beyond the contract are refused alike by kernel and reference, before anything of the command runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from strop.runtime.contract import COMMAND, REPORT, C, Registers
from strop.runtime.device import Device

SIZES = {
    "channels_in": 4,
    "height_in": 6,
    "width_in": 5,
    "channels_out": 4,
    "height_out": 6,
    "width_out": 5,
    "batch": 2,
}
SMALL = {**SIZES, "groups": 2, "rows": 1, "columns": 1, "activation": C.ACTIVATION_RELU}
SMALL |= dict.fromkeys(("kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w"), 1)
INPUT, OUTPUT = ("channels_in", "height_in", "width_in"), ("height_out", "width_out")
WINDOW = ("kernel_h", "kernel_w", "stride_h", "stride_w", "pad_top", "pad_left")
CONVOLUTION = ("batch", *INPUT, "channels_out", *OUTPUT, *WINDOW, "groups", "dilation_h", "dilation_w")
VIEW = ("rows", "columns", "channels_in", "channels_out", "kernel_h", "kernel_w", "groups")
USED = {
    C.OP_INPUT: ("batch", *INPUT, *OUTPUT),
    C.OP_CONV_FORWARD: CONVOLUTION,
    C.OP_CONV_INPUT_GRADIENT: CONVOLUTION,
    C.OP_CONV_WEIGHT_GRADIENT: CONVOLUTION,
    C.OP_L1BN_FORWARD: ("activation", "batch", "channels_out", *OUTPUT),
    C.OP_L1BN_BACKWARD: ("activation", "batch", "channels_out", *OUTPUT),
    C.OP_MAX_POOL_FORWARD: ("batch", *INPUT, *OUTPUT, *WINDOW),
    C.OP_MAX_POOL_BACKWARD: ("batch", *INPUT, *OUTPUT, *WINDOW),
    C.OP_GLOBAL_AVERAGE_POOL_FORWARD: ("batch", *INPUT),
    C.OP_GLOBAL_AVERAGE_POOL_BACKWARD: ("batch", *INPUT),
    C.OP_FLATTEN: ("batch", *INPUT),
    C.OP_UNFLATTEN: ("batch", *INPUT),
    C.OP_SOFTMAX_CROSS_ENTROPY: ("batch", "channels_out"),
    C.OP_SGD: ("rows", "columns"),
    C.OP_WEIGHT_VIEW: VIEW,
    C.OP_ADD_FORWARD: ("activation", "batch", "channels_out", *OUTPUT),
    C.OP_ADD_BACKWARD: ("activation", "batch", "channels_out", *OUTPUT),
    C.OP_ACTIVATION_FORWARD: ("batch", "channels_out", *OUTPUT),
    C.OP_ACTIVATION_BACKWARD: ("batch", "channels_out", *OUTPUT),
    C.OP_AVERAGE_POOL_FORWARD: ("batch", *INPUT, *OUTPUT, *WINDOW),
    C.OP_AVERAGE_POOL_BACKWARD: ("batch", *INPUT, *OUTPUT, *WINDOW),
    C.OP_ADD_GRADIENT: ("batch", "channels_out", *OUTPUT),
    C.OP_ELASTIC_PULL: ("rows", "columns"),
    C.OP_UPSAMPLE_FORWARD: ("batch", *INPUT, *OUTPUT, "stride_h", "stride_w"),
    C.OP_UPSAMPLE_BACKWARD: ("batch", *INPUT, *OUTPUT, "stride_h", "stride_w"),
    C.OP_SIGMOID_CROSS_ENTROPY: ("batch", "channels_out"),
    C.OP_SQUARED_ERROR: ("batch", "channels_out"),
}
MAY_BE_ZERO = ("activation", "pad_top", "pad_left")
TOO_LARGE = 0x80000001


def report_of(device: Device, fields: dict[str, int]) -> tuple[Any, bool]:
    """Run one command in an arena of marked bytes; return its report and whether any other byte changed."""
    command = np.zeros(1, COMMAND)
    for name, value in fields.items():
        command[name] = value
    arena = np.full(1 << 16, 0x5A, np.uint8)
    arena[: COMMAND.itemsize] = command.view(np.uint8)
    device.allocate(arena.size)
    device.write(0, arena)
    report = device.run(Registers(0, 1, 1, 4096, 64, 1, 0, 1024))
    after = device.read(0, arena.size)
    after[1024 : 1024 + REPORT.itemsize] = 0x5A
    return report, not np.array_equal(arena, after)


@pytest.mark.parametrize(("opcode", "field"), [(opcode, field) for opcode, used in USED.items() for field in used])
def test_a_field_beyond_its_limit_is_named(device: Device, opcode: int, field: str) -> None:
    """Protects the machine from a wrong program: no division by 0, no byte written, and the word is named."""
    for value in (TOO_LARGE,) if field in MAY_BE_ZERO else (0, TOO_LARGE):
        report, changed = report_of(device, {**SMALL, "opcode": opcode, field: value})
        assert (report["status"], report["detail"]) == (C.STATUS_BAD_COMMAND, COMMAND.fields[field][1] // 4)
        assert not changed


@pytest.mark.parametrize("field", VIEW)
def test_an_update_that_makes_a_view_is_checked_as_one(device: Device, field: str) -> None:
    """Protects the view's memory: SGD with VIEW uses words that SGD alone does not look at."""
    for value in (0, TOO_LARGE):
        fields = {**SMALL, "opcode": C.OP_SGD, "flags": C.FLAG_VIEW, field: value}
        report, changed = report_of(device, fields)
        assert (report["status"], report["detail"]) == (C.STATUS_BAD_COMMAND, COMMAND.fields[field][1] // 4)
        assert not changed


ONE = {"flags": C.FLAG_PIXELS, "channels_in": 1, "groups": 1}
SHAPED = {"rows": 4, "columns": 2 * 3, "kernel_h": 3}
CONTRADICTIONS = [
    (C.OP_WEIGHT_VIEW, {**SHAPED, "rows": 5}, "rows"),
    (C.OP_WEIGHT_VIEW, {**SHAPED, "columns": 7}, "columns"),
    (C.OP_SGD, {**SHAPED, "flags": C.FLAG_VIEW, "columns": 12}, "columns"),  # of one group, not of both
    (C.OP_WEIGHT_VIEW, {**SHAPED, "channels_in": 5}, "groups"),
    (C.OP_WEIGHT_VIEW, {**SHAPED, **ONE, "channels_in": 3}, "channels_in"),
    (C.OP_SGD, {**SHAPED, **ONE, "flags": C.FLAG_PIXELS | C.FLAG_VIEW, "groups": 2, "channels_in": 2}, "groups"),
    (C.OP_INPUT, {**ONE, "channels_in": 3}, "channels_in"),
    (C.OP_INPUT, {**ONE, "columns": C.MAX_KERNEL}, "columns"),
    (C.OP_CONV_FORWARD, {**ONE, "channels_in": 4}, "channels_in"),
    (C.OP_CONV_FORWARD, {**ONE, "channels_in": 2, "groups": 2}, "groups"),
    (C.OP_CONV_WEIGHT_GRADIENT, {**ONE, "kernel_w": 3, "pad_left": 1}, "pad_left"),
    (C.OP_CONV_INPUT_GRADIENT, ONE, "flags"),
    (C.OP_MAX_POOL_FORWARD, ONE, "flags"),
    (C.OP_INPUT, {"pad_top": 1}, "pad_top"),
    (C.OP_INPUT, {"pad_left": 1 << 22}, "pad_left"),
    (C.OP_INPUT, {"height_in": 7}, "pad_top"),
    (C.OP_CONV_FORWARD, {"kernel_w": 2, "pad_left": 2}, "pad_left"),
    (C.OP_CONV_WEIGHT_GRADIENT, {"height_out": 7}, "height_out"),
    (C.OP_MAX_POOL_FORWARD, {"width_out": 3, "stride_w": 3}, "width_out"),
    (C.OP_AVERAGE_POOL_BACKWARD, {"kernel_h": 2, "pad_top": 2}, "pad_top"),
    (C.OP_AVERAGE_POOL_FORWARD, {"height_out": 7}, "height_out"),
    (C.OP_UPSAMPLE_FORWARD, {"stride_h": 2}, "height_out"),
    (C.OP_UPSAMPLE_BACKWARD, {"stride_w": 4}, "width_out"),
    (C.OP_CONV_FORWARD, {"flags": C.FLAG_LOGITS, "width_out": 1}, "height_out"),
    (C.OP_CONV_FORWARD, {"flags": C.FLAG_LOGITS, "height_out": 1}, "width_out"),
    (C.OP_L1BN_FORWARD, {"flags": C.FLAG_FIXED | C.FLAG_RUNNING}, "flags"),
    (C.OP_L1BN_BACKWARD, {"flags": C.FLAG_FIXED | C.FLAG_RUNNING}, "flags"),
    *((C.OP_CONV_FORWARD, {"flags": C.FLAG_TRANSPOSED | flag}, "flags") for flag in (C.FLAG_LOGITS, C.FLAG_FLAT)),
    (C.OP_CONV_FORWARD, {**ONE, "flags": C.FLAG_TRANSPOSED | C.FLAG_PIXELS}, "flags"),
    (C.OP_CONV_INPUT_GRADIENT, {"flags": C.FLAG_TRANSPOSED | C.FLAG_FLAT}, "flags"),
    (C.OP_CONV_WEIGHT_GRADIENT, {"flags": C.FLAG_TRANSPOSED | C.FLAG_BIAS}, "flags"),
    (C.OP_L1BN_FORWARD, {"flags": C.FLAG_TRANSPOSED}, "flags"),
    (C.OP_SIGMOID_CROSS_ENTROPY, {"channels_out": C.MAX_CLASSES + 1}, "channels_out"),
    (C.OP_SQUARED_ERROR, {"channels_out": C.MAX_CLASSES + 1}, "channels_out"),
    (C.OP_ELASTIC_PULL, {"rows": 2, "columns": 2}, "rows"),
    (C.OP_SOFTMAX_CROSS_ENTROPY, {"flags": C.FLAG_FIXED | C.FLAG_SOFT}, "flags"),
    (C.OP_L1BN_FORWARD, {"batch": 4096, "height_out": 1024, "width_out": 1024}, "batch"),  # m wraps to 0 in 32 bits
    (C.OP_CONV_INPUT_GRADIENT, {"batch": 4096, "height_in": 33, "height_out": 33}, "batch"),
    (C.OP_CONV_FORWARD, {"channels_in": 60000, "kernel_h": 5, "height_out": 2}, "channels_in"),
    (C.OP_CONV_INPUT_GRADIENT, {"channels_out": 60000, "kernel_h": 5, "height_out": 2}, "channels_out"),
]


@pytest.mark.parametrize(("opcode", "fields", "named"), CONTRADICTIONS)
def test_words_that_contradict_each_other_are_refused(
    device: Device, opcode: int, fields: dict[str, int], named: str
) -> None:
    """Protects on-chip memory and int32 sums from sizes that are allowed one by one."""
    report, changed = report_of(device, {**SMALL, "opcode": opcode, **fields})
    assert (report["status"], report["detail"]) == (C.STATUS_BAD_COMMAND, COMMAND.fields[named][1] // 4)
    assert not changed


@pytest.mark.parametrize("opcode", [C.OP_L1BN_FORWARD, C.OP_L1BN_BACKWARD, C.OP_ADD_FORWARD, C.OP_ACTIVATION_FORWARD])
@pytest.mark.parametrize("exponent", [-1, 9, -(2**31)])
def test_an_output_exponent_beyond_its_range_is_refused(device: Device, opcode: int, exponent: int) -> None:
    """Protects the shifts of L1BN's constants and of summands."""
    report, changed = report_of(device, {**SMALL, "opcode": opcode, "exponent": exponent})
    assert (report["status"], report["detail"]) == (C.STATUS_BAD_COMMAND, COMMAND.fields["exponent"][1] // 4)
    assert not changed


@pytest.mark.parametrize("gain", [-1, C.MAX_POOL_GAIN + 1])
def test_a_gain_beyond_its_range_is_refused(device: Device, gain: int) -> None:
    """Protects the sums of global average pooling, which the gain multiplies."""
    report, changed = report_of(device, {**SMALL, "opcode": C.OP_GLOBAL_AVERAGE_POOL_FORWARD, "exponent": gain})
    assert (report["status"], report["detail"]) == (C.STATUS_BAD_COMMAND, COMMAND.fields["exponent"][1] // 4)
    assert not changed


@pytest.mark.parametrize("channels", ["channels_in", "channels_out"])
def test_channels_that_no_group_divides_are_refused(device: Device, channels: str) -> None:
    """Protects the division into groups: the word `groups` is named."""
    report, changed = report_of(device, {**SMALL, "opcode": C.OP_CONV_FORWARD, channels: 5})
    assert (report["status"], report["detail"]) == (C.STATUS_BAD_COMMAND, COMMAND.fields["groups"][1] // 4)
    assert not changed


def test_a_map_too_large_to_pool_whole_is_refused(device: Device) -> None:
    """Protects the on-chip row of global average pooling."""
    fields = {**SMALL, "opcode": C.OP_GLOBAL_AVERAGE_POOL_FORWARD, "height_in": 1024, "width_in": 5}
    report, changed = report_of(device, fields)
    assert (report["status"], report["detail"]) == (C.STATUS_BAD_COMMAND, COMMAND.fields["height_in"][1] // 4)
    assert not changed


@pytest.mark.parametrize("opcode", [C.OP_NONE, C.OP_COUNT, 0xFFFFFFFF])
def test_opcodes_that_do_not_exist_yet_are_refused(device: Device, opcode: int) -> None:
    """Protects later operations: a kernel that lacks one says so, whatever the other fields hold."""
    report, changed = report_of(device, {"opcode": opcode})
    assert report["status"] == C.STATUS_UNKNOWN_OPCODE
    assert not changed
