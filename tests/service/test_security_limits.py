"""Limits: how often, how large, how slowly a client may ask, and that a refusal arrives as one."""

from __future__ import annotations

import http.client
import json
import select
import socket
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from fastapi.testclient import TestClient

from running_server import Server
from strop.service.app import create_app
from strop.service.security.callers import ANYBODY, Caller
from strop.service.security.keys import make_key
from strop.service.security.limits import MOST_BUCKETS, Buckets, client_of
from strop.service.settings import Settings
from strop.service.store.database import Database


def test_a_bucket_lets_a_minutes_requests_pass_and_fills_evenly() -> None:
    """Protects both sides of the limit: bursts of what is allowed, and no more than that over time."""
    now = [0.0]
    buckets = Buckets(60, lambda: now[0])
    assert [buckets.take("a") for _ in range(60)] == [0.0] * 60
    assert buckets.take("a") == pytest.approx(1.0)
    now[0] = 0.5
    assert buckets.take("a") == pytest.approx(0.5)
    now[0] = 1.0
    assert buckets.take("a") == 0.0
    assert buckets.take("a") > 0
    now[0] = 1000.0
    assert sum(buckets.take("a") == 0.0 for _ in range(100)) == 60


def test_one_client_does_not_use_up_anothers_bucket() -> None:
    """Protects the quiet from the loud."""
    buckets = Buckets(1, lambda: 0.0)
    assert buckets.take("a") == 0.0
    assert buckets.take("a") > 0
    assert buckets.take("b") == 0.0


def test_buckets_do_not_grow_without_end() -> None:
    """Protects memory from clients with many addresses; who is still asking keeps his bucket."""
    buckets = Buckets(1, lambda: 0.0)
    for number in range(2 * MOST_BUCKETS):
        buckets.take("busy")
        buckets.take(f"address {number}")
    assert buckets.take("busy") > 0
    assert len(buckets._filled) == MOST_BUCKETS


@pytest.mark.parametrize(
    ("key_id", "address", "counted"),
    [
        ("key_1", "10.0.0.1", "key_1"),
        (ANYBODY, "10.0.0.1", "10.0.0.1"),
        (None, "10.0.0.1", "10.0.0.1"),
        (None, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        (None, "2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        (None, "testclient", "testclient"),
    ],
)
def test_a_request_counts_for_its_key_else_its_address(key_id: str | None, address: str, counted: str) -> None:
    """Protects the limit from whoever has a /64 of addresses, or tries keys."""
    assert client_of({"state": {"caller": Caller(key_id)}, "client": (address, 1)}) == counted


def test_too_many_requests_are_told_when_to_come_back(settings: Settings) -> None:
    """Protects the box: wrong keys count for the address, good keys for themselves, probes for nobody."""
    with Database(settings.data / "strop.db").transaction() as db:
        _, token = make_key(db, "a", ["train"])
    few = Settings(data=settings.data, requests_per_minute=3)
    with TestClient(create_app(few)) as client:
        wrong = [client.get("/jobs", headers={"Authorization": f"Bearer {n}"}).status_code for n in range(5)]
        assert wrong == [401, 401, 401, 429, 429]
        refused = client.get("/jobs")
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert 1 <= int(refused.headers["retry-after"]) <= 21
        good = [client.get("/jobs", headers={"Authorization": f"Bearer {token}"}).status_code for _ in range(5)]
        assert good == [200, 200, 200, 429, 429]
        assert {client.get("/healthz").status_code for _ in range(10)} == {200}


@pytest.fixture
def small(settings: Settings) -> Iterator[TestClient]:
    """A client of a service that takes bodies of 1 KiB, and uploads of 1 MiB."""
    tight = Settings(data=settings.data, max_body_kbytes=1, max_upload_mbytes=1)
    with TestClient(create_app(tight), raise_server_exceptions=False) as opened:
        yield opened


def pieces(total: int, size: int = 100) -> Iterator[bytes]:
    """Yield a body of `total` bytes without saying its length first."""
    for _ in range(total // size):
        yield b" " * size


JSON = {"Content-Type": "application/json"}


def test_a_body_that_says_it_is_too_large_is_refused_unread(small: TestClient) -> None:
    """Protects memory: the length alone decides, and one byte less passes."""
    answer = small.post("/finetune", content=b" " * 1025, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert "1025" in answer.json()["detail"]
    assert "1024" in answer.json()["detail"]
    assert answer.headers["connection"] == "close"
    assert small.post("/finetune", content=b" " * 1024, headers=JSON).status_code == 422
    huge = {**JSON, "Content-Length": "9" * 30}
    assert small.post("/finetune", content=b"", headers=huge).status_code == 413


def test_a_body_that_grows_too_large_is_refused(small: TestClient) -> None:
    """Protects against a body without a length, where the framework would make a 400 of what the guard raises."""
    answer = small.post("/finetune", content=pieces(2000), headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert small.post("/finetune", content=pieces(1000), headers=JSON).status_code == 422


def test_uploads_have_a_limit_of_their_own(small: TestClient) -> None:
    """Protects the two routes that take files, and the disk from them."""
    for path in ("/datasets?name=a&format=npz", "/models?name=a"):
        assert small.post(path, content=b" " * 4096).status_code != 413, path
        assert small.post(path, content=b" " * ((1 << 20) + 1)).status_code == 413, path
        assert small.post(path, content=pieces((1 << 20) + 8192, 4096)).status_code == 413, path
    assert small.put("/models", content=b" " * 4096).status_code == 413


def exchange(url: str, head: str, *parts: bytes, pause: float = 0.0) -> bytes:
    """Send a raw request in parts, until the server answers; return all that comes back until it closes."""
    address = httpx.URL(url)
    with socket.create_connection((address.host, address.port), timeout=20) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode())
        for part in parts:
            if select.select([connection], [], [], pause)[0]:
                break
            connection.sendall(part)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


HEAD = "POST /finetune HTTP/1.1\nHost: localhost\nContent-Type: application/json\nContent-Length: {length}\n\n"


def test_a_body_that_does_not_come_is_not_waited_for(make_server: Callable[..., Server]) -> None:
    """Protects connections from clients that hold them open: silent, or a byte now and then. A real server."""
    server = make_server(STROP_BODY_SECONDS="1").start()
    silent = exchange(server.url, HEAD.format(length=100), b"{")
    assert silent.startswith(b"HTTP/1.1 408")
    assert b'"code": "body_too_slow"' in silent
    began = time.monotonic()
    dripped = exchange(server.url, HEAD.format(length=100), *[b" "] * 50, pause=0.3)
    assert dripped.startswith(b"HTTP/1.1 408")
    assert time.monotonic() - began < 7.5  # and not 15
    slow_but_sure = exchange(
        server.url, HEAD.format(length=20).replace("\n\n", "\nConnection: close\n\n"), b" " * 10, b" " * 10, pause=0.3
    )
    assert slow_but_sure.startswith(b"HTTP/1.1 422")


def test_a_client_that_sends_too_much_reads_the_refusal(make_server: Callable[..., Server]) -> None:
    """Protects clients that send all before they read: a connection that just broke would tell them nothing."""
    server = make_server().start()
    address = httpx.URL(server.url)
    for body, headers in (
        (b" " * (8 << 20), JSON),
        (pieces(8 << 20, 1 << 16), {**JSON, "Transfer-Encoding": "chunked"}),
    ):
        connection = http.client.HTTPConnection(address.host, address.port, timeout=20)
        chunked = not isinstance(body, bytes)
        connection.request("POST", "/finetune", body, headers, encode_chunked=chunked)  # all of it, or an OSError
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["code"]) == (413, "too_large")
        connection.close()
    assert httpx.get(f"{server.url}/jobs").status_code == 200


def test_a_large_upload_takes_little_memory(make_server: Callable[..., Server]) -> None:
    """Protects a box of 512 MB: what is refused is not kept, however much is sent."""
    server = make_server(STROP_MAX_BODY_KBYTES="64").start()

    def resident() -> float:
        text = httpx.get(f"{server.url}/metrics").text
        return float(next(line for line in text.splitlines() if line.startswith("process_resident")).split()[1])

    httpx.post(f"{server.url}/finetune", content=pieces(1 << 20, 1 << 16), headers=JSON)
    before = resident()
    for _ in range(3):
        answer = httpx.post(f"{server.url}/finetune", content=pieces(64 << 20, 1 << 16), headers=JSON, timeout=30)
        assert answer.status_code == 413
    assert resident() - before < 8 << 20
