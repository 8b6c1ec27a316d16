"""Each request: its id everywhere, its log line, and an answer even if the application fails."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from starlette.requests import ClientDisconnect

from strop.service.ids import PATTERN
from strop.service.logs import JsonLines

SECRET = "a detail that only the log may have"


def application(client: TestClient) -> FastAPI:
    """Return the application behind a client."""
    assert isinstance(client.app, FastAPI)
    return client.app


@pytest.fixture
def failing(client: TestClient) -> TestClient:
    """A client of an application with routes that fail."""
    app = application(client)

    @app.get("/fails")
    def fails() -> None:
        raise ValueError(SECRET)

    @app.get("/breaks")
    async def breaks() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"begun"
            raise ValueError(SECRET)

        return StreamingResponse(pieces())

    @app.get("/leaves")
    async def leaves(request: Request) -> None:
        raise ClientDisconnect

    @app.get("/logs")
    def logs() -> None:
        logging.getLogger("strop.test").warning("from a route")

    return client


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[dict[str, object]]]:
    """The lines of the log, as they are written."""
    written: list[dict[str, object]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(json.loads(JsonLines().format(record)))

    handler = Keep()
    logger = logging.getLogger("strop")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield written
    logger.removeHandler(handler)
    logger.setLevel(before)


def test_every_answer_has_an_id(client: TestClient) -> None:
    """Protects whoever reports a fault: routes, unknown paths, refusals of each layer."""
    ids = set()
    for path, headers in (("/healthz", {}), ("/nothing", {}), ("/jobs", {"Host": "evil"}), ("/jobs?limit=0", {})):
        answer = client.get(path, headers=headers)
        ids.add(answer.headers["x-request-id"])
        if answer.status_code >= 400:
            assert answer.json()["instance"] == answer.headers["x-request-id"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert len(ids) == 4
    assert all(re.fullmatch(PATTERN, id) for id in ids)


@pytest.mark.parametrize(
    ("given", "kept"), [("trace-1.a:b_C", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("", False)]
)
def test_an_id_from_outside_is_kept_if_it_is_one(client: TestClient, given: str, kept: bool) -> None:
    """Protects traces through a proxy, and logs from what is no id."""
    assert (client.get("/healthz", headers={"X-Request-Id": given}).headers["x-request-id"] == given) is kept


def test_a_failure_is_a_problem_and_its_traceback_is_in_the_log(
    failing: TestClient, lines: list[dict[str, object]]
) -> None:
    """Protects both readers: the client learns no internals, the log has all of them under the same id."""
    answer = failing.get("/fails")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert answer.headers["content-type"] == "application/problem+json"
    assert SECRET not in answer.text
    assert "Traceback" not in answer.text
    (failed,) = [line for line in lines if line["message"] == "a request failed"]
    assert SECRET in str(failed["traceback"])
    assert failed["request"] == answer.headers["x-request-id"] == answer.json()["instance"]


def test_an_answer_that_has_begun_is_cut_off(failing: TestClient, lines: list[dict[str, object]]) -> None:
    """Protects against half an answer that looks whole."""

    async def ask() -> list[dict[str, object]]:
        sent: list[dict[str, object]] = []

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "path": "/breaks",
            "raw_path": b"/breaks",
            "query_string": b"",
            "headers": [(b"host", b"localhost")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "scheme": "http",
            "root_path": "",
        }
        with pytest.raises(ValueError, match=SECRET):
            await application(failing)(scope, receive, send)
        return sent

    sent = asyncio.run(ask())
    assert sent[0]["status"] == 200
    assert not any(message.get("more_body") is False for message in sent)
    assert any(SECRET in str(line.get("traceback")) for line in lines)


def test_a_client_that_leaves_is_no_failure(failing: TestClient, lines: list[dict[str, object]]) -> None:
    """Protects the log from tracebacks that mean nothing, and alarms on 500s from clients that hang up."""
    with pytest.raises(AssertionError):  # the test client misses an answer, which nobody would have read
        TestClient(application(failing), raise_server_exceptions=True).get("/leaves")
    assert [line["status"] for line in lines if line["path"] == "/leaves"] == [499]
    assert not any("traceback" in line for line in lines)


def test_the_access_line(client: TestClient, lines: list[dict[str, object]]) -> None:
    """Protects what operators search for, and what may never be there: the query string, and probes by the thousand."""
    answer = client.get("/jobs?limit=7&key=strop_secret")
    client.get("/healthz")
    client.get("/readyz")
    client.get("/metrics")
    (line,) = lines
    assert (line["method"], line["path"], line["status"], line["key"]) == ("GET", "/jobs", 200, "local")
    assert line["client"] == "testclient"
    assert line["request"] == answer.headers["x-request-id"]
    assert "secret" not in json.dumps(line)


def test_lines_from_routes_name_the_request(failing: TestClient, lines: list[dict[str, object]]) -> None:
    """Protects the search by request id: routes run in other threads, and their lines have it too."""
    answer = failing.get("/logs")
    assert [line["request"] for line in lines] == [answer.headers["x-request-id"]] * 2
