"""How much a client may ask for: requests a minute, bytes of a body, and time for it to arrive."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

import anyio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from strop.service.problems import problem_response
from strop.service.security.callers import ANYBODY, PROBES, Caller
from strop.service.settings import Settings

UPLOADS = (("POST", "/datasets"), ("POST", "/models"))
LEAST_BYTES_PER_SECOND = 16 << 10  # of a body, on average, once body_seconds are over
DRAIN_SECONDS = 2.0  # a client that still sends would otherwise lose the answer with the connection
MOST_BUCKETS = 10_000


class Buckets:
    """A token bucket for each client: full it lets a minute's requests pass at once, and it fills evenly."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = float(per_minute), clock
        self._filled: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when; oldest use first

    def take(self, client: str) -> float:
        """Take a token. Return 0.0, or in how many seconds there will be one."""
        now = self._clock()
        tokens, at = self._filled.pop(client, (self._most, now))
        tokens = min(self._most, tokens + (now - at) * self._most / 60)
        wait = 0.0 if tokens >= 1 else (1 - tokens) * 60 / self._most
        self._filled[client] = (tokens if wait else tokens - 1, now)
        if len(self._filled) > MOST_BUCKETS:
            self._filled.popitem(last=False)
        return wait


class LimitRate:
    """Middleware that refuses a client's requests beyond `requests_per_minute`. It needs to know the caller."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.per_minute = settings.requests_per_minute
        self.buckets = Buckets(self.per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        if scope["type"] == "http" and scope["path"] not in PROBES:
            client = client_of(scope)
            if wait := self.buckets.take(client):
                detail = f"{client} has sent more than {self.per_minute} requests a minute"
                headers = {"Retry-After": str(int(wait) + 1)}
                await problem_response("rate_limited", detail, headers)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def client_of(scope: Scope) -> str:
    """Return whom a request counts for: its key, else its address. A wrong key counts for the address, too."""
    caller: Caller = scope["state"]["caller"]
    if caller.key_id is not None and caller.key_id != ANYBODY:
        return caller.key_id
    address = scope["client"][0] if scope.get("client") else "unknown"
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return str(address)
    # whoever has one IPv6 address has 2**64
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else str(found)


class LimitBody:
    """Middleware that refuses bodies that are too large, by what they say or by what arrives, or too slow."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.upload, self.other = settings.max_upload_mbytes << 20, settings.max_body_kbytes << 10
        self.patience = settings.body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse at once, or watch the body as it is read."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        most = self.upload if (scope["method"], scope["path"].rstrip("/")) in UPLOADS else self.other
        body = _Body(receive, most, self.patience)
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared[:18]) > most:
            body.refusal = ("too_large", f"the body has {declared} bytes; allowed: {most}")
        answering = False

        async def guarded(message: Message) -> None:
            nonlocal answering
            if body.refusal is None or answering:  # else it is what the application makes of the refusal
                answering = True
                await send(message)

        if body.refusal is None:
            try:
                await self.app(scope, body.read, guarded)
            except Exception:
                if body.refusal is None or answering:
                    raise
        if body.refusal is not None and not answering:
            await _refuse(scope, body, send)


class _Refused(Exception):
    """Ends whatever reads the body; nobody sees it."""


class _Body:
    def __init__(self, receive: Receive, most: int, patience: float) -> None:
        self.receive, self.most, self.patience = receive, most, patience
        self.arrived, self.waited, self.complete = 0, 0.0, False
        self.refusal: tuple[str, str] | None = None

    async def read(self) -> Message:
        """Return the next message. Only the time spent here counts: who reads may take as long as it likes."""
        if self.complete:
            return await self.receive()
        allowed = self.patience + self.arrived / LEAST_BYTES_PER_SECOND
        began = time.monotonic()
        try:
            with anyio.fail_after(max(0.0, allowed - self.waited)):
                message = await self.receive()
        except TimeoutError:
            self.refusal = ("body_too_slow", f"{self.arrived} bytes of the body arrived in {allowed:.0f} s")
            raise _Refused from None
        self.waited += time.monotonic() - began
        self.arrived += len(message.get("body", b""))
        self.complete = not message.get("more_body", False)
        if self.arrived > self.most:
            self.refusal = ("too_large", f"more than {self.most} bytes of the body arrived; that many are allowed")
            raise _Refused
        return message


async def _refuse(scope: Scope, body: _Body, send: Send) -> None:
    """Answer, and let what the client still sends go by for a moment before the connection ends."""
    assert body.refusal is not None
    code, detail = body.refusal
    if code != "too_large" or body.complete:
        await problem_response(code, detail, {"Connection": "close"})(scope, body.receive, send)
        return
    response = problem_response(code, detail, {"Connection": "close"})
    await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": True})
    with anyio.move_on_after(DRAIN_SECONDS):
        while (await body.receive()).get("more_body", False):
            pass
    await send({"type": "http.response.body", "body": b""})
