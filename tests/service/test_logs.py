"""Logs: lines of JSON that name the request, and never a key."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator

import httpx
import pytest

from running_server import Server
from strop.service.logs import REQUEST, JsonLines, configure


@pytest.fixture
def restored() -> Iterator[None]:
    """Logging as it was, afterwards."""
    root, uvicorn = logging.getLogger(), logging.getLogger("uvicorn.access")
    before = (list(root.handlers), root.level, list(uvicorn.handlers), uvicorn.propagate)
    yield
    root.handlers[:], root.level, uvicorn.handlers[:], uvicorn.propagate = before


def test_a_line_is_json_with_its_fields_and_its_request() -> None:
    """Protects whatever reads the log: a line break or a quote in a message does not make a second line."""
    record = logging.LogRecord("strop.x", logging.WARNING, __file__, 1, 'two\n"lines" of %s', ("text",), None)
    record.fields = {"job": "job_1"}
    token = REQUEST.set("req_1")
    try:
        text = JsonLines().format(record)
    finally:
        REQUEST.reset(token)
    line = json.loads(text)
    assert "\n" not in text
    assert line["message"] == 'two\n"lines" of text'
    assert (line["level"], line["logger"], line["job"], line["request"]) == ("warning", "strop.x", "job_1", "req_1")
    assert "request" not in json.loads(JsonLines().format(record))


def test_an_exception_comes_with_its_traceback() -> None:
    """Protects the search for a fault: the answer has no traceback, so the log must."""
    try:
        raise RuntimeError("on purpose")
    except RuntimeError:
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "failed", (), sys.exc_info())
    assert "on purpose" in json.loads(JsonLines().format(record))["traceback"]


def test_uvicorn_writes_no_access_lines(restored: None) -> None:
    """Protects keys in query strings: uvicorn's own lines would have them."""
    logging.getLogger("uvicorn.access").addHandler(logging.NullHandler())
    configure()
    assert not logging.getLogger("uvicorn.access").hasHandlers()


def test_a_key_in_a_query_is_never_logged(make_server: Callable[..., Server]) -> None:
    """Protects keys from whoever reads logs: a real server, the one route that takes ?key=, and its whole log."""
    server = make_server().start()
    key = httpx.post(f"{server.url}/keys", json={"name": "a", "scopes": ["admin"]}).json()["key"]
    body = {"data": "fashion-mnist-subset", "steps": 1}
    job = httpx.post(f"{server.url}/finetune", json=body, headers={"Authorization": f"Bearer {key}"}).json()
    path = f"/jobs/{job['id']}/events"
    seen = httpx.get(f"{server.url}{path}?key={key}", timeout=60)
    assert seen.status_code == 200
    assert "event: succeeded" in seen.text
    assert httpx.get(f"{server.url}/jobs?key={key}").status_code == 401
    server.stop()
    text = server.log.read_text(encoding="utf-8")
    assert path in text
    assert key not in text
    assert key.rpartition("_")[2] not in text
