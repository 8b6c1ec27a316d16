"""The event stream over a bad network: whatever breaks, every event arrives once and in order."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from cutting_proxy import CuttingProxy
from running_server import TERMINAL, Server
from strop.host.data import Dataset, load_fashion_mnist_subset
from strop.service import client_jobs
from strop.service.client import Client, RemoteJob
from strop.service.client_transport import Transport

CUTS = 500
LONGEST = 1_000  # bytes of an answer before it is cut: its head and a few events
EPOCHS = 1_000
Seen = tuple[int, str, dict[str, Any]]


@pytest.fixture
def few() -> Dataset:
    """Images so few that an epoch is one step: each has its event."""
    return load_fashion_mnist_subset("train").take(16, 0)


@pytest.fixture
def make_proxy() -> Iterator[Callable[..., CuttingProxy]]:
    """A function that makes proxies, which are closed."""
    made: list[CuttingProxy] = []

    def make(*words: Any) -> CuttingProxy:
        made.append(CuttingProxy(*words))
        return made[-1]

    yield make
    for proxy in made:
        proxy.close()


def told(server: Server, id: str) -> list[Seen]:
    """Return all events of a job, from the pages of JSON."""
    found: list[Seen] = []
    after: int | None = 0
    while after is not None:
        page = httpx.get(
            f"{server.url}/jobs/{id}/events", params={"after": after}, headers={"Accept": "application/json"}
        ).json()
        found += [(event["id"], event["type"], event["data"]) for event in page["data"]]
        after = page["next"]
    return found


def follow(job: RemoteJob, seen: list[Seen]) -> None:
    """Let the client follow."""
    for event in job.events():
        seen.append((event.id, event.type, event.data))


def follow_by_hand(url: str, id: str, seen: list[Seen]) -> None:
    """Follow as any program can: read to the end, come back with the id of the last whole event."""
    http = httpx.Client(timeout=30)
    while not seen or seen[-1][1] not in TERMINAL:
        headers = {"Last-Event-ID": str(seen[-1][0])} if seen else {}
        body = b""
        try:
            with http.stream("GET", f"{url}/jobs/{id}/events", headers=headers) as answer:
                for piece in answer.iter_raw():
                    body += piece
        except httpx.TransportError:
            pass
        for block in body.decode("ascii").split("\n\n")[:-1]:
            if not block.startswith(":"):
                fields = dict(line.split(": ", 1) for line in block.split("\n"))
                data = json.loads(fields["data"])
                del data["at"]
                seen.append((int(fields["id"]), fields["event"], data))


@pytest.mark.slow
def test_500_disconnects_in_one_job(
    make_server: Callable[..., Server],
    make_proxy: Callable[..., CuttingProxy],
    few: Dataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Protects the promise of the stream: with 500 connections cut at any byte, while the job runs and after it, the
    client and a program of ten lines both see exactly the events that the pages list, each once and in order."""
    monkeypatch.setattr(client_jobs, "FIRST_PAUSE", 0.001)
    server = make_server().start()
    client = Client(server.url)
    data = client.upload(few)["id"]
    job = client.finetune(data=data, epochs=EPOCHS, batch=16, checkpoint_every=100)
    one, other = make_proxy(server.port, CUTS, LONGEST, 1), make_proxy(server.port, CUTS, LONGEST, 2)
    by_client: list[Seen] = []
    by_hand: list[Seen] = []
    threads = [
        threading.Thread(target=follow, args=(RemoteJob(Transport(one.url), job.data), by_client), daemon=True),
        threading.Thread(target=follow_by_hand, args=(other.url, job.id, by_hand), daemon=True),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    events = told(server, job.id)
    assert job.refresh().state == "succeeded"
    assert len([event for event in events if event[1] == "epoch"]) == EPOCHS
    assert (one.done, other.done) == (CUTS, CUTS)
    assert by_client == events
    assert by_hand == events


@pytest.mark.slow
def test_a_service_that_is_killed_and_started_again(make_server: Callable[..., Server], few: Dataset) -> None:
    """Protects following through a power cut of the box: the stream goes on, and the job, with no gap between."""
    server = make_server().start()
    client = Client(server.url)
    job = client.finetune(data=client.upload(few)["id"], epochs=EPOCHS, batch=16, checkpoint_every=20)
    seen: list[Seen] = []
    thread = threading.Thread(target=follow, args=(job, seen), daemon=True)
    thread.start()
    while len(seen) < 30:
        assert thread.is_alive()
    server.kill()
    server.start()
    thread.join(60)
    events = told(server, job.id)
    assert seen == events and events[-1][1] == "succeeded"
    assert "resumed" in [type for _, type, _ in events]
