"""From a received body to an .npz of its good samples, and the list of its bad ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, get_args

from strop.service.data.archive import Archive
from strop.service.data.batches import Batch
from strop.service.data.idx_intake import idx_batches, is_idx_archive
from strop.service.data.image_intake import image_batches
from strop.service.data.npz_intake import npz_batches
from strop.service.data.packing import Packing
from strop.service.data.quarantine import Quarantine
from strop.service.problems import Problem

Format = Literal["npz", "zip", "idx"]
FORMATS: tuple[Format, ...] = get_args(Format)
SHOWN_FAULTS = 10  # of an upload that is refused


@dataclass(frozen=True)
class Intake:
    """What became of an upload: `samples` images of `shape` = (C, H, W) at the path that was asked for."""

    samples: int
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    quarantine: Quarantine


def take_in(file: IO[bytes], format: Format, target: Path, incoming: Path, limit: int) -> Intake:
    """Check an upload, and write its good samples to `target`, atomically. Raises `Problem`; then nothing is written.

    limit: bytes, of what the archive inflates to, and of the pixels that are kept. incoming: folder for work.
    """
    archive, quarantine = Archive(file, limit), Quarantine()
    batches, classes = _batches(archive, format, quarantine, limit)
    with Packing(incoming, limit) as packing:
        for batch in batches:
            packing.add(batch)
        if packing.count == 0:
            faults = [{"source": source, "reason": reason} for source, reason in quarantine.listed[:SHOWN_FAULTS]]
            first = f", such as {faults[0]['source']}: {faults[0]['reason']}" if faults else ""
            raise Problem(
                "dataset_invalid", f"none of the {quarantine.count} samples can be taken{first}", errors=faults
            )
        if classes is None:
            classes = tuple(str(label) for label in range(packing.highest_label + 1))
        packing.write(target, classes)
        return Intake(packing.count, packing.shape, classes, quarantine)


def _batches(
    archive: Archive, format: Format, quarantine: Quarantine, limit: int
) -> tuple[Iterator[Batch], tuple[str, ...] | None]:
    if format == "npz":
        return npz_batches(archive, quarantine)
    if format == "idx" or is_idx_archive(archive):
        return idx_batches(archive, quarantine, limit), None
    return image_batches(archive, quarantine)
