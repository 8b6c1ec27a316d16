"""A program: the commands of one step, the mini-batch slot they expect, and the workspace they need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.runtime.contract import COMMAND, SLOT, STATUS_NAMES, C
from strop.runtime.errors import InputError, ProgramError
from strop.runtime.planner import Placement, align

LARGEST_ARENA = 2**32 - C.ALIGN_BYTES  # offsets are 32 bits


@dataclass(frozen=True)
class SlotLayout:
    """Where a mini-batch lies in its slot; offsets count from the slot.

    Logits are there in inference only; in training their room is that of soft targets, which have their shape.
    """

    batch: int
    labels: int
    images: int
    logits: int
    logits_plane: int
    logits_exponent: int
    nbytes: int

    @staticmethod
    def of(batch: int, image_bytes: int, classes: int) -> SlotLayout:
        """Lay out a slot for `batch` images of `image_bytes` each."""
        labels = align(SLOT.itemsize)
        images = labels + align(4 * batch)
        exponent = images + align(batch * image_bytes)
        logits = exponent + C.ALIGN_BYTES
        plane = align(4 * batch)
        return SlotLayout(batch, labels, images, logits, plane, exponent, logits + classes * plane)


@dataclass(frozen=True)
class ArenaBase:
    """Where the regions of an arena begin, bytes."""

    commands: int
    report: int
    slots: int
    workspace: int


@dataclass(frozen=True)
class Program:
    """What a device runs: commands (dtype `contract.COMMAND`), and names to speak of them."""

    kind: str  # "train", "infer", "features" or "views"
    batch: int
    commands: NDArray[Any]
    layers: tuple[str, ...]  # by the commands' `layer`
    slot: SlotLayout
    tensors: dict[str, Placement]  # workspace tensors; offsets count from the end of the exponent words
    workspace_bytes: int
    result: int | None = None  # arena offset of the feature map that the host reads afterwards

    def locate(self, report: np.void) -> str:
        """Return in words which command a report speaks of."""
        layer = self.layers[int(report["layer"])] if int(report["layer"]) < len(self.layers) else "?"
        return f"step {int(report['step'])}, command {int(report['command'])}, layer {layer}"

    def raise_for(self, report: np.void) -> None:
        """Raise what the kernel's report says went wrong; return if nothing did."""
        status = int(report["status"])
        if status == C.STATUS_OK:
            return
        where = self.locate(report)
        if status == C.STATUS_LABEL_RANGE:
            raise InputError(f"{where}: the label of sample {int(report['detail'])} of the mini-batch is out of range")
        if status == C.STATUS_SITE_UNSET:
            raise ProgramError(
                f"{where}: this layer was never trained, so it has no shift to infer with; train it first"
            )
        if status == C.STATUS_BAD_COMMAND:
            fields = COMMAND.names or ()  # words, up to the reserved ones at the end
            field = fields[min(int(report["detail"]), len(fields) - 1)]
            raise ProgramError(f"{where}: the command's field {field!r} is beyond its limit; this is a fault of strop")
        raise ProgramError(f"{where}: the kernel stopped with {STATUS_NAMES.get(status, status)}")
