"""Who asks: found once for each request, before anything else looks at it; scopes.py says what they may."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from strop.service.dependencies import Service
from strop.service.security.keys import ADMIN, SCOPES, recognize
from strop.service.store import keys

ANYBODY = "local"  # the key id of who needs none
PROBES = ("/healthz", "/readyz")  # asked by machines, often, without a key: never counted, never refused
EVENTS = re.compile(r"/jobs/[^/]+/events")


@dataclass(frozen=True)
class Caller:
    """Who asks. key_id: of a good key, `ANYBODY` where none is needed, else None with a problem's code in `refusal`."""

    key_id: str | None
    scopes: tuple[str, ...] = ()
    refusal: str = ""

    def may(self, scope: str) -> bool:
        """Whether the caller has a scope."""
        return scope in self.scopes or ADMIN in self.scopes


class Identify:
    """Middleware that leaves the `Caller` in the request's state."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look the key up, in a thread: the disk may be slow."""
        if scope["type"] == "http" and scope["path"] not in PROBES:
            service: Service = scope["app"].state.service
            scope.setdefault("state", {})["caller"] = await run_in_threadpool(_caller, service, token_of(scope))
        await self.app(scope, receive, send)


def _caller(service: Service, token: str | None) -> Caller:
    db = service.database.read()
    if token is not None:
        key = recognize(db, token)
        return Caller(None, refusal="key_invalid") if key is None else Caller(key.id, key.scopes)
    if service.settings.loopback and not keys.any_made(db):
        return Caller(ANYBODY, SCOPES)
    return Caller(None, refusal="key_missing")


def token_of(scope: Scope) -> str | None:
    """Return what the client sent as its key: in the header, or where a browser's EventSource can send no header."""
    kind, _, value = Headers(scope=scope).get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if scope["method"] == "GET" and EVENTS.fullmatch(scope["path"]):
        given = parse_qs(scope["query_string"].decode("latin-1")).get("key")
        return None if given is None else given[0]
    return None
