"""Versions that a real worker makes: the gate decides over the alias, and verification holds after a SIGKILL."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from model_files import change_a_bit
from running_server import Server

MODEL = "lenet5-fashion-mnist"
INVERTED = {"data": "fashion-mnist-subset", "shift": "invert", "learning_rate": 0.05}

pytestmark = pytest.mark.slow


def finetune(server: Server, **words: Any) -> str:
    """Queue a job; return its id."""
    answer = httpx.post(f"{server.url}/finetune", json={**INVERTED, **words})
    assert answer.status_code == 202, answer.text
    id: str = answer.json()["id"]
    return id


def model(server: Server) -> dict[str, Any]:
    """Return the model as the service tells it."""
    told: dict[str, Any] = httpx.get(f"{server.url}/models/{MODEL}").json()
    return told


def verified(server: Server, number: int) -> dict[str, Any]:
    """Return the job that verified a version, at its end."""
    answer = httpx.post(f"{server.url}/models/{MODEL}/versions/{number}/verify")
    assert answer.status_code == 202, answer.text
    return server.wait_job(answer.json()["id"])


def events(server: Server, job: str) -> list[dict[str, Any]]:
    """Return all events of a job."""
    found: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        url = f"{server.url}/jobs/{job}/events"
        page = httpx.get(url, params={"after": after}, headers={"Accept": "application/json"}).json()
        found, after = [*found, *page["data"]], page["next"]
    return found


def gate_events(server: Server, job: str) -> list[dict[str, Any]]:
    """Return what the events of a job say of the gate."""
    return [event["data"] for event in events(server, job) if event["type"] == "gate"]


def test_the_gate_decides_over_the_alias(make_server: Callable[..., Server]) -> None:
    """Protects production: what passes takes the alias, what does not exists without one, and both say the numbers."""
    server = make_server().start()
    gate = {"min_accuracy": 0.6, "promote": "production"}
    job = server.wait_job(finetune(server, steps=60, gate=gate))
    result = job["result"]
    reached = result["accuracy"]["after"]["validation"]
    assert reached > 0.6 > result["accuracy"]["before"]["validation"]
    assert result["gate"]["passed"] and result["gate"]["accuracy"] == {"least": 0.6, "reached": reached}
    assert [event["accuracy"] for event in gate_events(server, job["id"])] == [result["gate"]["accuracy"]]
    assert model(server)["aliases"] == {"production": 2}

    strict = {"min_accuracy": 0.999, "max_forgetting": 0.01, "reference": "fashion-mnist-subset"}
    job = server.wait_job(finetune(server, model=f"{MODEL}@1", steps=60, gate={**strict, "promote": "production"}))
    result = job["result"]
    before, after = (result["accuracy"][when]["reference"] for when in ("before", "after"))
    assert job["state"] == "succeeded" and not result["gate"]["passed"]
    assert result["gate"]["forgetting"] == {"most": 0.01, "lost": before - after}
    assert [reason.split()[0] for reason in result["gate"]["reasons"]] == ["accuracy", "it"]
    assert f"{before - after:.3%}" in result["gate"]["reasons"][1]
    (event,) = gate_events(server, job["id"])
    assert event["reasons"] == result["gate"]["reasons"]

    told = model(server)
    assert told["aliases"] == {"production": 2}
    refused, accepted = told["versions"][0], told["versions"][1]
    assert (refused["number"], refused["aliases"], refused["parent"], refused["job"]) == (3, [], 1, job["id"])
    assert refused["gate"] == result["gate"] and refused["accuracy"] == result["accuracy"]
    assert (accepted["number"], accepted["aliases"], accepted["parent"]) == (2, ["production"], 1)
    history = httpx.get(f"{server.url}/models/{MODEL}/history").json()["data"]
    assert [(h["action"], h["previous"], h["version"]) for h in history] == [("promote", 1, 2), ("import", None, 1)]
    assert "gate" in history[0]["reason"]


def test_verification_of_a_job_that_was_killed(make_server: Callable[..., Server]) -> None:
    """Protects the whole promise: killed, resumed, verified equal; then tampered with, and the array is named."""
    server = make_server().start()
    id = finetune(server, steps=600, checkpoint_every=5, seed=3)
    end = time.monotonic() + 30
    while (httpx.get(f"{server.url}/jobs/{id}").json()["progress"] or {"step": 0})["step"] < 50:
        assert time.monotonic() < end
        time.sleep(0.005)
    os.kill(server.worker_pid(), signal.SIGKILL)
    job = server.wait_job(id)
    assert job["state"] == "succeeded"
    assert {"interrupted", "resumed"} <= {event["type"] for event in events(server, id)}
    number = job["result"]["version"]
    result = verified(server, number)["result"]
    assert (result["equal"], result["intact"], result["differ"]) == (True, True, [])
    assert result["again"] == job["result"]["sha256"]

    path = server.data / "versions" / f"{job['result']['version_id']}.safetensors"
    digest = change_a_bit(path, "conv1.weight")
    with sqlite3.connect(server.data / "strop.db", timeout=10) as db:
        db.execute("UPDATE versions SET sha256 = ? WHERE number = ?", (digest, number))
    tampered = verified(server, number)
    assert tampered["state"] == "succeeded"
    assert (tampered["result"]["equal"], tampered["result"]["differ"]) == (False, ["conv1.weight"])


def test_verification_without_its_samples_fails_clearly(make_server: Callable[..., Server]) -> None:
    """Protects who deleted a data set: the job fails and names it; the worker goes on with the next job."""
    server = make_server().start()
    job = server.wait_job(finetune(server, steps=5))
    with sqlite3.connect(server.data / "strop.db", timeout=10) as db:
        db.execute(
            "UPDATE versions SET manifest = json_set(manifest, '$.request.data', 'dataset_gone') WHERE number = 2"
        )
    failed = verified(server, 2)
    assert failed["state"] == "failed"
    assert "dataset_gone" in failed["error"]["detail"]
    assert job["state"] == server.wait_job(finetune(server, steps=5))["state"] == "succeeded"


def test_a_verification_can_be_cancelled(make_server: Callable[..., Server]) -> None:
    """Protects the device: a verification ends within a mini-batch, as any job does."""
    server = make_server().start()
    server.wait_job(finetune(server, steps=2000, batch=2))
    answer = httpx.post(f"{server.url}/models/{MODEL}/versions/2/verify").json()
    while httpx.get(f"{server.url}/jobs/{answer['id']}").json()["progress"] is None:
        time.sleep(0.005)
    httpx.post(f"{server.url}/jobs/{answer['id']}/cancel")
    assert server.wait_job(answer["id"], 2)["state"] == "cancelled"
