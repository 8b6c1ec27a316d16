"""Metrics: right numbers under few labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from running_server import Server
from strop.service.dependencies import Service
from strop.service.metrics import Metrics
from strop.service.store import jobs


def values(text: str) -> dict[str, float]:
    """Return the samples of an exposition as name{label=value,...}: number."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def service_of(client: TestClient) -> Service:
    """Return the service behind a client."""
    assert isinstance(client.app, FastAPI)
    found: Service = client.app.state.service
    return found


def test_requests_are_counted_by_template(client: TestClient) -> None:
    """Protects the monitoring system: clients cannot make up labels with ids, paths or methods."""
    for number in range(5):
        client.get(f"/jobs/job_{number}{'0' * 21}")
        client.get(f"/made/up/{number}")
        client.request(f"MADE{number}", "/jobs")
    client.get("/jobs", headers={"Host": "evil"})
    found = values(client.get("/metrics").text)
    assert found["strop_http_requests_total{method=GET,route=/jobs/{id},status=404}"] == 5
    assert found["strop_http_requests_total{method=GET,route=none,status=404}"] == 5
    assert found["strop_http_requests_total{method=GET,route=none,status=421}"] == 1
    assert found["strop_http_request_seconds_count{method=GET,route=/jobs/{id}}"] == 5
    others = {name: value for name, value in found.items() if "requests_total{method=other" in name}
    assert list(others.values()) == [5]
    assert not any(word in name for name in found for word in ("made", "MADE", "job_0"))


def test_jobs_are_counted_by_state(client: TestClient) -> None:
    """Protects the queue's numbers: every state is there from the start, ended jobs with their time and steps."""
    service = service_of(client)
    with service.database.transaction() as db:
        waiting, running, done = (jobs.create(db, "finetune", {}) for _ in range(3))
        for job in (running, done):
            jobs.move(db, job, "running")
            db.execute("UPDATE jobs SET started = created WHERE id = ?", (job.id,))
        jobs.set_progress(db, running.id, {"step": 7, "images_per_second": 123.0})
        jobs.set_progress(db, done.id, {"step": 50, "images_per_second": 1.0})
        jobs.move(db, jobs.get(db, done.id), "succeeded")
        db.execute("UPDATE jobs SET finished = started + 2.5 WHERE id = ?", (done.id,))
    found = values(client.get("/metrics").text)
    states = {state: found[f"strop_jobs{{state={state}}}"] for state in ("queued", "running", "succeeded", "failed")}
    assert states == {"queued": 1, "running": 1, "succeeded": 1, "failed": 0}
    assert found["strop_queue_length"] == 1
    assert found["strop_job_seconds_count{state=succeeded}"] == 1
    assert found["strop_job_seconds_sum{state=succeeded}"] == 2.5
    assert found["strop_trained_steps_total"] == 50
    assert found["strop_running_steps"] == 7
    assert found["strop_images_per_second"] == 123
    assert found["strop_samples{state=unlabelled}"] == 0


def test_the_box_without_a_worker(client: TestClient) -> None:
    """Protects alarms: no worker and no device are zeros, not missing lines."""
    found = values(client.get("/metrics").text)
    assert (found["strop_worker_up"], found["strop_device_ready"]) == (0, 0)
    assert found["strop_data_free_bytes"] > 0
    assert found["strop_http_requests_open"] == 1  # this one
    (build,) = (name for name in found if name.startswith("strop_build_info"))
    assert "version=" in build
    assert "numerics=" in build


def test_predictions_are_counted(client: TestClient) -> None:
    """Protects the count of images, for which the route of predictions calls this counter."""
    service_of(client).metrics.predictions.inc(3)
    assert values(client.get("/metrics").text)["strop_predictions_total"] == 3


def test_two_applications_in_one_process_count_for_themselves(client: TestClient, settings: Any) -> None:
    """Protects tests and notebooks: nothing is registered with the process."""
    other = Metrics(settings, service_of(client).database)
    other.predictions.inc()
    assert values(client.get("/metrics").text)["strop_predictions_total"] == 0


def test_metrics_of_a_real_run(make_server: Callable[..., Server]) -> None:
    """Protects the numbers end to end: worker, device and a job that a real worker ran."""
    server = make_server().start()
    job = httpx.post(f"{server.url}/finetune", json={"data": "fashion-mnist-subset", "steps": 20}).json()
    server.wait_job(job["id"])
    answer = httpx.get(f"{server.url}/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    found = values(answer.text)
    assert (found["strop_worker_up"], found["strop_device_ready"]) == (1, 1)
    assert found["strop_trained_steps_total"] == 20
    assert found["strop_jobs{state=succeeded}"] == 1
    assert 0 < found["strop_job_seconds_sum{state=succeeded}"] < 60
    assert found["process_resident_memory_bytes"] > 1 << 20
    assert found["strop_http_requests_total{method=POST,route=/finetune,status=202}"] == 1


@pytest.mark.parametrize("scope", ["predict", "samples", "train"])
def test_metrics_need_admin_once_there_are_keys(client: TestClient, scope: str) -> None:
    """Protects what the numbers tell of a box from who may only use it."""
    admin = client.post("/keys", json={"name": "a", "scopes": ["admin"]}).json()["key"]
    headers = {"Authorization": f"Bearer {admin}"}
    other = client.post("/keys", json={"name": "b", "scopes": [scope]}, headers=headers).json()["key"]
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": f"Bearer {other}"}).status_code == 403
    assert client.get("/metrics", headers=headers).status_code == 200
