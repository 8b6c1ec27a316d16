"""The policy of a model: when its samples become a job by themselves."""

from __future__ import annotations

import sqlite3

from strop.runtime.errors import StropError
from strop.service.dependencies import Service
from strop.service.job_specs import resolve
from strop.service.problems import Problem
from strop.service.schemas.jobs import FinetuneRequest
from strop.service.sources import LEAST_SAMPLES, SAMPLES, fix_sources
from strop.service.store import jobs, samples
from strop.service.store.jobs import Job
from strop.service.store.models import Model

LEARN_EVERY = "learn_every"


def learn_if_due(service: Service, db: sqlite3.Connection, model: Model, key_id: str) -> tuple[Job | None, str | None]:
    """Queue a job on the samples that wait for a model, if its policy says so; else why not, if it should have been.

    In the transaction that made the last of them wait: two samples at the same time make one job. A policy that cannot
    be carried out never costs a sample: it waits for a job that somebody asks for.
    """
    policy = model.policy
    if policy["mode"] != LEARN_EVERY or samples.queued(db, model.id) < max(policy["samples"], LEAST_SAMPLES):
        return None, None
    if jobs.waiting(db) >= service.settings.max_queue:
        return None, f"{service.settings.max_queue} jobs are waiting: it will be learned with the next samples"
    try:
        asked = FinetuneRequest.model_validate({"model": model.name, "data": SAMPLES, "steps": policy.get("steps")})
        request = asked.model_dump(exclude={"dry_run"})
        spec, _ = resolve(service, request)
    except (Problem, StropError) as error:
        return None, f"the policy could not be carried out: {error}"
    return fix_sources(db, jobs.create(db, "finetune", spec, key_id)), None
