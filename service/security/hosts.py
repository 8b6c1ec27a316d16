"""The Host header: a web page elsewhere can let its name point at this machine (DNS rebinding), but not hide it."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from strop.service.problems import problem_response
from strop.service.settings import Settings

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]", "testserver")  # the last is what test clients say


class CheckHost:
    """Middleware that refuses other names than its own on loopback, where a request may need no key."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        own = f"[{settings.host}]" if ":" in settings.host else settings.host
        listed = (name.strip().lower() for name in settings.proxy_hosts.split(","))
        self.app = app
        self.allowed = {*LOOPBACK_NAMES, own, *filter(None, listed)} if settings.loopback else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        if scope["type"] == "http" and self.allowed is not None:
            host = Headers(scope=scope).get("host", "")
            if _without_port(host) not in self.allowed:
                detail = f"Host is {host!r}; allowed: {', '.join(sorted(self.allowed - {'testserver'}))}"
                await problem_response("host_unknown", detail)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _without_port(host: str) -> str:
    name, colon, port = host.lower().rpartition(":")
    return name if colon and (port.isdecimal() or not port) else host.lower()
