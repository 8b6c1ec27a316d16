"""/healthz and /device. Readiness and metrics have files of their own."""

from __future__ import annotations

import os
from collections.abc import Callable

import httpx
from fastapi import FastAPI
from fastapi.testclient import TestClient

from running_server import Server
from strop.service.dependencies import Service
from strop.service.store import worker


def test_alive(client: TestClient) -> None:
    """Protects the probe that must not depend on anything but the process."""
    assert client.get("/healthz").json() == {"status": "alive"}


def test_alive_without_a_database(client: TestClient) -> None:
    """Protects a box with a broken disk from being restarted over and over: alive, but not ready."""
    assert isinstance(client.app, FastAPI)
    service: Service = client.app.state.service
    service.database.close()
    for path in service.settings.data.glob("strop.db*"):
        path.unlink()
    service.settings.data.joinpath("strop.db").mkdir()
    assert client.get("/healthz").status_code == 200
    refused = client.get("/readyz")
    assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")
    assert refused.json()["reasons"] == ["the database cannot be read: unable to open database file"]


def test_no_device_yet(client: TestClient) -> None:
    """Protects the dashboard's first second."""
    assert client.get("/device").json() == {
        "state": "none",
        "worker": None,
        "device": None,
        "selftest": None,
        "job": None,
    }


def test_a_worker_that_left_no_word_is_dead(client: TestClient) -> None:
    """Protects against "training" for ever after a crash."""
    assert isinstance(client.app, FastAPI)
    service: Service = client.app.state.service
    with service.database.transaction() as db:
        worker.begin(db, os.getpid())
        worker.tell(db, "training", None)
    assert client.get("/device").json()["state"] == "dead"


def test_the_device_of_a_real_worker(make_server: Callable[..., Server]) -> None:
    """Protects what doctor and dashboard show: which device, and a self-test that was run and passed."""
    server = make_server().start()
    found = httpx.get(f"{server.url}/device").json()
    assert found["state"] == "idle"
    assert found["device"]["name"] == "emulator"
    assert found["selftest"]["passed"] is True
    assert found["selftest"]["cases"] > 0
    assert found["worker"]["started"].endswith("Z")
