"""Slots, and what a kernel's report becomes for the caller."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from small_networks import SMALL
from strop.runtime.compiler import compile_inference
from strop.runtime.contract import REPORT, SLOT, STATUS_NAMES, C
from strop.runtime.errors import InputError, ProgramError, StropError
from strop.runtime.program import ArenaBase, SlotLayout
from strop.runtime.state import StateLayout


@given(batch=st.integers(1, 300), image_bytes=st.integers(1, 3000), classes=st.integers(2, 300))
def test_the_parts_of_a_slot_lie_apart(batch: int, image_bytes: int, classes: int) -> None:
    """Protects a mini-batch: head, labels, images, logits and their exponent are aligned and share no byte."""
    slot = SlotLayout.of(batch, image_bytes, classes)
    parts = [
        (0, SLOT.itemsize),
        (slot.labels, 4 * batch),
        (slot.images, batch * image_bytes),
        (slot.logits_exponent, 4),
        (slot.logits, classes * slot.logits_plane),
        (slot.nbytes, 0),
    ]
    for (offset, nbytes), (following, _) in zip(parts, parts[1:], strict=False):
        assert offset + nbytes <= following
        assert following % C.ALIGN_BYTES == 0
    assert slot.batch == batch
    assert slot.logits_plane % C.ALIGN_BYTES == 0
    assert slot.logits_plane >= 4 * batch


def report(**fields: int) -> Any:
    """Return a strop_report."""
    record = np.zeros(1, REPORT)
    for name, value in fields.items():
        record[name] = value
    return record[0]


PROGRAM = compile_inference(SMALL, StateLayout(SMALL), 2, ArenaBase(0, 0, 0, 0))


def test_a_good_report_raises_nothing() -> None:
    """Protects the normal case, whatever the other words say."""
    PROGRAM.raise_for(report(status=C.STATUS_OK, layer=99, step=3))


@pytest.mark.parametrize(
    ("fields", "kind", "message"),
    [
        (
            {"status": C.STATUS_LABEL_RANGE, "step": 2, "command": 7, "layer": 7, "detail": 17},
            InputError,
            "step 2, command 7, layer loss: the label of sample 17 of the mini-batch is out of range",
        ),
        (
            {"status": C.STATUS_SITE_UNSET, "command": 1, "layer": 1},
            ProgramError,
            "layer conv1: this layer was never trained, so it has no shift to infer with; train it first",
        ),
        (
            {"status": C.STATUS_UNKNOWN_OPCODE, "step": 5, "command": 4, "layer": 3},
            ProgramError,
            "step 5, command 4, layer pool1: the kernel stopped with unknown_opcode",
        ),
        (
            {"status": C.STATUS_BAD_COMMAND, "layer": 1, "detail": 11},
            ProgramError,
            "layer conv1: the command's field 'kernel_h' is beyond its limit",
        ),
        ({"status": C.STATUS_BAD_COMMAND, "detail": 63}, ProgramError, "layer input: the command's field 'reserved'"),
        ({"status": C.STATUS_BAD_REGISTERS}, ProgramError, "the kernel stopped with bad_registers"),
        ({"status": 77, "layer": 10**6}, ProgramError, r"layer \?: the kernel stopped with 77"),  # a broken device
    ],
)
def test_a_bad_report_names_step_command_and_layer(
    fields: dict[str, int], kind: type[StropError], message: str
) -> None:
    """Protects whoever reads the error: it speaks of layers, not of words in memory."""
    with pytest.raises(kind, match=message):
        PROGRAM.raise_for(report(**fields))


@pytest.mark.parametrize("status", sorted(set(STATUS_NAMES) - {C.STATUS_OK}))
def test_no_failure_passes(status: int) -> None:
    """Protects against a status that the host would take for success."""
    with pytest.raises(StropError):
        PROGRAM.raise_for(report(status=status))
