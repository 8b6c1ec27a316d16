"""The reference device's own errors: what the kernel has no status for, and limits of the contract."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest

from op_programs import run_op
from strop.runtime.contract import COMMAND, C, Registers
from strop.runtime.errors import DeviceError, InputError, MemoryPlanError, ProgramError
from strop.runtime.reference import ReferenceDevice

FLATTEN = {"batch": 2, "channels_in": 3, "height_in": 4, "width_in": 5}


@pytest.fixture
def reference() -> Iterator[ReferenceDevice]:
    device = ReferenceDevice()
    yield device
    device.close()


def test_says_what_it_is(reference: ReferenceDevice) -> None:
    """Protects the stated fallback: the name tells which device it is, the description that it is slow."""
    assert reference.name == "reference"
    assert "slow oracle" in reference.description
    assert reference.contract_version == C.CONTRACT_VERSION
    assert reference.numerics_version == C.NUMERICS_VERSION


def test_memory_must_be_allocated(reference: ReferenceDevice) -> None:
    """Protects callers from an attribute error: the message says what to call."""
    with pytest.raises(DeviceError, match="call allocate"):
        reference.read(0, 1)
    for nbytes in (0, 2**32 + 1):
        with pytest.raises(MemoryPlanError, match="offsets are 32 bits"):
            reference.allocate(nbytes)


def test_memory_is_zeroed_and_bounded(reference: ReferenceDevice) -> None:
    """Protects allocate, write and read: zeros, exact bytes, nothing beyond the end."""
    reference.allocate(64)
    reference.write(60, np.array([0x01020304], "<u4"))
    assert reference.read(56, 8).tolist() == [0, 0, 0, 0, 4, 3, 2, 1]
    for offset, count in ((61, 4), (-1, 1), (65, 0)):
        with pytest.raises(InputError, match="arena of 64"):
            reference.read(offset, count)
    with pytest.raises(InputError, match=re.escape("bytes 61 to 65 of an arena of 64")):
        reference.write(61, np.zeros(4, np.uint8))
    reference.allocate(64)
    assert not reference.read(0, 64).any()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("source", 32, "offsets are multiples of 64"),
        ("source", 1 << 20, "the arena has 4096 bytes"),
        ("source_plane", 1290, "must be a multiple of 64"),
        ("source_plane", 1216, "no smaller"),  # a quad has 20 words
        ("target_plane", 128, "the arena has 4096 bytes"),  # 15 quads
    ],
)
def test_a_program_that_leaves_its_memory_is_named(
    reference: ReferenceDevice, field: str, value: int, message: str
) -> None:
    """Protects the compiler's author: a tensor that was planned wrongly is named with its command and layer."""
    command = np.zeros(1, COMMAND)
    fields = {"opcode": C.OP_FLATTEN, "layer": 7, **FLATTEN, "source": 512, "source_plane": 1280, "target": 3072}
    for name, number in {**fields, "target_plane": 64, field: value}.items():
        command[name] = number
    reference.allocate(4096)
    reference.write(0, command)
    registers = Registers(
        program=0, commands=1, steps=1, slots=256, slot_stride=64, slot_count=1, first_slot=0, report=256
    )
    with pytest.raises(ProgramError, match=rf"step 0, command 0 \(flatten\), layer 7: .*{message}"):
        reference.run(registers)


@pytest.mark.parametrize(
    ("opcode", "fields"),
    [
        (C.OP_FLATTEN, {**FLATTEN, "batch": C.MAX_BATCH + 1}),
        (C.OP_L1BN_FORWARD, {"batch": 1, "channels_out": 1, "height_out": 1, "width_out": 1, "activation": 2}),
        (C.OP_FLATTEN, {**FLATTEN, "flags": C.FLAG_TRANSPOSED}),
    ],
)
def test_a_field_beyond_its_limit_is_reported(reference: ReferenceDevice, opcode: int, fields: dict[str, int]) -> None:
    """Protects the limits: the report names the word of the first field that the contract does not allow."""
    command = np.zeros(1, COMMAND)
    for name, value in {**fields, "opcode": opcode}.items():
        command[name] = value
    reference.allocate(1024)
    reference.write(0, command)
    registers = Registers(
        program=0, commands=1, steps=1, slots=256, slot_stride=64, slot_count=1, first_slot=0, report=256
    )
    report = reference.run(registers)
    wrong = [name for name, value in fields.items() if name in ("flags", "activation") or value > C.MAX_BATCH]
    words = command.view(np.uint32)
    assert report["status"] == C.STATUS_BAD_COMMAND
    assert words[report["detail"]] == fields[wrong[0]]
    assert COMMAND.names is not None
    assert COMMAND.names[report["detail"]] == wrong[0]


def test_counts_beyond_their_limits_are_reported(reference: ReferenceDevice) -> None:
    """Protects the registers: nothing runs when a count is too large or there is no slot."""
    reference.allocate(512)
    good = {"program": 0, "commands": 0, "steps": 1, "slots": 0, "slot_stride": 64, "slot_count": 1, "first_slot": 0}
    assert reference.run(Registers(**good, report=256))["status"] == C.STATUS_OK
    for wrong in ({"commands": C.MAX_COMMANDS + 1}, {"steps": C.MAX_STEPS + 1}, {"slot_count": 0}):
        report = reference.run(Registers(**{**good, **wrong}, report=256))
        assert report["status"] == C.STATUS_BAD_REGISTERS
        assert report["steps_done"] == 0


def test_padding_between_planes_stays(reference: ReferenceDevice) -> None:
    """Protects what lies between planes: only the words of a map are written, where `plane` leaves room for more."""
    source = np.arange(120).reshape(3, 2, 4, 5).astype(np.int8)
    inputs = {"source": source, "source_exponent": [3]}
    results = run_op(reference, C.OP_FLATTEN, FLATTEN, inputs, slack=2)
    assert np.array_equal(results["target"], source.transpose(0, 2, 3, 1).reshape(60, 2, 1, 1))
    assert np.count_nonzero(reference.read(0, 5000) == 0x5A) >= 15 * 2 * 64  # two idle lines after each of 15 quads
