"""What the service refuses, and why: problem details (RFC 9457), from one registry of codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from strop.runtime.errors import StropError

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
    "state_conflict": Kind(409, "The job is in a state that does not allow this", "Read the job first."),
    "idempotency_key_reused": Kind(
        409, "The Idempotency-Key was used for another request", "Take a new key for a new request."
    ),
    "dataset_unsuitable": Kind(422, "The data does not fit the model", "Compare shapes and classes of both."),
    "unacceptable": Kind(422, "The request cannot be carried out as it is", "The detail says what is allowed."),
    "queue_full": Kind(429, "Too many jobs are waiting", "Wait for one to end, or cancel one."),
    "storage_low": Kind(507, "There is too little room on the disk", "Delete data sets or models, or free some space."),
    "not_ready": Kind(503, "The service is not ready", "Ask /readyz for the reasons, and try again."),
    "internal": Kind(500, "The service failed", "Report it, with the request id; its log has more."),
}


class Problem(Exception):
    """A refusal with a code of the registry. Extension members go into the body as they are."""

    def __init__(self, code: str, detail: str, *, headers: dict[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.code, self.detail, self.headers, self.members = code, detail, headers, members


def problem_body(code: str, detail: str, **members: Any) -> dict[str, Any]:
    """Return the JSON of a problem."""
    kind = REGISTRY[code]
    body = {"type": TYPE + code, "title": kind.title, "status": kind.status, "code": code, "detail": detail}
    return {**body, "remedy": kind.remedy, **members}


def problem_response(code: str, detail: str, headers: dict[str, str] | None = None, **members: Any) -> JSONResponse:
    """Return the answer for a problem."""
    body = problem_body(code, detail, **members)
    return JSONResponse(body, body["status"], headers=headers, media_type=MEDIA_TYPE)


def problems(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return a route's `responses`: the statuses of these codes, and of what every route may answer."""
    described: dict[int | str, dict[str, Any]] = {}
    for code in ("invalid_request", "internal", *codes):
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
        "remedy": {"type": "string"},
    },
}


def install_handlers(app: FastAPI) -> None:
    """Let every error of the application be a problem."""

    @app.exception_handler(Problem)
    def refused(request: Request, problem: Problem) -> JSONResponse:
        return problem_response(problem.code, problem.detail, problem.headers, **problem.members)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = [{"pointer": _pointer(each["loc"]), "message": each["msg"]} for each in error.errors()]
        detail = "; ".join(f"{each['pointer']}: {each['message']}" for each in errors[:5])
        return problem_response("invalid_request", detail, errors=errors)

    @app.exception_handler(HTTPException)
    def routed(request: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
        headers = dict(error.headers or {})
        return problem_response(code, f"{request.method} {request.url.path}: {error.detail}", headers)

    @app.exception_handler(StropError)
    def unacceptable(request: Request, error: StropError) -> JSONResponse:
        return problem_response("unacceptable", str(error), error=type(error).__name__)

    @app.exception_handler(Exception)
    def failed(request: Request, error: Exception) -> JSONResponse:
        return problem_response("internal", f"{type(error).__name__} while answering {request.method}")


def _pointer(place: tuple[Any, ...]) -> str:
    return "/" + "/".join(str(part) for part in place)
