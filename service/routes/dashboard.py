"""The dashboard: one static page and the files it needs. It is a client of the API like any other."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.responses import Response

from strop.service.problems import Problem

router = APIRouter(include_in_schema=False)
FOLDER = Path(__file__).resolve().parents[1] / "dashboard"
PAGE = "index.html"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Nothing from elsewhere, no inline script, and no way from a string to markup: what the API says stays text.
POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Cache-Control": "no-cache",  # asked for again each time, and answered with 304: an upgraded box shows its own page
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
Known = Annotated[str | None, Header(alias="If-None-Match")]


@dataclass(frozen=True)
class StaticFile:
    """A file as it is sent."""

    body: bytes
    media_type: str
    etag: str


@cache
def static_files() -> dict[str, StaticFile]:
    """Return everything that may be asked for, by name: the closed list. Nothing a client sends becomes a path."""
    files = {}
    for path in sorted(FOLDER.iterdir()):
        if path.suffix in MEDIA_TYPES:
            body = path.read_bytes()
            files[path.name] = StaticFile(body, MEDIA_TYPES[path.suffix], f'"{hashlib.sha256(body).hexdigest()[:32]}"')
    return files


@router.get("/")
def page(known: Known = None) -> Response:
    """Return the page."""
    return _sent(PAGE, known)


@router.get("/dashboard/{name}")
def file(name: str, known: Known = None) -> Response:
    """Return a file of the page."""
    return _sent(name, known)


def _sent(name: str, known: str | None) -> Response:
    found = static_files().get(name)
    if found is None:
        raise Problem("not_found", f"the dashboard has no file {name!r}")
    headers = {**HEADERS, "ETag": found.etag}
    if known is not None and found.etag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(found.body, headers=headers, media_type=found.media_type)
