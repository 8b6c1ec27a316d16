"""Where a job's samples come from: a built-in data set, an uploaded one, or the samples that were posted one by one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from strop.host.data import Dataset, load_dataset, shift_dataset
from strop.host.data.load import NAMED_DATASETS
from strop.host.data.npz_dataset import load_npz
from strop.host.data.shifts import SHIFTS
from strop.runtime.errors import DataError, InputError

SAMPLES = "samples"


def check_source(db: sqlite3.Connection, source: str, shift: str | None) -> None:
    """Raise `InputError` unless there is data of that name."""
    known = source in NAMED_DATASETS or source == SAMPLES
    if not known and db.execute("SELECT 1 FROM datasets WHERE id = ?", (source,)).fetchone() is None:
        raise InputError(
            f"data {source!r} is neither {', '.join(NAMED_DATASETS)}, {SAMPLES!r}, nor the id of a data set; "
            "POST /datasets uploads one"
        )
    if shift is not None and shift not in SHIFTS:
        raise InputError(f"shift {shift!r} is not known; allowed: {', '.join(SHIFTS)}")


def load_source(
    db: sqlite3.Connection, folder: Path, source: str, split: str, shift: str | None, job_id: str | None = None
) -> Dataset:
    """Return the samples of a source; `split` "train" or "test" where it has both. Raises `DataError`."""
    if source in NAMED_DATASETS:
        dataset = load_dataset(source, "test" if split == "test" else "train")
    elif source == SAMPLES:
        raise DataError(f"{job_id}: samples one by one are not there yet")
    else:
        row = db.execute("SELECT path FROM datasets WHERE id = ?", (source,)).fetchone()
        if row is None:
            raise DataError(f"the data set {source} was deleted")
        dataset = load_npz(folder / row["path"], "all")
    return dataset if shift is None else shift_dataset(dataset, shift)
