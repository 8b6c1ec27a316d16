"""Where a job's samples come from: a built-in data set, an uploaded one, or the samples that were posted one by one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from strop.host.data import Dataset, load_dataset, shift_dataset
from strop.host.data.load import NAMED_DATASETS
from strop.host.data.npz_dataset import load_npz
from strop.host.data.shifts import SHIFTS
from strop.runtime.errors import DataError, InputError
from strop.service.problems import Problem
from strop.service.store import datasets, jobs, models, samples
from strop.service.store.jobs import Job
from strop.service.store.models import Version

SAMPLES = "samples"
LEAST_SAMPLES = 2  # batch normalization needs them


def check_source(db: sqlite3.Connection, source: str, shift: str | None, *, training: bool = True) -> None:
    """Raise `InputError` unless there is data of that name; `SAMPLES` is some for training only."""
    if source == SAMPLES and not training:
        raise InputError(f"{SAMPLES!r} are for training; to judge by, name {', '.join(NAMED_DATASETS)} or a data set")
    known = source in NAMED_DATASETS or source == SAMPLES
    if not known and not datasets.exists(db, source):
        raise InputError(
            f"data {source!r} is neither {', '.join(NAMED_DATASETS)}, {SAMPLES!r}, nor the id of a data set; "
            "POST /datasets uploads one"
        )
    if shift is not None and shift not in SHIFTS:
        raise InputError(f"shift {shift!r} is not known; allowed: {', '.join(SHIFTS)}")


def load_source(
    db: sqlite3.Connection,
    folder: Path,
    source: str,
    split: str,
    shift: str | None,
    job_id: str | None = None,
    version: Version | None = None,
) -> Dataset:
    """Return the samples of a source; `split` "train" or "test" where it has both. Raises `DataError`.

    `SAMPLES` are those that were fixed to `job_id`; or, without it, those that wait for the model of `version`.
    """
    if source in NAMED_DATASETS:
        dataset = load_dataset(source, "test" if split == "test" else "train")
    elif source == SAMPLES:
        dataset = _of_job(db, job_id) if version is None else _waiting(db, version)
    else:
        try:
            stored = datasets.get(db, source)
        except KeyError:
            raise DataError(f"the data set {source} was deleted") from None
        dataset = load_npz(folder / stored.path, "all", name=stored.name)
    return dataset if shift is None else shift_dataset(dataset, shift)


def fix_sources(db: sqlite3.Connection, job: Job) -> Job:
    """Let a new job's data stay what they are until it has ended; return the job. In the transaction that makes it.

    Raises `InputError` if a data set is gone, and `Problem` dataset_unsuitable if there are too few samples: both may
    have come about since the request was checked.
    """
    request = job.spec["request"]
    gate = request["gate"] or {}
    check_source(db, request["data"], request["shift"])
    for source in (request["validation"], gate.get("reference")):
        if source is not None:
            check_source(db, source, None, training=False)
    if request["data"] != SAMPLES:
        return job
    taken = samples.take_for_job(db, job.spec["model_id"], job.id)
    _check_enough(taken, job.spec["model"])
    return jobs.set_spec(db, job.id, {**job.spec, "samples": taken})


def _waiting(db: sqlite3.Connection, version: Version) -> Dataset:
    _check_enough(samples.queued(db, version.model_id), models.model_of(db, version.model_id).name)
    return _dataset(db, version.manifest["classes"], version.model_id, None)


def _of_job(db: sqlite3.Connection, job_id: str | None) -> Dataset:
    if job_id is None:
        raise DataError(f"{SAMPLES!r} are for training only")
    job = jobs.get(db, job_id)
    dataset = _dataset(db, models.version_of(db, job.spec["parent_id"]).manifest["classes"], None, job_id)
    if len(dataset) != job.spec["samples"]:
        raise DataError(
            f"{job_id} was given {job.spec['samples']} samples, of which {len(dataset)} are left: the others were "
            "deleted, so what it did cannot be repeated"
        )
    return dataset


def _dataset(db: sqlite3.Connection, classes: list[str], model_id: str | None, job_id: str | None) -> Dataset:
    try:
        images, labels = samples.load(db, model_id=model_id, job_id=job_id)
    except ValueError as error:
        raise DataError(f"the samples cannot be used together: {error}") from error
    return Dataset.from_arrays(images, labels, classes=classes, name=SAMPLES, layout="NCHW")


def _check_enough(count: int, model: str) -> None:
    if count < LEAST_SAMPLES:
        raise Problem(
            "dataset_unsuitable",
            f"{count} labelled samples wait for {model}; a job needs at least {LEAST_SAMPLES}: POST /samples sends "
            "one, PATCH /samples/ID gives it a label",
        )
