"""The files of a run in a folder: its record when it is done, and until then what it goes on from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.host.continual.report import RunRecord, read_record, write_record
from strop.host.continual.run import PROGRESS_SUFFIX, progress_path, read_progress
from strop.host.continual.run_settings import check_settings
from strop.runtime.errors import DataError


@dataclass(frozen=True)
class RunFiles:
    """Files in an existing `folder`, called after the run: benchmark, strategy, buffer (None for none) and seed."""

    folder: Path
    benchmark: str
    strategy: str
    buffer: int | None
    seed: int

    @property
    def label(self) -> str:
        """The run within its benchmark, such as "replay-200-seed0"."""
        buffer = () if self.buffer is None else (str(self.buffer),)
        return "-".join((_plain_name(self.strategy), *buffer, f"seed{self.seed}"))

    @property
    def record(self) -> Path:
        """Where the record stands when the run is done."""
        return self.folder / f"{_plain_name(self.benchmark)}-{self.label}.json"

    @property
    def checkpoint(self) -> Path:
        """Where the learner stands until then."""
        return self.record.with_suffix(".safetensors")

    @property
    def any(self) -> bool:
        """Whether there is any of them."""
        return self.record.exists() or self.checkpoint.exists()

    def finished(self, settings: Mapping[str, Any]) -> RunRecord | None:
        """Return the record of the run, or None if it is not done.

        Raises CheckpointMismatch where the run that is done was told other `settings`, DataError where the file is no
        record.
        """
        if not self.record.exists():
            return None
        record = read_record(self.record)
        check_settings(record.settings, settings, self.record)
        return record

    def broken_off(self, settings: Mapping[str, Any]) -> bool:
        """Return whether the run can go on from its checkpoint.

        Raises CheckpointMismatch where it began with other `settings`, CheckpointError where that cannot be told.
        """
        if not self.checkpoint.exists():
            return False
        check_settings(read_progress(self.checkpoint)["settings"], settings, self.checkpoint)
        return True

    def finish(self, record: RunRecord) -> None:
        """Write the record; what the run would have gone on from is removed."""
        write_record(record, self.record)
        self.clear()

    def clear(self) -> None:
        """Remove what a run goes on from; a kill may have left it beside the record."""
        for path in (self.checkpoint, progress_path(self.checkpoint)):
            path.unlink(missing_ok=True)


def records_in(folder: Path) -> tuple[list[RunRecord], list[str]]:
    """Return the records in a folder, by file name, and for each other .json file there why it is none."""
    records, others = [], []
    for path in sorted(folder.glob("*.json")):
        if path.name.endswith(PROGRESS_SUFFIX):
            continue  # of a run that is not done
        try:
            records.append(read_record(path))
        except DataError as error:
            others.append(str(error))
    return records, others


def _plain_name(text: str) -> str:
    return re.sub(r"[^a-z0-9.+=_]+", "-", text.lower()).strip("-.") or "x"
