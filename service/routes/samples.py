"""Samples that come one by one: queued for a model, labelled now or later, and learned by a job."""

from __future__ import annotations

import base64
import binascii
import shutil
import sqlite3
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from strop.service.data.image_files import need_pillow
from strop.service.data.png import png_of
from strop.service.data.uploads import LEAST_FREE_BYTES
from strop.service.dependencies import Service, ServiceHere
from strop.service.ids import PATTERN
from strop.service.image_decoding import UndecodableImage, decode_image
from strop.service.learning import learn_if_due
from strop.service.problems import Problem, problems
from strop.service.references import find_model, find_version
from strop.service.routes.datasets import at, quarantine_list
from strop.service.schemas.data import (
    LabelRequest,
    QuarantineList,
    SampleAnswer,
    SampleList,
    SampleRequest,
    SampleTaken,
)
from strop.service.schemas.models import MODEL_NAME
from strop.service.security.scopes import require
from strop.service.store import models, quarantine, samples
from strop.service.store.models import Model
from strop.service.store.samples import Sample, SampleState

router = APIRouter(tags=["data"])
Sender = Annotated[str, Depends(require("samples"))]
SampleId = Annotated[str, Path(pattern=f"^{PATTERN}$")]
Limit = Annotated[int, Query(ge=1, le=200)]


@router.post(
    "/samples",
    status_code=202,
    responses=problems("not_found", "label_unknown", "format_unsupported", "storage_low"),
)
def post_sample(body: SampleRequest, service: ServiceHere, key_id: Sender) -> SampleTaken:
    """Take one sample. One that cannot be used is put aside with the reason, and never disturbs a job.

    By the model's policy, the sample that makes enough of them queues a job on all that wait: action "learning".
    """
    _check_base64(body.image)
    model, version = find_version(service.database.read(), body.model)
    label = _label(body.label, version.manifest["classes"])
    channels, height, width = version.manifest["shape"]
    if shutil.disk_usage(service.settings.data).free < LEAST_FREE_BYTES:
        raise Problem("storage_low", f"less than {LEAST_FREE_BYTES >> 20} MiB are free")
    id = samples.new_sample_id()
    try:
        image = decode_image(body.image, (channels, height, width))
    except UndecodableImage as error:
        if isinstance(error.__cause__, ImportError):
            need_pillow()
        with service.database.transaction() as db:
            quarantine.add_sample(db, id, model.name, str(error))
        return SampleTaken(
            id=id, model=model.name, state="quarantined", action="quarantined", label=label, reason=str(error), job=None
        )
    with service.database.transaction() as db:
        samples.add(db, id, model.id, image, label)
        return _taken(service, db, model, id, key_id)


@router.get("/samples", responses=problems("not_found"))
def list_samples(
    service: ServiceHere,
    _: Sender,
    model: Annotated[str | None, Query(pattern=MODEL_NAME)] = None,
    state: SampleState | None = None,
    limit: Limit = 50,
    after: Annotated[str | None, Query(pattern=f"^{PATTERN}$")] = None,
) -> SampleList:
    """List samples, newest first."""
    db = service.database.read()
    model_id = None if model is None else find_model(db, model).id
    found = samples.page(db, after, limit, model_id, state)
    return SampleList(data=[_answer(db, each) for each in found], next=found[-1].id if len(found) == limit else None)


@router.get("/samples/{id}", responses=problems("not_found"))
def read_sample(id: SampleId, service: ServiceHere, _: Sender) -> SampleAnswer:
    """Read a sample."""
    db = service.database.read()
    return _answer(db, _named(db, id))


@router.patch("/samples/{id}", responses=problems("not_found", "state_conflict", "label_unknown"))
def label_sample(id: SampleId, body: LabelRequest, service: ServiceHere, key_id: Sender) -> SampleTaken:
    """Label a sample, or change its label, while no job has it. By the model's policy a job may come of it."""
    with service.database.transaction() as db:
        sample = _named(db, id)
        _check_free(sample)
        model = models.model_of(db, sample.model_id)
        samples.set_label(db, id, _label(body.label, _classes(db, model)))
        return _taken(service, db, model, id, key_id)


@router.delete("/samples/{id}", status_code=204, responses=problems("not_found", "state_conflict"))
def delete_sample(id: SampleId, service: ServiceHere, _: Sender) -> None:
    """Delete a sample and its image, unless a job has it. What a model has learned from it stays learned."""
    with service.database.transaction() as db:
        sample = _named(db, id)
        if sample.state == "training":
            _check_free(sample)
        samples.remove(db, id)


@router.get(
    "/samples/{id}/image",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}, "description": "The image"}, **problems("not_found")},
)
def read_sample_image(id: SampleId, service: ServiceHere, _: Sender) -> Response:
    """Download a sample's image as a PNG."""
    db = service.database.read()
    _named(db, id)
    return Response(png_of(samples.image_of(db, id)), media_type="image/png")


@router.get("/quarantine", responses=problems())
def list_quarantine(
    service: ServiceHere,
    _: Sender,
    limit: Limit = 50,
    after: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> QuarantineList:
    """List everything that was put aside, from uploads and alone, newest first."""
    return quarantine_list(quarantine.page(service.database.read(), after, limit), limit)


def _taken(service: Service, db: sqlite3.Connection, model: Model, id: str, key_id: str) -> SampleTaken:
    """Return what becomes of a sample that was just queued, or was not for want of a label."""
    job, reason = (None, None) if samples.get(db, id).label is None else learn_if_due(service, db, model, key_id)
    sample = samples.get(db, id)
    return SampleTaken(
        id=id,
        model=model.name,
        state=sample.state,
        action="unlabelled" if sample.label is None else "queued" if job is None else "learning",
        label=sample.label,
        reason=reason,
        job=None if job is None else job.id,
    )


def _check_base64(text: str) -> None:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:  # also characters beyond ASCII
        raise Problem("invalid_request", f"/body/image: not base64: {error}") from error


def _label(label: int | str | None, classes: list[str]) -> int | None:
    """Return the number of a class. Raises `Problem` label_unknown."""
    if label is None:
        return None
    if label in classes:
        return classes.index(str(label))
    if isinstance(label, int) and 0 <= label < len(classes):
        return label
    shown = ", ".join(classes[:20]) + (", ..." if len(classes) > 20 else "")
    raise Problem("label_unknown", f"label {label!r}; the classes are {shown}, or 0 to {len(classes) - 1}")


def _classes(db: sqlite3.Connection, model: Model) -> list[str]:
    """Return the names of a model's classes: every version has the same."""
    version = models.numbered(db, model.id, 1)
    assert version is not None
    classes: list[str] = version.manifest["classes"]
    return classes


def _check_free(sample: Sample) -> None:
    if sample.job_id is not None:
        raise Problem(
            "state_conflict",
            f"{sample.id} is {sample.state}: {sample.job_id} has it",
            remedy="Wait for the job to end, or cancel it; what has been learned keeps its label.",
            job=sample.job_id,
        )


def _named(db: sqlite3.Connection, id: str) -> Sample:
    try:
        return samples.get(db, id)
    except KeyError:
        aside = quarantine.of_sample(db, id)
    if aside is not None:
        raise Problem("not_found", f"{id} was put aside: {aside.reason}", remedy="Send it again, as the detail says.")
    raise Problem("not_found", f"there is no sample {id}; GET /samples lists them")


def _answer(db: sqlite3.Connection, sample: Sample) -> SampleAnswer:
    model = models.model_of(db, sample.model_id)
    return SampleAnswer(
        id=sample.id,
        model=model.name,
        state=sample.state,
        label=sample.label,
        class_name=None if sample.label is None else _classes(db, model)[sample.label],
        shape=sample.shape,
        sha256=sample.sha256,
        created=at(sample.created),
        job=sample.job_id,
    )
