"""Whether the box is alive, ready, with what device, and its numbers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from prometheus_client import CONTENT_TYPE_LATEST

from strop.service.dependencies import ServiceHere
from strop.service.problems import Problem, problems
from strop.service.readiness import reasons_not_ready, worker_runs
from strop.service.schemas.operation import Alive, DeviceAnswer, Ready, WorkerAnswer
from strop.service.security.scopes import require
from strop.service.store import worker
from strop.service.times import isoformat

router = APIRouter(tags=["operation"])


@router.get("/healthz", responses=problems(scoped=False))
def healthz() -> Alive:
    """Say that the process answers."""
    return Alive()


@router.get("/readyz", responses=problems("not_ready", scoped=False))
def readyz(service: ServiceHere) -> Ready:
    """Say whether jobs and predictions can be served: a device that passed its self-test, and models that load."""
    reasons = reasons_not_ready(service.settings, service.database)
    if reasons:
        raise Problem("not_ready", "; ".join(reasons), headers={"Retry-After": "2"}, reasons=reasons)
    return Ready()


@router.get("/device", responses=problems())
def device(service: ServiceHere, _: Annotated[str, Depends(require("predict"))]) -> DeviceAnswer:
    """Say which device the worker has, what its self-test gave, and what it is doing."""
    found = worker.read(service.database.read())
    if found is None:
        return DeviceAnswer(state="none", worker=None, device=None, selftest=None, job=None)
    facts = {
        "state": found.state if worker_runs(service.settings, found) else "dead",
        "worker": WorkerAnswer(pid=found.pid, started=isoformat(found.started)),
        "device": found.device,
        "selftest": found.selftest,
        "job": found.job_id,
    }
    return DeviceAnswer.model_validate(facts)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems()},
)
def metrics(service: ServiceHere, _: Annotated[str, Depends(require("admin"))]) -> Response:
    """Read the metrics, as Prometheus does."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)
