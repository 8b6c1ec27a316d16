"""Whether the box is alive, ready, and with what device."""

from __future__ import annotations

import os
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from strop.service.dependencies import Service, ServiceHere
from strop.service.problems import Problem, problems
from strop.service.security.scopes import require
from strop.service.store import models, worker
from strop.service.times import isoformat

router = APIRouter(tags=["operation"])


@router.get("/healthz", responses=problems())
def healthz() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "alive"}


@router.get("/readyz", responses=problems("not_ready"))
def readyz(service: ServiceHere) -> dict[str, str]:
    """Say whether jobs and predictions can be served: a device that passed its self-test, and a model."""
    reasons = not_ready(service)
    if reasons:
        raise Problem("not_ready", "; ".join(reasons), headers={"Retry-After": "2"}, reasons=reasons)
    return {"status": "ready"}


@router.get("/device", responses=problems())
def device(service: ServiceHere, _: Annotated[str, Depends(require("predict"))], response: Response) -> dict[str, Any]:
    """Say which device the worker has, what its self-test gave, and what it is doing."""
    found = worker.read(service.database.read())
    if found is None:
        return {"state": "none", "worker": None, "device": None, "selftest": None, "job": None}
    return {
        "state": found.state if _alive(found.pid) else "dead",
        "worker": {"pid": found.pid, "started": isoformat(found.started)},
        "device": found.device,
        "selftest": found.selftest,
        "job": found.job_id,
    }


def not_ready(service: Service) -> list[str]:
    """Return the reasons why the service is not ready; none if it is."""
    db = service.database.read()
    reasons = [] if models.all_models(db) else ["there is no model"]
    found = worker.read(db)
    if found is None or not _alive(found.pid):
        return [*reasons, "there is no worker"]
    if found.device is None:
        return [*reasons, "the device is being opened"]
    if "error" in found.device:
        return [*reasons, f"the device cannot be opened: {found.device['error']}"]
    if found.selftest is None or not found.selftest["passed"]:
        return [*reasons, "the device has not passed its self-test"]
    return reasons


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
