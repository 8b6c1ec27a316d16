"""The client's HTTP: where it goes, with what, and what becomes of every kind of refusal and silence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from strop.host.cli.exit_codes import exit_code_of
from strop.runtime.errors import InputError
from strop.service.client_transport import ServiceBusy, ServiceFailed, ServiceProblem, ServiceUnreachable, Transport

Handler = Callable[[httpx.Request], httpx.Response]
PROBLEM = {"type": "t", "title": "T", "code": "c", "detail": "No such thing.", "remedy": "Ask for another."}


def transport(handler: Handler, key: str | None = None) -> Transport:
    """A transport whose requests `handler` answers."""
    return Transport("http://box:8080/strop/", key, transport=httpx.MockTransport(handler))


@pytest.mark.parametrize(
    ("status", "kind", "exit_code"),
    [
        (404, ServiceProblem, 4),
        (409, ServiceProblem, 4),
        (422, ServiceProblem, 4),
        (429, ServiceBusy, 3),
        (500, ServiceFailed, 5),
        (503, ServiceFailed, 5),
        (507, ServiceFailed, 5),
    ],
)
def test_problem_details_become_exceptions(status: int, kind: type[ServiceProblem], exit_code: int) -> None:
    """Protects what callers branch on: the class, its members, and the command's exit code."""
    body = {**PROBLEM, "status": status, "limit": 7}
    with pytest.raises(ServiceProblem) as caught:
        transport(lambda _: httpx.Response(status, json=body)).document("GET", "/jobs")
    error = caught.value
    assert type(error) is kind
    assert (error.code, error.detail, error.remedy, error.status) == ("c", "No such thing.", "Ask for another.", status)
    assert error.body["limit"] == 7
    assert str(error) == "No such thing. Ask for another."
    assert exit_code_of(error) == exit_code


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(502, text="<html>Bad Gateway</html>"),
        httpx.Response(404, json=["no", "problem"]),
        httpx.Response(404, json={"detail": "Not Found"}),
        httpx.Response(200, text="<html>a router's own page</html>"),
        httpx.Response(301, headers={"Location": "http://elsewhere/"}),
    ],
)
def test_what_no_service_said_is_called_so(answer: httpx.Response) -> None:
    """Protects from mistaking a proxy's page, another program's answer or a redirection for the service's."""
    with pytest.raises(ServiceProblem, match="box answered .* address of a strop service") as caught:
        transport(lambda _: answer).document("GET", "/jobs")
    assert caught.value.code == "foreign_answer"
    assert caught.value.status == answer.status_code


def test_the_key_and_the_prefix_of_the_address_are_sent() -> None:
    """Protects a service behind a reverse proxy's path, and the one header that a key belongs into."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(204)

    assert transport(answer, "s3cret").document("POST", "/jobs", json={"a": 1}, params={"after": "x"}) is None
    transport(answer).document("GET", "/jobs")
    assert str(seen[0].url) == "http://box:8080/strop/jobs?after=x"
    assert seen[0].headers["authorization"] == "Bearer s3cret"
    assert json.loads(seen[0].content) == {"a": 1}
    assert "authorization" not in seen[1].headers


@pytest.mark.parametrize(
    "url", ["box:8080", "ftp://box", "http://", "http://me:pw@box", "http://box/?a=1", "", "http://[::1"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    """Protects from a confusing error of the network layer, and from passwords in addresses, which end up in logs."""
    with pytest.raises(InputError, match="write http://HOST:PORT"):
        Transport(url)


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "Schlüssel"])
def test_what_cannot_be_a_key_is_refused(key: str) -> None:
    """Protects the header: nothing that is pasted as a key can add another one. The message does not repeat it."""
    with pytest.raises(InputError, match="key") as caught:
        Transport("http://box", key)
    assert key == "" or key not in str(caught.value)


def test_nobody_there_is_a_device_error(make_server: Callable[..., Any]) -> None:
    """Protects the exit code 5 and the remedy."""
    url = make_server().url  # which is not started
    with pytest.raises(ServiceUnreachable, match=f"{url} does not answer .*strop serve") as caught:
        Transport(url).document("GET", "/jobs")
    assert exit_code_of(caught.value) == 5


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects keys: they go to the box that was named, whatever HTTP_PROXY and ~/.netrc say."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    made: list[dict[str, Any]] = []
    monkeypatch.setattr("strop.service.client_transport.httpx.Client", lambda **words: made.append(words))
    Transport("http://box")
    assert made[0]["trust_env"] is False


def test_pages_are_read_to_the_last() -> None:
    """Protects lists that are longer than one page: every entry once, whatever the kind of `next`."""
    pages = {None: ([1, 2], 5), "5": ([3], "z"), "z": ([], None)}
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params.get("state"))
        entries, after = pages[request.url.params.get("after")]
        return httpx.Response(200, json={"data": entries, "next": after})

    assert list(transport(answer).entries("/jobs", state="queued")) == [1, 2, 3]
    assert list(transport(answer).entries("/jobs", state=None)) == [1, 2, 3]
    assert asked == ["queued"] * 3 + [None] * 3


def test_a_download_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """Protects an earlier file from a connection that breaks off."""
    target = tmp_path / "x.safetensors"
    target.write_bytes(b"earlier")

    def broken() -> Any:
        yield b"half of"
        raise httpx.ReadError("the cable")

    with pytest.raises(ServiceUnreachable, match="the cable"):
        transport(lambda _: httpx.Response(200, content=broken())).download("/f", target)
    assert target.read_bytes() == b"earlier"
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    transport(lambda _: httpx.Response(200, content=iter([b"the ", b"whole"]))).download("/f", target)
    assert target.read_bytes() == b"the whole"
    answer = transport(lambda _: httpx.Response(200, content=b"other bytes"))
    with pytest.raises(ServiceProblem, match="sent a file with sha256"):
        answer.download("/f", target, hashlib.sha256(b"the whole").hexdigest())
    assert target.read_bytes() == b"the whole"
    answer.download("/f", target, hashlib.sha256(b"other bytes").hexdigest())
    assert target.read_bytes() == b"other bytes"
