"""What the service refuses, and why: problem details (RFC 9457), from one registry of codes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from strop.runtime.errors import StropError
from strop.service.logs import request_id

MEDIA_TYPE = "application/problem+json"
TYPE = "https://strop.invalid/problems/"  # a name, not an address: nothing is fetched from there


@dataclass(frozen=True)
class Kind:
    """One kind of problem: its HTTP status, what it is in a few words, and what a client can do."""

    status: int
    title: str
    remedy: str


REGISTRY: dict[str, Kind] = {
    "invalid_request": Kind(422, "The request is not as the API describes it", "Compare it with /openapi.json."),
    "not_found": Kind(404, "There is nothing of that name", "List what there is, one path segment up."),
    "method_not_allowed": Kind(405, "This path does not take that method", "The Allow header lists those it takes."),
    "state_conflict": Kind(409, "The present state does not allow this", "Read the job first."),
    "idempotency_key_reused": Kind(
        409, "The Idempotency-Key was used for another request", "Take a new key for a new request."
    ),
    "dataset_invalid": Kind(422, "The upload cannot be made a data set", "Mend what the detail names and send it."),
    "archive_bomb": Kind(413, "The archive claims to hold more than allowed", "Send fewer samples, or those as .npz."),
    "format_unsupported": Kind(415, "The body is in a format that cannot be read", "Send .npz, or a .zip of folders."),
    "label_unknown": Kind(422, "The model has no such class", "Take one of its classes, by name or by number."),
    "dataset_unsuitable": Kind(422, "The data does not fit the model", "Compare shapes and classes of both."),
    "unacceptable": Kind(422, "The request cannot be carried out as it is", "The detail says what is allowed."),
    "queue_full": Kind(429, "Too many jobs are waiting", "Wait for one to end, or cancel one."),
    "storage_low": Kind(507, "There is too little room on the disk", "Delete data sets or models, or free some space."),
    "not_ready": Kind(503, "The service is not ready", "Ask /readyz for the reasons, and try again."),
    "internal": Kind(500, "The service failed", "Report it, with the request id; its log has more."),
    "key_missing": Kind(401, "This needs a key", "Send it as: Authorization: Bearer KEY; strop keys create makes one."),
    "key_invalid": Kind(401, "The key is not known, or was revoked", "Make one with strop keys create, on the box."),
    "scope_missing": Kind(403, "The key may not do this", "Use a key that has the scope, or admin."),
    "origin_unknown": Kind(403, "Web pages from elsewhere need a key", "Make one with strop keys create, and send it."),
    "host_unknown": Kind(
        421, "The service is not known by that name", "Use localhost; for a proxy, list its name in STROP_PROXY_HOSTS."
    ),
    "too_large": Kind(413, "The body is larger than allowed", "Send less, or raise the limit in the settings."),
    "body_too_slow": Kind(
        408, "The body came too slowly", "Send it again; STROP_BODY_SECONDS allows for slow networks."
    ),
    "key_in_use": Kind(409, "A key cannot revoke itself", "Use another key with the scope admin, or the box itself."),
    "rate_limited": Kind(429, "Too many requests", "Wait for as long as Retry-After says."),
    "image_invalid": Kind(422, "An image is not one that the model takes", "Send base64 of raw pixels, PNG or JPEG."),
    "model_invalid": Kind(
        422, "The file is no strop checkpoint, or not one of this model", "Send what Model.save wrote."
    ),
    "model_untrained": Kind(409, "The network was never trained", "Fine-tune it first, or name another version."),
    "version_damaged": Kind(500, "A version's file is not what was recorded", "Roll back, or promote another version."),
}
EVERY_ROUTE = ("invalid_request", "host_unknown", "too_large", "body_too_slow", "rate_limited", "internal")
SCOPED_ROUTE = ("key_missing", "key_invalid", "scope_missing", "origin_unknown")


class Problem(Exception):
    """A refusal with a code of the registry. Extension members go into the body as they are."""

    def __init__(self, code: str, detail: str, *, headers: dict[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.code, self.detail, self.headers, self.members = code, detail, headers, members


def problem_body(code: str, detail: str, **members: Any) -> dict[str, Any]:
    """Return the JSON of a problem; `instance` is the id of the request, as in the log."""
    kind = REGISTRY[code]
    body = {"type": TYPE + code, "title": kind.title, "status": kind.status, "code": code, "detail": detail}
    return {**body, "instance": request_id(), "remedy": kind.remedy, **members}


class _AsciiJSON(JSONResponse):
    """What a client sent may stand in a detail, half of a surrogate pair too: UTF-8 has no bytes for that."""

    media_type = MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False).encode("ascii")


def problem_response(code: str, detail: str, headers: dict[str, str] | None = None, **members: Any) -> JSONResponse:
    """Return the answer for a problem."""
    body = problem_body(code, detail, **members)
    return _AsciiJSON(body, body["status"], headers=headers)


def problems(*codes: str, scoped: bool = True) -> dict[int | str, dict[str, Any]]:
    """Return a route's `responses`: the statuses of these codes, and of what every route may answer.

    scoped: whether the route asks for a key.
    """
    described: dict[int | str, dict[str, Any]] = {}
    for code in (*EVERY_ROUTE, *(SCOPED_ROUTE if scoped else ()), *codes):
        kind = REGISTRY[code]
        known = described.setdefault(kind.status, {"description": "", "content": {MEDIA_TYPE: {"schema": SCHEMA}}})
        known["description"] = "; ".join(filter(None, (known["description"], f"`{code}`: {kind.title}")))
    return described


SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail", "remedy"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "enum": sorted(REGISTRY)},
        "detail": {"type": "string"},
        "instance": {"type": ["string", "null"], "description": "the id of the request, as in X-Request-Id"},
        "remedy": {"type": "string"},
    },
}


def install_handlers(app: FastAPI) -> None:
    """Let every error of the application be a problem. What nobody expected is answered in access.py."""

    @app.exception_handler(Problem)
    async def refused(request: Request, problem: Problem) -> JSONResponse:
        return problem_response(problem.code, problem.detail, problem.headers, **problem.members)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = [{"pointer": _pointer(each["loc"]), "message": each["msg"]} for each in error.errors()]
        detail = "; ".join(f"{each['pointer']}: {each['message']}" for each in errors[:5])
        return problem_response("invalid_request", detail, errors=errors)

    @app.exception_handler(HTTPException)
    async def routed(request: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
        headers = dict(error.headers or {})
        if code == "method_not_allowed":
            headers["Allow"] = _methods(request) or headers.get("Allow", "")
        return problem_response(code, f"{request.method} {request.url.path}: {error.detail}", headers)

    @app.exception_handler(StropError)
    async def unacceptable(request: Request, error: StropError) -> JSONResponse:
        return problem_response("unacceptable", str(error), error=type(error).__name__)


def _methods(request: Request) -> str:
    """Return all methods of a path: the framework's own answer has those of one of its routes."""
    path = getattr(request.scope.get("route"), "path", None)
    return ", ".join(sorted(method.upper() for method in request.app.openapi()["paths"].get(path, {})))


def _pointer(place: tuple[Any, ...]) -> str:
    return "/" + "/".join(str(part) for part in place)
