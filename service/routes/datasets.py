"""Data sets: uploaded once, streamed and checked, then named by jobs."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from strop.service.data.intake import Format, Intake, take_in
from strop.service.data.uploads import Received, receive
from strop.service.dependencies import Service, ServiceHere
from strop.service.ids import PATTERN, new_id
from strop.service.problems import Problem, problems
from strop.service.schemas.data import LONGEST_NAME, DatasetAnswer, DatasetList, QuarantineAnswer, QuarantineList
from strop.service.security.scopes import require
from strop.service.store import datasets, quarantine
from strop.service.store.datasets import StoredDataset
from strop.service.store.quarantine import Quarantined
from strop.service.times import isoformat

router = APIRouter(tags=["data"])
Sender = Annotated[str, Depends(require("samples"))]
DatasetId = Annotated[str, Path(pattern=f"^{PATTERN}$")]
Limit = Annotated[int, Query(ge=1, le=200)]
LEFTOVER_SECONDS = 3600.0  # after which a file without a row is what a power cut left
BODY: dict[str, Any] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


@router.post(
    "/datasets",
    status_code=201,
    response_model=DatasetAnswer,
    responses={
        200: {"model": DatasetAnswer, "description": "These bytes are there already: nothing was added"},
        **problems("too_large", "archive_bomb", "format_unsupported", "dataset_invalid", "storage_low"),
    },
    openapi_extra={"requestBody": {"required": True, "content": BODY}},
)
async def upload_dataset(
    request: Request,
    response: Response,
    service: ServiceHere,
    _: Sender,
    format: Annotated[Format, Query(description="npz; zip of class folders or of two idx files; idx: a zip of two")],
    name: Annotated[str, Query(min_length=1, max_length=LONGEST_NAME)] = "unnamed",
) -> DatasetAnswer:
    """Upload labelled images as the raw body. Bad samples are put aside, each with a reason; the others are taken.

    npz: `images` uint8 [n, C, H, W] or [n, H, W], `labels` integers [n], and `classes` if they have names.
    """
    claimed = request.headers.get("content-length")
    declared = int(claimed) if claimed is not None and claimed.isdecimal() else None
    incoming = service.settings.folder("incoming")
    received = await receive(request.stream(), declared, incoming, service.settings.max_upload_mbytes << 20)
    with received.file:
        async with service.intake:  # one at a time: what it takes in memory is then bounded for all of them
            new, found = await run_in_threadpool(_stored, service, received, format, name)
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"/datasets/{found.id}"
    return _answer(found)


@router.get("/datasets", responses=problems())
def list_datasets(
    service: ServiceHere,
    _: Sender,
    limit: Limit = 50,
    after: Annotated[str | None, Query(pattern=f"^{PATTERN}$")] = None,
) -> DatasetList:
    """List data sets, newest first."""
    found = datasets.page(service.database.read(), after, limit)
    return DatasetList(data=[_answer(each) for each in found], next=found[-1].id if len(found) == limit else None)


@router.get("/datasets/{id}", responses=problems("not_found"))
def read_dataset(id: DatasetId, service: ServiceHere, _: Sender) -> DatasetAnswer:
    """Read what is known of a data set."""
    return _answer(_named(service.database.read(), id))


@router.get("/datasets/{id}/quarantine", responses=problems("not_found"))
def read_dataset_quarantine(
    id: DatasetId,
    service: ServiceHere,
    _: Sender,
    limit: Limit = 50,
    after: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> QuarantineList:
    """List the samples of an upload that were put aside."""
    db = service.database.read()
    _named(db, id)
    return quarantine_list(quarantine.page(db, after, limit, id), limit)


@router.delete("/datasets/{id}", status_code=204, responses=problems("not_found", "state_conflict"))
def delete_dataset(id: DatasetId, service: ServiceHere, _: Sender) -> None:
    """Delete a data set. What was trained on it stays, but can no longer be verified."""
    with service.database.transaction() as db:
        found = _named(db, id)
        users = datasets.unfinished_users(db, id)
        if users:
            raise Problem(
                "state_conflict",
                f"{', '.join(users[:5])} need{'s' if len(users) == 1 else ''} {id}",
                remedy="Wait for these jobs to end, or cancel them.",
                jobs=users,
            )
        datasets.remove(db, id)
    (service.settings.data / found.path).unlink(missing_ok=True)


def quarantine_list(found: list[Quarantined], limit: int) -> QuarantineList:
    """Return a page of what was put aside."""
    data = [
        QuarantineAnswer(
            id=each.seq,
            dataset=each.dataset_id,
            sample=each.sample_id,
            source=each.source,
            reason=each.reason,
            at=at(each.at),
        )
        for each in found
    ]
    return QuarantineList(data=data, next=found[-1].seq if len(found) == limit else None)


def at(seconds: float) -> str:
    """Return a time as answers have it."""
    text = isoformat(seconds)
    assert text is not None
    return text


def _stored(service: Service, received: Received, format: Format, name: str) -> tuple[bool, StoredDataset]:
    """Return the data set of a body, and whether it is new."""
    database, folder = service.database, service.settings.folder("datasets")
    known = datasets.of_body(database.read(), received.sha256)
    if known is not None:
        return False, known
    _remove_leftovers(service, folder)
    id = new_id("dataset")
    path = folder / f"{id}.npz"
    limit = service.settings.max_upload_mbytes << 20
    intake = take_in(received.file, format, path, service.settings.folder("incoming"), limit)
    try:
        with database.transaction() as db:
            known = datasets.of_body(db, received.sha256)  # another process may have come in between
            if known is None:
                return True, _add(db, id, name, received.sha256, format, intake, path)
    except BaseException:
        path.unlink()
        raise
    path.unlink()
    return False, known


def _add(
    db: sqlite3.Connection, id: str, name: str, sha256: str, format: str, intake: Intake, path: FilePath
) -> StoredDataset:
    quarantine.add_of_dataset(db, id, intake.quarantine.listed)
    return datasets.add(
        db,
        id=id,
        name=name,
        sha256=sha256,
        format=format,
        samples=intake.samples,
        quarantined=intake.quarantine.count,
        shape=list(intake.shape),
        classes=list(intake.classes),
        bytes=path.stat().st_size,
        path=f"{path.parent.name}/{path.name}",
    )


def _remove_leftovers(service: Service, folder: FilePath) -> None:
    """Remove files that a killed process wrote and never recorded, or unrecorded and never removed."""
    kept = datasets.paths(service.database.read())
    for path in folder.iterdir():
        if f"{folder.name}/{path.name}" not in kept and time.time() - path.stat().st_mtime > LEFTOVER_SECONDS:
            path.unlink(missing_ok=True)


def _named(db: sqlite3.Connection, id: str) -> StoredDataset:
    try:
        return datasets.get(db, id)
    except KeyError:
        raise Problem("not_found", f"there is no data set {id}; GET /datasets lists them") from None


def _answer(found: StoredDataset) -> DatasetAnswer:
    return DatasetAnswer(
        id=found.id,
        name=found.name,
        sha256=found.sha256,
        created=at(found.created),
        format=found.format,
        samples=found.samples,
        quarantined=found.quarantined,
        shape=found.shape,
        classes=found.classes,
        bytes=found.bytes,
    )
