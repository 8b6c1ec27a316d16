"""One job from its claim to its end: load, train, judge, record."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.host import EpochRecord, Model, Progress
from strop.host.data import Dataset
from strop.runtime.contract import C
from strop.runtime.device import Device
from strop.service.gate import judge
from strop.service.settings import Settings
from strop.service.sources import load_source
from strop.service.store import events, jobs, models
from strop.service.store.database import Database
from strop.service.store.jobs import Job
from strop.service.training import finetune, fit_words
from strop.service.verify import verify_version

EVENT_SECONDS = 0.1  # between two progress events: people and plots need no more


class Stopped(Exception):
    """The worker is to end; the job goes on another time."""


class Cancelled(Exception):
    """Somebody asked that the job end."""


@dataclass(frozen=True)
class JobContext:
    """What a job runs in."""

    settings: Settings
    database: Database
    device: Device
    stop: threading.Event


def run_job(job: Job, context: JobContext) -> None:
    """Run a claimed job to its end. Raises `Stopped`, and whatever makes it fail."""
    try:
        if job.kind == "verify":
            _verify(job, context)
        else:
            _finetune(job, context)
    except Cancelled:
        with context.database.transaction() as db:
            jobs.move(db, jobs.get(db, job.id), "cancelled")


def checkpoint_of(settings: Settings, job_id: str) -> Path:
    """Return where a job keeps its checkpoint."""
    return settings.folder("jobs") / f"{job_id}.safetensors"


def _verify(job: Job, context: JobContext) -> None:
    version = models.version_of(context.database.read(), job.spec["version_id"])
    watch = _Watch(job, context, _checkpoint_every(version.manifest.get("request", {}), context))
    result = verify_version(job, context.settings, context.database, watch.step)
    with context.database.transaction() as db:
        jobs.set_result(db, job.id, result)
        jobs.move(db, jobs.get(db, job.id), "succeeded", **result)


def _finetune(job: Job, context: JobContext) -> None:
    request, database, folder = job.spec["request"], context.database, context.settings.data
    db = database.read()
    parent = models.version_of(db, job.spec["parent_id"])
    dataset = load_source(db, folder, request["data"], "train", request["shift"], job.id)
    validation = _validation(job, context)
    reference = _reference(job, context)
    every = _checkpoint_every(request, context)
    watch = _Watch(job, context, every)
    before = _measure(folder / parent.path, context.device, validation, reference)
    watch.check()
    model = finetune(
        folder / parent.path,
        checkpoint_of(context.settings, job.id),
        dataset,
        validation,
        fit_words(request),
        every,
        context.device,
        on_step=watch.step,
        on_epoch=watch.epoch,
    )
    after = _accuracies(model, validation, reference)
    watch.check()
    _record(job, context, model, before, after)


def _checkpoint_every(request: dict[str, Any], context: JobContext) -> int:
    every: int | None = request.get("checkpoint_every")
    return every or context.settings.checkpoint_every


def _validation(job: Job, context: JobContext) -> Dataset | None:
    request, db, folder = job.spec["request"], context.database.read(), context.settings.data
    if request["validation"] is not None:
        return load_source(db, folder, request["validation"], "test", request["shift"])
    if job.spec["has_test_part"]:
        return load_source(db, folder, request["data"], "test", request["shift"])
    return None


def _reference(job: Job, context: JobContext) -> Dataset | None:
    gate = job.spec["request"]["gate"]
    if gate is None or gate["reference"] is None:
        return None
    return load_source(context.database.read(), context.settings.data, gate["reference"], "test", None)


def _measure(
    path: Path, device: Device, validation: Dataset | None, reference: Dataset | None
) -> dict[str, float | None]:
    model = Model.load(path, device=device)
    try:
        return _accuracies(model, validation, reference)
    finally:
        model.close()


def _accuracies(model: Model, validation: Dataset | None, reference: Dataset | None) -> dict[str, float | None]:
    """Return the accuracy on each data set that there is."""
    measured = {"validation": validation, "reference": reference}
    return {name: None if data is None else model.evaluate(data).accuracy for name, data in measured.items()}


def _record(
    job: Job, context: JobContext, model: Model, before: dict[str, float | None], after: dict[str, float | None]
) -> None:
    """Write the version's file, then version, alias, result and the job's end in one transaction."""
    version_id = f"version_{job.id.partition('_')[2]}"  # the same if this is done twice
    path = Path("versions") / f"{version_id}.safetensors"
    context.settings.folder("versions")
    model.save(context.settings.data / path)
    verdict = judge(job.spec["request"]["gate"], before, after)
    history = model.history
    manifest = {
        "job": job.id,
        "request": job.spec["request"],
        "hyperparameters": dict(history.hyperparameters) if history else {},
        "numerics_version": C.NUMERICS_VERSION,
        "contract_version": C.CONTRACT_VERSION,
        "device": context.device.description,
        "accuracy": {"before": before, "after": after},
        "gate": verdict,
        "classes": list(model.classes),
        "network": model.graph.name,
        "network_digest": model.graph.digest(),
        "steps": model.steps,
        "shape": list(model.graph.input),
    }
    digest = model.digest()
    with context.database.transaction() as db:
        if jobs.cancel_requested(db, job.id):  # the last moment: from here on it has succeeded
            (context.settings.data / path).unlink()
            raise Cancelled
        version = models.add_version(
            db,
            id=version_id,
            model_id=job.spec["model_id"],
            parent_id=job.spec["parent_id"],
            job_id=job.id,
            sha256=digest,
            file_sha256=_file_sha256(context.settings.data / path),
            path=str(path),
            manifest=manifest,
        )
        events.add(db, job.id, "gate", **verdict)
        if verdict["passed"] and verdict["promote"]:
            models.point(
                db,
                version.model_id,
                verdict["promote"],
                version.id,
                models.PROMOTE,
                reason=f"gate of {job.id}",
                key_id=job.key_id,
            )
        result: dict[str, Any] = {
            "model": models.model_of(db, version.model_id).name,
            "version": version.number,
            "version_id": version.id,
            "sha256": digest,
            "accuracy": {"before": before, "after": after},
            "gate": verdict,
        }
        jobs.set_result(db, job.id, result)
        jobs.move(db, jobs.get(db, job.id), "succeeded", **result)


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while piece := file.read(1 << 20):
            digest.update(piece)
        return digest.hexdigest()


class _Watch:
    """What is done after each step: progress for others to see, and whether the job is to end."""

    def __init__(self, job: Job, context: JobContext, checkpoint_every: int) -> None:
        self._job, self._context, self._every = job, context, checkpoint_every
        self._told = 0.0
        self._reached: int | None = None  # the checkpoint from which the job would go on, in steps

    def check(self) -> None:
        """Raise `Stopped` or `Cancelled` if the job is to end."""
        if self._context.stop.is_set():
            raise Stopped
        if jobs.cancel_requested(self._context.database.read(), self._job.id):
            raise Cancelled

    def step(self, progress: Progress) -> None:
        """Called after each step. Raises as `check`."""
        self.check()
        behind = progress.step - 1
        if self._reached is None:
            self._reached = behind
        written = behind - behind % self._every  # a checkpoint is on the disk before the next step begins
        if written > self._reached:
            self._reached = written
            with self._context.database.transaction() as db:
                jobs.note_checkpoint(db, self._job.id, written)
        now = time.monotonic()
        if now - self._told >= EVENT_SECONDS or progress.step == progress.steps:
            self._told = now
            self._tell(progress)

    def _tell(self, progress: Progress) -> None:
        shown: dict[str, Any] = {
            "step": progress.step,
            "steps": progress.steps,
            "epoch": progress.epoch,
            "epochs": progress.epochs,
            "loss": progress.loss,
            "accuracy": progress.accuracy,
            "learning_rate": progress.learning_rate,
            "images_per_second": round(progress.images_per_second, 1),
            "eta_seconds": round(progress.eta_seconds, 3),
        }
        with self._context.database.transaction() as db:
            jobs.set_progress(db, self._job.id, shown)
            events.add(db, self._job.id, "progress", **shown)

    def epoch(self, record: EpochRecord) -> None:
        """Called after each epoch and its validation."""
        with self._context.database.transaction() as db:
            events.add(
                db,
                self._job.id,
                "epoch",
                epoch=record.epoch,
                steps=record.steps,
                loss=record.loss,
                accuracy=record.accuracy,
                validation_loss=record.validation_loss,
                validation_accuracy=record.validation_accuracy,
            )
