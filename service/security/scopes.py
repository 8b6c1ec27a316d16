"""What a key may do: predict, samples, train, admin. Each route names the one that it needs."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import cache
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from strop.service.problems import Problem
from strop.service.security.callers import ANYBODY, Caller
from strop.service.security.keys import Scope

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="strop"'}
DETAILS = {
    "key_missing": "this request has no key",
    "key_invalid": "no key that is good is like the one that was sent",
}
# For the OpenAPI document alone; callers.py reads the header.
BEARER = HTTPBearer(auto_error=False, scheme_name="key", description="A key: strop_ID_SECRET")


@cache
def require(scope: Scope) -> Callable[..., Coroutine[Any, Any, str]]:
    """Return a dependency that lets a request pass if its key has the scope; it gives the key's id."""

    async def allowed(
        request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)] = None
    ) -> str:
        caller: Caller = request.state.caller
        if caller.key_id is None:
            raise Problem(caller.refusal, DETAILS[caller.refusal], headers=CHALLENGE)
        if not caller.may(scope):
            has = ", ".join(caller.scopes)
            raise Problem("scope_missing", f"{caller.key_id} has {has}; this needs {scope}", needs=scope)
        if caller.key_id == ANYBODY:
            _check_origin(request)
        return caller.key_id

    return allowed


def _check_origin(request: Request) -> None:
    """Without keys, what keeps foreign web pages out is that browsers say where a page is from."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower():
        raise Problem("origin_unknown", f"a page from {origin} asks, and no key was made yet")
