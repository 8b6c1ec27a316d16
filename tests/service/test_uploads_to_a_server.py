"""Uploads to a real server that is measured from outside, left in the middle, and killed."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from data_requests import upload
from made_uploads import MIB, bombs, class_folders, npz, pixels, zipped
from running_server import Server
from strop.host.data.npz_dataset import load_npz

BOMBS = bombs()


def memory_kib(pid: int, name: str = "VmRSS") -> int:
    """Return what a process has in memory, or had at most: VmHWM."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.split(f"{name}:")[1].split()[0])


def growth_mib(server: Server, act: Callable[[], None]) -> float:
    """Return by how much the server's memory grew at most, while something was done."""
    assert server.process is not None
    pid = server.process.pid
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="utf-8")  # the peak counts from now
    before = memory_kib(pid)
    act()
    return (memory_kib(pid, "VmHWM") - before) / 1024


def in_pieces(body: bytes | memoryview) -> Iterator[bytes]:
    """Yield a body, which httpx then sends without a Content-Length."""
    for at in range(0, len(body), 1 << 16):
        yield bytes(body[at : at + (1 << 16)])


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    """A client of the real server, which has taken uploads before: what it imports for them is in memory."""
    with httpx.Client(base_url=server.url, timeout=120) as client:
        upload(client)
        upload(client, zipped(class_folders(pixels(3, 5, 4), [0, 1, 1])), "zip")
        yield client


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process's threads have had: it tells the same on a busy machine."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text(encoding="ascii").split()[0]) for task in tasks) / 1e9


@pytest.mark.parametrize("case", BOMBS)
def test_bombs_cost_nothing(server: Server, http: httpx.Client, case: str) -> None:
    """Protects the bar: refused in 50 ms and 8 MiB, measured from outside."""
    assert server.process is not None
    format, body, code = BOMBS[case]
    answers: list[Any] = []
    began = cpu_seconds(server.process.pid)
    grown = growth_mib(server, lambda: answers.append(upload(http, body, format)))
    assert code in ("*", answers[0].json().get("code"))
    assert grown < 8
    assert cpu_seconds(server.process.pid) - began < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("kind", ["good", "bad labels", "no zip inside"])
def test_large_uploads_do_not_come_into_memory(server: Server, http: httpx.Client, kind: str, declared: bool) -> None:
    """Protects a board of 512 MB: 64 MiB of samples, good, bad or no samples at all, take 8 MiB at most."""
    images = pixels(64 * MIB // 784, 28, 28, seed=int(declared))
    labels = np.arange(len(images)) % 10 - (20 if kind == "bad labels" else 0)
    body = b"PK\3\4" + images.tobytes() if kind == "no zip inside" else npz(images=images, labels=labels)
    answers: list[Any] = []
    grown = growth_mib(server, lambda: answers.append(upload(http, body if declared else in_pieces(body))))
    assert answers[0].status_code == (201 if kind == "good" else 422)
    assert grown < 8


@pytest.mark.slow
@pytest.mark.parametrize("declared", [True, False])
def test_too_large_is_refused_with_and_without_a_length(server: Server, http: httpx.Client, declared: bool) -> None:
    """Protects disk and memory: 300 MiB are refused by what they say they are, or once too many have come."""
    headers = {"Content-Length": str(300 * MIB)} if declared else {}
    body = (bytes(1 << 16) for _ in range(300 * MIB >> 16))
    answers: list[Any] = []
    grown = growth_mib(
        server,
        lambda: answers.append(http.post("/datasets", params={"format": "npz"}, content=body, headers=headers)),
    )
    assert (answers[0].status_code, answers[0].json()["code"]) == (413, "too_large")
    assert grown < 8
    assert list((server.data / "incoming").iterdir()) == []


def half_sent(server: Server) -> socket.socket:
    """Return a connection on which half of an upload was sent."""
    connection = socket.create_connection(("127.0.0.1", server.port))
    head = f"POST /datasets?format=npz HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: {2 * MIB}\r\n\r\n"
    connection.sendall(head.encode() + bytes(MIB))
    return connection


def unnamed_files(server: Server) -> list[str]:
    """Return what the server has open below its folder of incoming files."""
    assert server.process is not None
    folder, found = f"/proc/{server.process.pid}/fd", []
    for fd in os.listdir(folder):
        try:
            found.append(os.readlink(f"{folder}/{fd}"))
        except FileNotFoundError:
            continue
    return [link for link in found if link.startswith(str(server.data / "incoming"))]


def wait_for(condition: Callable[[], bool]) -> None:
    """Return once something holds, which must be soon."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_an_upload_that_breaks_off_leaves_nothing(server: Server, http: httpx.Client) -> None:
    """Protects the disk from clients that go away: the unnamed file closes, and nothing is listed."""
    before = http.get("/datasets").json()
    connection = half_sent(server)
    wait_for(lambda: len(unnamed_files(server)) == 1)
    connection.close()
    wait_for(lambda: unnamed_files(server) == [])
    assert list((server.data / "incoming").iterdir()) == []
    assert http.get("/datasets").json() == before
    assert '"level": "error"' not in server.log.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_server_killed_during_uploads(make_server: Callable[..., Server]) -> None:
    """Protects against power cuts: at whatever moment, what is listed has its file, and nothing else is there."""
    server = make_server()
    bodies = [
        npz(images=pixels(8 * MIB // 784, 28, 28, seed=n), labels=np.zeros(8 * MIB // 784, int)) for n in range(3)
    ]
    accepted: set[str] = set()
    for round in range(8):
        server.start()

        def send(number: int) -> None:
            try:
                answer = httpx.post(f"{server.url}/datasets?format=npz", content=bodies[number], timeout=30)
            except httpx.TransportError:
                return
            if answer.status_code in (200, 201):
                accepted.add(answer.json()["id"])

        threads = [threading.Thread(target=send, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.04 * round)
        server.kill()
        for thread in threads:
            thread.join()
        assert list((server.data / "incoming").glob("*")) == []
    server.start()
    listed = httpx.get(f"{server.url}/datasets").json()["data"]
    assert accepted <= {each["id"] for each in listed}
    assert len({each["sha256"] for each in listed}) == len(listed)
    for each in listed:
        assert len(load_npz(server.data / "datasets" / f"{each['id']}.npz", "all")) == each["samples"]
