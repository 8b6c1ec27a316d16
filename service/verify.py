"""Verification: train a version again from its parent, on the emulator, and compare every byte."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from strop.host.checkpoint import read_checkpoint, tensor_digest
from strop.runtime.device import open_device
from strop.service.settings import Settings
from strop.service.sources import load_source
from strop.service.store import models
from strop.service.store.database import Database
from strop.service.store.jobs import Job
from strop.service.training import finetune, fit_words


def verify_version(job: Job, settings: Settings, database: Database) -> dict[str, Any]:
    """Return whether the version of a verify job has the bytes that its own job gives again, or where they part."""
    db = database.read()
    version = models.version_of(db, job.spec["version_id"])
    if version.parent_id is None or version.job_id is None:
        return {"equal": None, "reason": "it was imported: there is nothing to repeat"}
    parent = models.version_of(db, version.parent_id)
    request = version.manifest["request"]
    dataset = load_source(db, settings.data, request["data"], "train", request["shift"], version.job_id)
    device = open_device("emulator", settings.threads)
    try:
        with tempfile.TemporaryDirectory(dir=settings.folder("jobs")) as folder:
            model = finetune(
                settings.data / parent.path,
                Path(folder) / "checkpoint.safetensors",
                dataset,
                None,
                fit_words(request),
                request["checkpoint_every"] or settings.checkpoint_every,
                device,
            )
            again, digest = model.state(), model.digest()
    finally:
        device.close()
    stored = read_checkpoint(settings.data / version.path).state
    differ = [name for name in stored if tensor_digest(stored[name]) != tensor_digest(again[name])]
    return {"equal": not differ, "sha256": version.sha256, "again": digest, "differ": differ}
