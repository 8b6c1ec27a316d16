"""What a request becomes before it is a job: everything checked, and made definite."""

from __future__ import annotations

from typing import Any

from strop.host import Checkpoint, FitCursor, read_checkpoint
from strop.host.data import Dataset
from strop.host.data.load import NAMED_DATASETS
from strop.host.plan_fit import FitRequest, plan_fit
from strop.host.samples import check_samples
from strop.runtime.errors import InputError
from strop.runtime.estimate import step_seconds
from strop.service.dependencies import Service
from strop.service.problems import Problem
from strop.service.references import find_version
from strop.service.sources import check_source, load_source
from strop.service.training import fit_words


def resolve(service: Service, request: dict[str, Any]) -> tuple[dict[str, Any], Dataset]:
    """Return the job's spec, with everything that could change later made definite, and the samples."""
    db = service.database.read()
    model, version = find_version(db, request["model"])
    judged = {"validation": request["validation"], "gate.reference": (request["gate"] or {}).get("reference")}
    judged = {what: source for what, source in judged.items() if source is not None}
    check_source(db, request["data"], request["shift"])
    for source in judged.values():
        check_source(db, source, None, training=False)
    _check_gate(request)
    folder = service.settings.data
    dataset = load_source(db, folder, request["data"], "train", request["shift"], version=version)
    checkpoint = read_checkpoint(folder / version.path)
    try:
        check_samples(dataset, checkpoint.graph, tuple(version.manifest["classes"]), "data")
        for what, source in judged.items():
            found = load_source(db, folder, source, "test", None)
            check_samples(found, checkpoint.graph, tuple(version.manifest["classes"]), what)
    except InputError as error:
        raise Problem("dataset_unsuitable", str(error)) from None
    plan_job(checkpoint, request, dataset)
    every = request["checkpoint_every"] or service.settings.checkpoint_every
    spec = {
        "request": {**request, "checkpoint_every": every},
        "model_id": model.id,
        "model": f"{model.name}@{version.number}",
        "parent_id": version.id,
        "has_test_part": request["data"] in NAMED_DATASETS,
        "samples": len(dataset),
    }
    return spec, dataset


def _check_gate(request: dict[str, Any]) -> None:
    """Raise `InputError` for a gate that nothing could pass: the time of a whole training would be lost."""
    gate = request["gate"] or {}
    if gate.get("max_forgetting") is not None and gate.get("reference") is None:
        raise InputError("gate.max_forgetting needs gate.reference, the data that must not be forgotten")
    measured = request["validation"] is not None or request["data"] in NAMED_DATASETS
    if gate.get("min_accuracy") is not None and not measured:
        raise InputError(
            f"gate.min_accuracy needs validation, the data to measure on: {request['data']!r} has no test part"
        )


def plan_job(checkpoint: Checkpoint, request: dict[str, Any], dataset: Dataset) -> tuple[FitCursor, dict[str, float]]:
    """Return the plan of a job's training, and the modelled seconds of its step, by board.

    What is not acceptable raises `InputError`, now and not when the job runs.
    """
    cursor = plan_fit(FitRequest(**fit_words(request), checkpoint_every=None), dataset, checkpoint.settings.hyper)
    settings = cursor.settings
    return cursor, step_seconds(checkpoint.graph, settings.batch, settings.hyper, settings.frozen)
