"""Samples that were posted one by one: a buffer for each model, from which jobs take what is labelled.

unlabelled -> queued (by a label) -> training (a job has it) -> learned, or queued again where the job came to nothing.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from strop.service.ids import new_id

SampleState = Literal["unlabelled", "queued", "training", "learned"]
SAMPLE_STATES: tuple[SampleState, ...] = get_args(SampleState)
COLUMNS = "seq, id, model_id, label, shape, sha256, created, state, job_id"  # all but the image


@dataclass(frozen=True)
class Sample:
    """A row without its image. `label` counts the model's classes; `job_id` is the job that has it or learned it."""

    seq: int
    id: str
    model_id: str
    label: int | None
    shape: list[int]
    sha256: str
    created: float
    state: SampleState
    job_id: str | None


def add(db: sqlite3.Connection, id: str, model_id: str, image: NDArray[np.uint8], label: int | None) -> Sample:
    """Record a sample, image uint8 [C, H, W]; with a label it is queued."""
    pixels = image.tobytes()
    db.execute(
        "INSERT INTO samples (id, model_id, label, image, shape, sha256, created, state)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            id,
            model_id,
            label,
            pixels,
            json.dumps(image.shape),
            hashlib.sha256(pixels).hexdigest(),
            time.time(),
            "unlabelled" if label is None else "queued",
        ),
    )
    return get(db, id)


def new_sample_id() -> str:
    """Return an id for a sample, also for one that is put aside."""
    return new_id("sample")


def get(db: sqlite3.Connection, id: str) -> Sample:
    """Return a sample. Raises KeyError."""
    row = db.execute(f"SELECT {COLUMNS} FROM samples WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise KeyError(id)
    return _sample(row)


def image_of(db: sqlite3.Connection, id: str) -> NDArray[np.uint8]:
    """Return a sample's image, uint8 [C, H, W]. Raises KeyError."""
    row = db.execute("SELECT image, shape FROM samples WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise KeyError(id)
    image: NDArray[np.uint8] = np.frombuffer(row["image"], np.uint8).reshape(json.loads(row["shape"]))
    return image


def page(
    db: sqlite3.Connection,
    after: str | None,
    limit: int,
    model_id: str | None = None,
    state: SampleState | None = None,
) -> list[Sample]:
    """Return samples that came before `after`, which may have been deleted since, newest first."""
    rows = db.execute(
        f"SELECT {COLUMNS} FROM samples WHERE (?1 IS NULL OR seq < coalesce((SELECT seq FROM samples WHERE id = ?1),"
        " (SELECT max(seq) + 1 FROM samples WHERE id < ?1))) AND (?2 IS NULL OR model_id = ?2)"
        " AND (?3 IS NULL OR state = ?3) ORDER BY seq DESC LIMIT ?4",
        (after, model_id, state, limit),
    )
    return [_sample(row) for row in rows]


def set_label(db: sqlite3.Connection, id: str, label: int | None) -> Sample:
    """Change the label of a sample that no job has; with one it is queued, without it is not."""
    state = "unlabelled" if label is None else "queued"
    db.execute("UPDATE samples SET label = ?, state = ? WHERE id = ?", (label, state, id))
    return get(db, id)


def remove(db: sqlite3.Connection, id: str) -> None:
    """Forget a sample and its image."""
    db.execute("DELETE FROM samples WHERE id = ?", (id,))


def queued(db: sqlite3.Connection, model_id: str) -> int:
    """Return how many labelled samples of a model wait for a job."""
    row = db.execute("SELECT count(*) FROM samples WHERE model_id = ? AND state = 'queued'", (model_id,)).fetchone()
    return int(row[0])


def take_for_job(db: sqlite3.Connection, model_id: str, job_id: str) -> int:
    """Fix all queued samples of a model to a job; return how many there are. In the job's own transaction."""
    return db.execute(
        "UPDATE samples SET state = 'training', job_id = ? WHERE model_id = ? AND state = 'queued'",
        (job_id, model_id),
    ).rowcount


def settle(db: sqlite3.Connection, job_id: str, learned: bool) -> None:
    """A job has ended: its samples are learned, or wait for the next one."""
    if learned:
        db.execute("UPDATE samples SET state = 'learned' WHERE job_id = ? AND state = 'training'", (job_id,))
    else:
        db.execute(
            "UPDATE samples SET state = 'queued', job_id = NULL WHERE job_id = ? AND state = 'training'", (job_id,)
        )


def load(
    db: sqlite3.Connection, *, model_id: str | None = None, job_id: str | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return images uint8 [n, C, H, W] and labels int32 [n], in the order they came: a job's, or a model's queued ones.

    Raises ValueError where there are none, or of several shapes.
    """
    rows = db.execute(
        "SELECT image, shape, label FROM samples WHERE (job_id = ?1 OR (?1 IS NULL AND model_id = ?2 AND"
        " state = 'queued')) ORDER BY seq",
        (job_id, model_id),
    ).fetchall()
    shapes = {row["shape"] for row in rows}
    if len(shapes) != 1:
        raise ValueError(f"samples of {' and '.join(sorted(shapes))}" if rows else "no samples")
    images = np.frombuffer(b"".join(row["image"] for row in rows), np.uint8)
    labels = np.array([row["label"] for row in rows], np.int32)
    return images.reshape(len(rows), *json.loads(shapes.pop())), labels


def _sample(row: sqlite3.Row) -> Sample:
    plain = dict(zip(row.keys(), tuple(row), strict=True))
    return Sample(**{**plain, "shape": json.loads(plain["shape"])})
