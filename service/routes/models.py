"""Models: their versions and files, what their aliases point at, and how that came about."""

from __future__ import annotations

import sqlite3
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from strop.service.data.uploads import receive
from strop.service.dependencies import ServiceHere
from strop.service.ids import PATTERN
from strop.service.imports import import_version
from strop.service.problems import Problem, problems
from strop.service.references import find_model, find_numbered
from strop.service.routes.jobs import answer as job_answer
from strop.service.schemas.jobs import JobAnswer
from strop.service.schemas.models import (
    ALIAS,
    MAX_NUMBER,
    MODEL_NAME,
    AliasAnswer,
    DeploymentAnswer,
    DeploymentList,
    ModelAnswer,
    ModelList,
    ModelSummary,
    Policy,
    Promotion,
    Rollback,
    VersionAnswer,
    VersionDetail,
)
from strop.service.security.scopes import require
from strop.service.store import jobs, models
from strop.service.store.models import Deployment, Model, Version
from strop.service.times import isoformat

router = APIRouter(tags=["models"])
Reader = Annotated[str, Depends(require("predict"))]
Trainer = Annotated[str, Depends(require("train"))]
Name = Annotated[str, Path(pattern=MODEL_NAME)]
Number = Annotated[int, Path(ge=1, le=MAX_NUMBER)]
Limit = Annotated[int, Query(ge=1, le=200)]
FILE: dict[str, Any] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


@router.get("/models", responses=problems())
def list_models(
    service: ServiceHere,
    _: Reader,
    limit: Limit = 50,
    after: Annotated[str | None, Query(pattern=f"^{PATTERN}$")] = None,
) -> ModelList:
    """List models, newest first."""
    db = service.database.read()
    found = models.page(db, after, limit)
    data = [
        ModelSummary(
            name=model.name,
            created=_at(model.created),
            aliases=_aliases(db, model),
            versions=models.count_versions(db, model.id),
            policy=model.policy,  # type: ignore[arg-type]  # as it was checked when it came
        )
        for model in found
    ]
    return ModelList(data=data, next=found[-1].id if len(found) == limit else None)


@router.post(
    "/models",
    status_code=201,
    response_model=VersionDetail,
    responses={
        200: {"model": VersionDetail, "description": "The model has this file already: nothing was added"},
        **problems("model_invalid", "storage_low"),
    },
    openapi_extra={"requestBody": {"required": True, "content": FILE}},
)
async def import_model(
    request: Request,
    response: Response,
    service: ServiceHere,
    key_id: Trainer,
    name: Annotated[str, Query(pattern=MODEL_NAME)],
) -> VersionDetail:
    """Import a checkpoint (the file that `Model.save` writes, as the body) as a new model, or a model's next version.

    The first version of a model is its production; later ones take no alias until they are promoted.
    """
    limit = service.settings.max_upload_mbytes << 20
    claimed = request.headers.get("content-length")
    declared = int(claimed) if claimed is not None and claimed.isdecimal() else None
    received = await receive(request.stream(), declared, service.settings.folder("versions"), limit)

    def add() -> tuple[bool, VersionDetail]:
        there = FilePath(f"/dev/fd/{received.file.fileno()}")  # the file has no name
        source = f"imported, sha256 {received.sha256}"
        model, version, new = import_version(service.settings, service.database, name, there, source, key_id)
        return new, _detail(service.database.read(), model, version)

    with received.file:
        new, detail = await run_in_threadpool(add)
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"/models/{name}/versions/{detail.number}"
    return detail


@router.get("/models/{name}", responses=problems("not_found"))
def read_model(
    name: Name,
    service: ServiceHere,
    _: Reader,
    limit: Limit = 200,
    after: Annotated[int | None, Query(ge=1, le=MAX_NUMBER)] = None,
) -> ModelAnswer:
    """Read a model and its versions, newest first, each with where it came from."""
    db = service.database.read()
    model = find_model(db, name)
    found = models.versions(db, model.id, after, limit)
    return ModelAnswer(
        name=model.name,
        created=_at(model.created),
        aliases=_aliases(db, model),
        policy=model.policy,  # type: ignore[arg-type]  # as it was checked when it came
        versions=[VersionAnswer(**_version(db, model, version)) for version in found],
        next=found[-1].number if len(found) == limit else None,
    )


@router.get("/models/{name}/versions/{number}", responses=problems("not_found"))
def read_version(name: Name, number: Number, service: ServiceHere, _: Reader) -> VersionDetail:
    """Read everything that was recorded of a version."""
    db = service.database.read()
    model = find_model(db, name)
    return _detail(db, model, find_numbered(db, model, number))


@router.get(
    "/models/{name}/versions/{number}/weights",
    response_class=FileResponse,
    responses={
        200: {"content": FILE, "description": "the checkpoint; `strop.host.Model.load` reads it"},
        304: {"description": "If-None-Match has its ETag"},
        **problems("not_found", "version_damaged"),
    },
)
def read_weights(
    name: Name,
    number: Number,
    service: ServiceHere,
    _: Trainer,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Download a version's file (safetensors); its ETag is the file's sha256."""
    db = service.database.read()
    version = find_numbered(db, find_model(db, name), number)
    headers = {"ETag": f'"{version.file_sha256}"', "Cache-Control": "no-cache"}
    if if_none_match is not None and version.file_sha256 in if_none_match:
        return Response(status_code=304, headers=headers)
    path = service.settings.data / version.path
    if not path.is_file():
        raise Problem("version_damaged", f"the file of version {number} of {name} is gone")
    filename = f"{name}-{number}.safetensors"
    return FileResponse(path, media_type="application/octet-stream", filename=filename, headers=headers)


@router.put("/models/{name}/policy", response_model=Policy, responses=problems("not_found"))
def set_policy(name: Name, policy: Annotated[Policy, Body()], service: ServiceHere, _: Trainer) -> Any:
    """Say what POST /samples does with samples for this model: keep them, or train whenever there are enough."""
    with service.database.transaction() as db:
        models.set_policy(db, find_model(db, name).id, policy.model_dump())
    return policy


@router.put("/models/{name}/aliases/{alias}", responses=problems("not_found", "model_untrained", "version_damaged"))
def promote(
    name: Name,
    alias: Annotated[str, Path(pattern=ALIAS)],
    body: Promotion,
    service: ServiceHere,
    key_id: Trainer,
) -> AliasAnswer:
    """Let an alias point at a version, which is loaded and asked once before: what cannot serve is never shown."""
    db = service.database.read()
    model = find_model(db, name)
    version = find_numbered(db, model, body.version)
    service.predictor.try_out(version)
    with service.database.transaction() as db:
        return _move(db, model, alias, version, models.PROMOTE, body.reason, key_id)


@router.post(
    "/models/{name}/rollback",
    responses=problems("not_found", "state_conflict", "model_untrained", "version_damaged"),
)
def roll_back(name: Name, body: Rollback, service: ServiceHere, key_id: Trainer) -> AliasAnswer:
    """Let an alias point at what it pointed at before. The next rollback leads further back, not forward again."""
    model = find_model(service.database.read(), name)
    version = _earlier(service.database.read(), model, body)
    service.predictor.try_out(version)
    with service.database.transaction() as db:
        if _earlier(db, model, body) != version:
            raise Problem(
                "state_conflict", f"{body.alias!r} was moved by somebody else meanwhile", remedy="Look first."
            )
        return _move(db, model, body.alias, version, models.ROLLBACK, body.reason, key_id)


@router.get("/models/{name}/history", responses=problems("not_found"))
def read_history(
    name: Name,
    service: ServiceHere,
    _: Reader,
    limit: Limit = 50,
    after: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> DeploymentList:
    """Read what the model's aliases pointed at, newest first: who moved them, when, why, from where to where."""
    db = service.database.read()
    found = models.history(db, find_model(db, name).id, after, limit)
    return DeploymentList(
        data=[_deployment(db, change) for change in found], next=found[-1].seq if len(found) == limit else None
    )


@router.post(
    "/models/{name}/versions/{number}/verify",
    status_code=202,
    responses=problems("not_found", "queue_full"),
)
def verify(name: Name, number: Number, service: ServiceHere, key_id: Trainer, response: Response) -> JobAnswer:
    """Queue a job that trains the version again from its parent, on the emulator, and compares every byte."""
    db = service.database.read()
    model = find_model(db, name)
    version = find_numbered(db, model, number)
    spec = {"version_id": version.id, "model": f"{model.name}@{version.number}"}
    with service.database.transaction() as db:
        if jobs.waiting(db) >= service.settings.max_queue:
            raise Problem("queue_full", f"{service.settings.max_queue} jobs are waiting", headers={"Retry-After": "10"})
        job = jobs.create(db, "verify", spec, key_id)
    response.headers["Location"] = f"/jobs/{job.id}"
    return job_answer(service.database.read(), job)


def _earlier(db: sqlite3.Connection, model: Model, body: Rollback) -> Version:
    """Return where a rollback leads. Raises `Problem` not_found, state_conflict."""
    now = models.aliases(db, model.id).get(body.alias)
    if now is None:
        raise Problem("not_found", f"model {model.name!r} has no alias {body.alias!r}")
    number = models.version_of(db, now).number
    remedy = f"GET /models/{model.name}/history tells what it pointed at; PUT its alias names any version."
    if body.current is not None and body.current != number:
        raise Problem("state_conflict", f"{body.alias!r} points at version {number}, not {body.current}", remedy=remedy)
    earlier = models.earlier_target(db, model.id, body.alias)
    if earlier is None:
        raise Problem(
            "state_conflict",
            f"{body.alias!r} points at version {number}, and there is nothing earlier to go back to",
            remedy=remedy,
        )
    return models.version_of(db, earlier)


def _move(
    db: sqlite3.Connection, model: Model, alias: str, version: Version, action: str, reason: str | None, key_id: str
) -> AliasAnswer:
    before = models.aliases(db, model.id).get(alias)
    changed = models.point(db, model.id, alias, version.id, action, reason=reason, key_id=key_id)
    return AliasAnswer(
        model=model.name,
        alias=alias,
        version=version.number,
        previous=None if before is None else models.version_of(db, before).number,
        changed=changed,
    )


def _aliases(db: sqlite3.Connection, model: Model) -> dict[str, int]:
    return {alias: models.version_of(db, id).number for alias, id in models.aliases(db, model.id).items()}


def _version(db: sqlite3.Connection, model: Model, version: Version) -> dict[str, Any]:
    manifest = version.manifest
    parent = None if version.parent_id is None else models.version_of(db, version.parent_id)
    return {
        "id": version.id,
        "model": model.name,
        "number": version.number,
        "created": _at(version.created),
        "aliases": [alias for alias, id in models.aliases(db, model.id).items() if id == version.id],
        "parent": None if parent is None else parent.number,
        "job": version.job_id,
        "source": manifest.get("source"),
        "data": manifest["request"]["data"] if "request" in manifest else None,
        "sha256": version.sha256,
        "file_sha256": version.file_sha256,
        "network": manifest["network"],
        "shape": manifest["shape"],
        "classes": manifest["classes"],
        "accuracy": manifest.get("accuracy"),
        "gate": manifest.get("gate"),
    }


def _detail(db: sqlite3.Connection, model: Model, version: Version) -> VersionDetail:
    return VersionDetail(**_version(db, model, version), manifest=version.manifest)


def _deployment(db: sqlite3.Connection, change: Deployment) -> DeploymentAnswer:
    before = change.from_version
    return DeploymentAnswer(
        id=change.seq,
        at=_at(change.at),
        alias=change.alias,
        action=change.action,
        previous=None if before is None else models.version_of(db, before).number,
        version=models.version_of(db, change.to_version).number,
        reason=change.reason,
        key=change.key_id,
    )


def _at(seconds: float) -> str:
    text = isoformat(seconds)
    assert text is not None
    return text
