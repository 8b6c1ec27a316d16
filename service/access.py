"""Every request: an id that its answer, its problem and its log lines share, its numbers in the metrics, and an answer
even if the application fails."""

from __future__ import annotations

import logging
import re
import time
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from strop.service.dependencies import Service
from strop.service.ids import new_id
from strop.service.logs import REQUEST
from strop.service.problems import problem_response
from strop.service.security.callers import PROBES

LOG = logging.getLogger("strop.access")
REQUEST_ID = "X-Request-Id"
GIVEN_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")  # of a client or a proxy; any other gets a new one
CLIENT_LEFT = 499  # no status that is sent: for log and metrics, as elsewhere
QUIET = (*PROBES, "/metrics")  # machines ask every few seconds


class Answered:
    """The outermost middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and see that there is an answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        id = given if GIVEN_ID.fullmatch(given) else new_id("req")
        token = REQUEST.set(id)
        began = time.monotonic()
        status, answered_after = 0, 0.0

        async def traced(message: Message) -> None:
            nonlocal status, answered_after
            if message["type"] == "http.response.start":
                status, answered_after = message["status"], time.monotonic() - began
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = id
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        service: Service = scope["app"].state.service
        try:
            with service.metrics.open_requests.track_inprogress():
                await self.app(scope, receive, traced)
        except ClientDisconnect:
            pass
        except Exception:
            LOG.exception("a request failed", extra={"fields": {"method": scope["method"], "path": scope["path"]}})
            if status:
                raise  # the answer has begun: all that is left is to cut it off
            detail = f"{scope['method']} {scope['path']} failed"
            await problem_response("internal", detail)(scope, receive, traced)
        finally:
            status = status or CLIENT_LEFT  # nobody listens any more, or the server is being stopped
            seconds = answered_after or time.monotonic() - began
            service.metrics.answered(_route(scope), scope["method"], status, seconds)
            level = logging.DEBUG if scope["path"] in QUIET else logging.INFO
            LOG.log(level, "answered", extra=_fields(scope, status, began))
            REQUEST.reset(token)


def _route(scope: Scope) -> str | None:
    """Return the template of the route that took the request, never its path: clients can think up many of these."""
    path: str | None = getattr(scope.get("route"), "path", None)
    return path


def _fields(scope: Scope, status: int, began: float) -> dict[str, Any]:
    """Return the facts of the log line. The query string is not among them: it may hold a key."""
    caller = scope.get("state", {}).get("caller")
    client = scope.get("client")
    facts = {
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "ms": round(1000 * (time.monotonic() - began), 1),
        "client": client[0] if client else None,
        "key": caller.key_id if caller else None,
    }
    return {"fields": facts}
