"""POST /finetune, and the jobs that come of it."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Response
from fastapi.responses import FileResponse

from strop.host import read_checkpoint, state_digest
from strop.host.data import Dataset
from strop.runtime.arena_plan import plan_memory
from strop.service.dependencies import Service, ServiceHere
from strop.service.ids import PATTERN
from strop.service.job_specs import plan_job, resolve
from strop.service.job_states import State
from strop.service.problems import Problem, problems
from strop.service.references import find_version
from strop.service.schemas.jobs import EstimateAnswer, FinetuneRequest, JobAnswer, JobList
from strop.service.security.scopes import require
from strop.service.sources import fix_sources
from strop.service.store import jobs
from strop.service.store.jobs import Job
from strop.service.times import isoformat
from strop.service.worker.job_runs import checkpoint_of

router = APIRouter(tags=["jobs"])
Trainer = Annotated[str, Depends(require("train"))]
JobId = Annotated[str, Path(pattern=f"^{PATTERN}$")]
LEAST_FREE_BYTES = 64 << 20  # for checkpoint, version and log of a job


@router.post(
    "/finetune",
    status_code=202,
    response_model=JobAnswer | EstimateAnswer,
    responses={
        200: {"model": EstimateAnswer, "description": "A dry run: nothing was started"},
        **problems(
            "not_found", "unacceptable", "dataset_unsuitable", "idempotency_key_reused", "queue_full", "storage_low"
        ),
    },
)
def finetune(
    body: FinetuneRequest,
    service: ServiceHere,
    key_id: Trainer,
    response: Response,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
) -> JobAnswer | EstimateAnswer:
    """Queue a fine-tuning. The same Idempotency-Key with the same request gives the same job."""
    request = body.model_dump(exclude={"dry_run"})
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    if idempotency_key is not None and not body.dry_run:
        repeated = _repeated(service.database.read(), key_id, idempotency_key, digest)
        if repeated is not None:
            return _accepted(service.database.read(), repeated, response)
    spec, dataset = resolve(service, request)
    if body.dry_run:
        response.status_code = 200
        return _estimate(service, spec, dataset)
    if shutil.disk_usage(service.settings.data).free < LEAST_FREE_BYTES:
        raise Problem("storage_low", f"less than {LEAST_FREE_BYTES >> 20} MiB are free")
    with service.database.transaction() as db:
        if idempotency_key is not None:
            repeated = _repeated(db, key_id, idempotency_key, digest)  # it may have come a second time in between
            if repeated is not None:
                return _accepted(db, repeated, response)
        if jobs.waiting(db) >= service.settings.max_queue:
            raise Problem("queue_full", f"{service.settings.max_queue} jobs are waiting", headers={"Retry-After": "10"})
        job = fix_sources(db, jobs.create(db, "finetune", spec, key_id))
        if idempotency_key is not None:
            jobs.remember_request(db, key_id, idempotency_key, digest, job.id)
    return _accepted(service.database.read(), job, response)


@router.get("/jobs", responses=problems())
def list_jobs(
    service: ServiceHere,
    _: Trainer,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[str | None, Query(pattern=f"^{PATTERN}$")] = None,
    state: State | None = None,
) -> JobList:
    """List jobs, newest first."""
    db = service.database.read()
    found = jobs.page(db, after, limit, state)
    return JobList(data=[answer(db, job) for job in found], next=found[-1].id if len(found) == limit else None)


@router.get("/jobs/{id}", responses=problems("not_found"))
def read_job(id: JobId, service: ServiceHere, _: Trainer) -> JobAnswer:
    """Read a job."""
    db = service.database.read()
    return answer(db, job_named(db, id))


@router.post("/jobs/{id}/cancel", status_code=202, responses=problems("not_found"))
def cancel_job(id: JobId, service: ServiceHere, _: Trainer) -> JobAnswer:
    """Ask a job to end: at once if it waits, within a few mini-batches if it runs. One that has ended stays."""
    with service.database.transaction() as db:
        job = jobs.request_cancel(db, job_named(db, id))
    return answer(service.database.read(), job)


@router.get(
    "/jobs/{id}/checkpoint",
    response_class=FileResponse,
    responses={200: {"content": {"application/octet-stream": {}}}, **problems("not_found")},
)
def read_job_checkpoint(id: JobId, service: ServiceHere, _: Trainer) -> FileResponse:
    """Download the job's last checkpoint (safetensors)."""
    job = job_named(service.database.read(), id)
    path = checkpoint_of(service.settings, job.id)
    if not path.is_file():
        raise Problem("not_found", f"{id} has written no checkpoint yet")
    return FileResponse(path, media_type="application/octet-stream", filename=f"{id}.safetensors")


@router.get("/jobs/{id}/report", responses=problems("not_found"))
def read_job_report(id: JobId, service: ServiceHere, _: Trainer) -> dict[str, Any]:
    """Read what the job did: what was asked, what it became and why, its curves, as of its last checkpoint."""
    db = service.database.read()
    job = job_named(db, id)
    path = checkpoint_of(service.settings, job.id)
    checkpoint = read_checkpoint(path) if path.is_file() else None
    history = None if checkpoint is None or checkpoint.history is None else checkpoint.history.to_dict()
    manifest = None if checkpoint is None else {"state_digest": state_digest(checkpoint.state)}
    return {"job": answer(db, job).model_dump(), "history": history, "checkpoint": manifest}


def job_named(db: sqlite3.Connection, id: str) -> Job:
    """Return a job. Raises `Problem` not_found."""
    try:
        return jobs.get(db, id)
    except KeyError:
        raise Problem("not_found", f"there is no job {id}; GET /jobs lists them") from None


def answer(db: sqlite3.Connection, job: Job) -> JobAnswer:
    """Return a job as clients see it."""
    created, updated = isoformat(job.created), isoformat(job.updated)
    assert created is not None and updated is not None
    return JobAnswer(
        id=job.id,
        kind=job.kind,
        state=job.state,
        created=created,
        updated=updated,
        started=isoformat(job.started),
        finished=isoformat(job.finished),
        attempts=job.attempts,
        cancel_requested=job.cancel_requested,
        queue_position=jobs.queue_position(db, job),
        spec=job.spec,
        progress=job.progress,
        result=job.result,
        error=job.error,
    )


def _accepted(db: sqlite3.Connection, job: Job, response: Response) -> JobAnswer:
    response.headers["Location"] = f"/jobs/{job.id}"
    return answer(db, job)


def _repeated(db: sqlite3.Connection, key_id: str, idempotency_key: str, digest: str) -> Job | None:
    """Return the job that this request has made already. Raises `Problem` if its key made another one."""
    found = jobs.find_repeated(db, key_id, idempotency_key)
    if found is None:
        return None
    if found[1] != digest:
        raise Problem("idempotency_key_reused", f"{idempotency_key!r} belongs to {found[0]}, whose request differs")
    return jobs.get(db, found[0])


def _estimate(service: Service, spec: dict[str, Any], dataset: Dataset) -> EstimateAnswer:
    _, version = find_version(service.database.read(), spec["model"])
    checkpoint = read_checkpoint(service.settings.data / version.path)
    plan, modelled = plan_job(checkpoint, spec["request"], dataset)
    batch, hyper = plan.settings.batch, plan.settings.hyper
    return EstimateAnswer(
        spec=spec,
        samples=len(dataset),
        steps=plan.steps,
        memory_bytes=plan_memory(checkpoint.graph, batch, hyper).peak,
        modelled_seconds={board: plan.steps * seconds for board, seconds in modelled.items()},
    )
