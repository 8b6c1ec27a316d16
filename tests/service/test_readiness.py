"""Readiness: true only with a live worker, a tested device and models that load. Each of these is taken away here."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from running_server import Server
from strop.host import Model, read_manifest
from strop.host.models import initial_state
from strop.host.networks import lenet5
from strop.runtime.lease import Lease
from strop.service.readiness import LOCK
from strop.service.store import models, worker
from strop.service.store.database import Database

DEVICE = {"name": "emulator", "description": "pretended"}
PASSED = {"passed": True, "cases": 7, "wrong": [], "at": 0.0}


@pytest.fixture
def database(client: TestClient) -> Database:
    """The database behind `client`."""
    assert isinstance(client.app, FastAPI)
    found: Database = client.app.state.service.database
    return found


@pytest.fixture
def lease(database: Database) -> Iterator[Lease]:
    """This process as the worker: it holds the lock, and says that its device passed."""
    held = Lease("worker", folder=database.path.parent)
    tell(database, os.getpid(), DEVICE, PASSED, "idle")
    yield held
    held.release()


def tell(
    database: Database, pid: int, device: dict[str, Any] | None, selftest: dict[str, Any] | None, state: str
) -> None:
    """Write what a worker would."""
    with database.transaction() as db:
        worker.begin(db, pid)
        if device is not None:
            worker.tell_device(db, device, selftest)
        worker.tell(db, state)


def reasons(client: TestClient) -> list[str]:
    """Return why the service is not ready; empty if it is."""
    answer = client.get("/readyz")
    if answer.status_code == 200:
        assert answer.json() == {"status": "ready"}
        return []
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    assert answer.headers["retry-after"] == "2"
    found: list[str] = answer.json()["reasons"]
    assert answer.json()["detail"] == "; ".join(found)
    return found


def file_in_production(database: Database) -> Path:
    """Return the file of the model that is served."""
    db = database.read()
    (model,) = models.all_models(db)
    version = models.version_of(db, models.aliases(db, model.id)["production"])
    return database.path.parent / version.path


def test_ready(client: TestClient, lease: Lease) -> None:
    """Protects the tests below: with everything in place it is true."""
    assert reasons(client) == []


def test_a_fresh_box_has_no_worker(client: TestClient) -> None:
    """Protects the first second."""
    assert reasons(client) == ["there is no worker"]


def test_a_dead_workers_word_does_not_count(client: TestClient, lease: Lease, database: Database) -> None:
    """Protects against a stale row, though a process of that number lives: after a reboot it is another program."""
    lease.release()
    assert reasons(client) == ["there is no worker"]
    (database.path.parent / LOCK).unlink()
    assert reasons(client) == ["there is no worker"]


def test_another_workers_word_does_not_count(client: TestClient, lease: Lease, database: Database) -> None:
    """Protects the moment in which a new worker has the lock, and the row is still that of the last one."""
    tell(database, os.getpid() + 1, DEVICE, PASSED, "idle")
    assert reasons(client) == ["there is no worker"]
    tell(database, os.getpid(), DEVICE, PASSED, "idle")
    for text in ("", "{", "[]", '{"pid": null}', json.dumps({"pid": 1})):
        (database.path.parent / LOCK).write_text(text, encoding="utf-8")
        assert reasons(client) == ["there is no worker"], text


@pytest.mark.parametrize(
    ("device", "selftest", "state", "reason"),
    [
        (None, None, "starting", "the device is being opened"),
        ({"error": "no overlay"}, None, "failed", "the device cannot be opened: no overlay"),
        (DEVICE, None, "starting", "the device has not passed its self-test"),
        (DEVICE, {**PASSED, "passed": False, "wrong": ["conv"]}, "failed", "the device has not passed its self-test"),
        (DEVICE, PASSED, "stopping", "the worker is about to end"),
    ],
)
def test_a_device_that_is_not_good_is_not_ready(
    client: TestClient,
    lease: Lease,
    database: Database,
    device: dict[str, Any] | None,
    selftest: dict[str, Any] | None,
    state: str,
    reason: str,
) -> None:
    """Protects training from a device that was not opened, fails, or was not tested."""
    tell(database, os.getpid(), device, selftest, state)
    assert reasons(client) == [reason]
    assert "strop_device_ready 0.0" in client.get("/metrics").text


def test_a_model_file_that_does_not_load_is_not_ready(client: TestClient, lease: Lease, database: Database) -> None:
    """Protects predictions: a file that is gone, cut short, or has one wrong bit; and readiness comes back with it."""
    path = file_in_production(database)
    good = path.read_bytes()
    for damage in (None, b"", good[: len(good) // 2], good[:-1] + bytes([good[-1] ^ 1])):
        if damage is None:
            path.unlink()
        else:
            path.write_bytes(damage)
        (reason,) = reasons(client)
        assert reason.startswith("lenet5-fashion-mnist@1, in production, cannot be loaded: ")
        path.write_bytes(good)
        assert reasons(client) == []


def test_a_file_with_other_weights_is_not_ready(client: TestClient, lease: Lease, database: Database) -> None:
    """Protects against a good file in the wrong place: it is not what was promoted."""
    path = file_in_production(database)
    classes = tuple(read_manifest(path)["classes"])
    Model(lenet5(), initial_state(lenet5(), seed=1), classes=classes, device="reference").save(path)
    (reason,) = reasons(client)
    assert "other weights than were recorded" in reason


def test_no_model_is_not_ready(client: TestClient, lease: Lease, database: Database) -> None:
    """Protects an empty registry from looking well."""
    with database.transaction() as db:
        db.execute("PRAGMA defer_foreign_keys = ON")
        db.execute("DROP TRIGGER deployments_remain")
        for table in ("deployments", "aliases", "versions", "models"):
            db.execute(f"DELETE FROM {table}")
    assert reasons(client) == ["there is no model"]


def test_probing_does_not_keep_a_worker_out(client: TestClient, database: Database) -> None:
    """Protects the worker's start: a probe looks at the lock and leaves it."""
    tell(database, os.getpid(), DEVICE, PASSED, "idle")
    Lease("worker", folder=database.path.parent).release()
    for _ in range(20):
        assert reasons(client) == ["there is no worker"]
        Lease("worker", folder=database.path.parent).release()


def test_a_killed_worker_is_noticed_at_once(make_server: Callable[..., Server]) -> None:
    """Protects load balancers, with a real worker and SIGKILL: not ready from then until the next one has tested."""
    server = make_server().start()
    killed = server.worker_pid()
    os.kill(killed, signal.SIGKILL)
    answer = httpx.get(f"{server.url}/readyz")
    assert answer.status_code == 503
    server.wait_ready()
    assert server.worker_pid() != killed


def test_a_device_that_cannot_be_opened_says_why(make_server: Callable[..., Server]) -> None:
    """Protects operators of a board without pynq, with a real worker: the reason is in /readyz and /device."""
    server = make_server(STROP_DEVICE="board").start(wait=False)
    end = time.monotonic() + 30
    found: list[str] = []
    while time.monotonic() < end and not any("cannot be opened" in reason for reason in found):
        with suppress(httpx.TransportError):
            found = httpx.get(f"{server.url}/readyz").json().get("reasons", [])
        time.sleep(0.05)
    assert any(reason.startswith("the device cannot be opened: ") for reason in found), found
    assert "error" in httpx.get(f"{server.url}/device").json()["device"]
