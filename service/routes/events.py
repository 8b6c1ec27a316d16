"""What happens to a job, as it happens: server-sent events that can be resumed, or pages of JSON."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from strop.service.dependencies import Service, ServiceHere
from strop.service.job_states import TERMINAL
from strop.service.problems import problems
from strop.service.routes.jobs import JobId, job_named
from strop.service.schemas.jobs import EventAnswer, EventList
from strop.service.security.scopes import require
from strop.service.store import events, jobs
from strop.service.store.events import Event
from strop.service.times import isoformat

router = APIRouter(tags=["jobs"])
PAGE = 200
POLL_SECONDS = 0.05  # the worker is another process: its events are found by looking


@router.get(
    "/jobs/{id}/events",
    response_model=EventList,
    responses={
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "events, oldest first"},
        **problems("not_found"),
    },
)
async def job_events(
    id: JobId,
    request: Request,
    service: ServiceHere,
    _: Annotated[str, Depends(require("train"))],
    after: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0,
    last_event_id: Annotated[str | None, Header()] = None,
    accept: Annotated[str | None, Header()] = None,
) -> StreamingResponse | EventList:
    """Follow a job's events from after `Last-Event-ID` or `?after=`, each once and in order, to its end.

    With `Accept: application/json` a page of what there is so far.
    """
    await run_in_threadpool(lambda: job_named(service.database.read(), id))
    seen = _number(last_event_id, after)
    if accept is not None and "application/json" in accept and "text/event-stream" not in accept:
        found = await run_in_threadpool(lambda: events.after(service.database.read(), id, seen, PAGE))
        return EventList(data=[_answer(e) for e in found], next=found[-1].seq if len(found) == PAGE else None)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_stream(service, request, id, seen), media_type="text/event-stream", headers=headers)


async def _stream(service: Service, request: Request, id: str, seen: int) -> AsyncIterator[str]:
    told = time.monotonic()
    yield ": follows\n\n"
    while not service.stopping.is_set() and not await request.is_disconnected():
        ended, found = await run_in_threadpool(_look, service, id, seen)
        for event in found:
            seen = event.seq
            yield _message(event)
        if found:
            told = time.monotonic()
        elif ended:
            return
        else:
            if time.monotonic() - told >= service.settings.heartbeat_seconds:
                told = time.monotonic()
                yield ": still here\n\n"
            await asyncio.sleep(POLL_SECONDS)


def _look(service: Service, id: str, seen: int) -> tuple[bool, list[Event]]:
    """Return whether the job has ended, looked at before its events: then none can be missed."""
    db = service.database.read()
    return jobs.get(db, id).state in TERMINAL, events.after(db, id, seen, PAGE)


def _message(event: Event) -> str:
    body = json.dumps({"at": isoformat(event.at), **event.data})
    return f"id: {event.seq}\nevent: {event.type}\ndata: {body}\n\n"


def _answer(event: Event) -> EventAnswer:
    at = isoformat(event.at)
    assert at is not None
    return EventAnswer(id=event.seq, at=at, type=event.type, data=event.data)


def _number(last_event_id: str | None, after: int) -> int:
    """The header comes from a browser that reconnects, so it counts; what is no number is ignored, as browsers do."""
    if last_event_id is not None and last_event_id.isdecimal() and len(last_event_id) <= 18:
        return int(last_event_id)
    return after
