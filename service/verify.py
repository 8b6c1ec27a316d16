"""Verification: train a version again from its parent, on the emulator, and compare every byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from strop.host import Progress
from strop.host.checkpoint import Arrays, Checkpoint, read_checkpoint, state_digest, tensor_digest
from strop.runtime.device import Device, open_device
from strop.runtime.errors import CheckpointCorrupt, CheckpointError, CheckpointMismatch, DeviceUnavailable
from strop.service.settings import Settings
from strop.service.sources import load_source
from strop.service.store import models
from strop.service.store.database import Database
from strop.service.store.jobs import Job
from strop.service.store.models import Version
from strop.service.training import finetune, fit_words


def verify_version(
    job: Job, settings: Settings, database: Database, on_step: Callable[[Progress], None] | None = None
) -> dict[str, Any]:
    """Train the version of a verify job again, and return what came of it; interrupted, it goes on where it was.

    "equal" says whether the version's file has the bytes that its job gives again (None for an import: there is no
    job), "differ" names the arrays that do not, "intact" says whether the file is the one that was recorded; "reason"
    is None where all is well. Raises `DataError` where the samples are gone, `CheckpointError` where the parent is.
    """
    db = database.read()
    version = models.version_of(db, job.spec["version_id"])
    stored, reason = _stored(settings.data, version)
    found = {
        "version_id": version.id,
        "sha256": version.sha256,
        "stored": None if stored is None else state_digest(stored.state),
        "intact": reason is None,
    }
    if version.parent_id is None or version.job_id is None:
        why = "it was imported: there is no job to repeat"
        return {**found, "equal": None, "again": None, "differ": [], "reason": reason or why, "device": None}
    parent = models.version_of(db, version.parent_id)
    _check_parent(settings.data, parent)
    request = version.manifest["request"]
    dataset = load_source(db, settings.data, request["data"], "train", request["shift"], version.job_id)
    if stored is not None and stored.cursor is not None:
        stored.cursor.dataset.check(dataset)  # other samples would give other weights, and nothing would be known
    checkpoint = settings.folder("jobs") / f"{job.id}.safetensors"
    device = _device(settings.threads)
    try:
        again = finetune(
            settings.data / parent.path,
            checkpoint,
            dataset,
            None,
            _words(version),
            request["checkpoint_every"] or settings.checkpoint_every,
            device,
            on_step=on_step,
        ).state()
    finally:
        device.close()
    checkpoint.unlink()  # the version has its own file
    digest = state_digest(again)
    differ = [] if stored is None else _different(stored.state, again)
    equal = stored is not None and not differ and digest == version.sha256
    if not equal and reason is None:
        reason = "the job gives other weights again"
    return {**found, "equal": equal, "again": digest, "differ": differ, "reason": reason, "device": device.description}


def _stored(folder: Path, version: Version) -> tuple[Checkpoint | None, str | None]:
    """Return what a version's file holds, and what is wrong with the file."""
    try:
        stored = read_checkpoint(folder / version.path)
    except CheckpointMismatch:
        raise  # written by another strop, whose bytes this one cannot repeat
    except CheckpointError as error:
        return None, f"its file is damaged: {error}".replace(f"{folder}/", "")
    changed = state_digest(stored.state) != version.sha256
    return stored, "its file is not the one that was recorded" if changed else None


def _check_parent(folder: Path, parent: Version) -> None:
    """Raise `CheckpointCorrupt` where the parent is not what it was: nothing could be said of its child."""
    _, reason = _stored(folder, parent)
    if reason is not None:
        raise CheckpointCorrupt(f"version {parent.number}, the parent: {reason}; restore it from a backup")


def _words(version: Version) -> dict[str, Any]:
    """Return the words of the job's fit; what "auto" became may depend on the device, so it stays what it was."""
    words, became = fit_words(version.manifest["request"]), version.manifest["hyperparameters"]
    return {**words, "batch": became["batch"], "learning_rate": became["learning_rate"]}


def _device(threads: int | None) -> Device:
    try:
        return open_device("emulator", threads)
    except DeviceUnavailable:
        return open_device("reference")


def _different(stored: Arrays, again: Arrays) -> list[str]:
    """Return the names of the arrays that are not the same in both."""
    names = sorted(stored.keys() | again.keys())
    return [
        n for n in names if n not in stored or n not in again or tensor_digest(stored[n]) != tensor_digest(again[n])
    ]
