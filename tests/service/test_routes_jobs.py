"""POST /finetune and the jobs: what is accepted, refused, repeated and shown. Without a worker, so that jobs wait."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from strop.service.store import jobs
from strop.service.store.database import Database

DATA = {"data": "fashion-mnist-subset"}


def post(client: TestClient, body: dict[str, Any], **headers: str) -> Any:
    """Send a fine-tuning."""
    return client.post("/finetune", json=body, headers=headers)


def test_a_job_is_accepted_and_can_be_read(client: TestClient) -> None:
    """Protects the promise of 202: where the job is, what it will do, with every default told."""
    answer = post(client, {**DATA, "shift": "invert", "steps": 40})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    assert (job["state"], job["queue_position"], job["progress"]) == ("queued", 0, None)
    assert job["spec"]["model"] == "lenet5-fashion-mnist@1"
    assert job["spec"]["request"]["batch"] == 32
    assert client.get(f"/jobs/{job['id']}").json() == job
    second = post(client, DATA).json()
    assert second["queue_position"] == 1
    assert second["spec"]["request"]["steps"] is None
    listed = client.get("/jobs").json()
    assert [each["id"] for each in listed["data"]] == [second["id"], job["id"]]


def test_pages_of_jobs(client: TestClient) -> None:
    """Protects long lists: each job once, newest first."""
    made = [post(client, DATA).json()["id"] for _ in range(5)]
    seen, after = [], None
    while True:
        page = client.get("/jobs", params={"limit": 2, **({"after": after} if after else {})}).json()
        seen += [job["id"] for job in page["data"]]
        after = page["next"]
        if after is None:
            break
    assert seen == made[::-1]
    assert client.get("/jobs", params={"state": "running"}).json() == {"data": [], "next": None}


def test_the_same_request_twice_is_one_job(client: TestClient) -> None:
    """Protects from a client that repeats itself after a broken connection; another request is not mistaken for it."""
    first = post(client, DATA, **{"Idempotency-Key": "day-3"})
    again = post(client, DATA, **{"Idempotency-Key": "day-3"})
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    assert first.headers["location"] == again.headers["location"]
    other = post(client, {**DATA, "seed": 1}, **{"Idempotency-Key": "day-3"})
    assert other.status_code == 409
    assert other.json()["code"] == "idempotency_key_reused"
    assert len(client.get("/jobs").json()["data"]) == 1


def test_a_dry_run_starts_nothing(client: TestClient) -> None:
    """Protects who only asks: steps, memory and modelled time, and no job."""
    answer = post(client, {**DATA, "epochs": 2, "dry_run": True})
    assert answer.status_code == 200
    estimate = answer.json()
    assert estimate["steps"] == 2 * (2000 // 32)
    assert estimate["memory_bytes"] > 1 << 20
    assert estimate["modelled_seconds"]["pynq-z2"] > estimate["modelled_seconds"]["zcu104"] > 0
    assert client.get("/jobs").json()["data"] == []


@pytest.mark.parametrize(
    ("body", "status", "code", "said"),
    [
        ({}, 422, "invalid_request", "/body/data"),
        ({**DATA, "stepps": 3}, 422, "invalid_request", "/body/stepps"),
        ({**DATA, "steps": True}, 422, "invalid_request", "/body/steps"),
        ({**DATA, "steps": 0}, 422, "invalid_request", "/body/steps"),
        ({**DATA, "steps": 3, "epochs": 3}, 422, "invalid_request", "not both"),
        ({**DATA, "model": "nobody"}, 404, "not_found", "there is no model 'nobody'"),
        ({**DATA, "model": "lenet5-fashion-mnist@7"}, 404, "not_found", "has no version 7"),
        ({**DATA, "model": "../etc"}, 422, "invalid_request", "/body/model"),
        ({"data": "cats"}, 422, "unacceptable", "neither fashion-mnist, fashion-mnist-subset"),
        ({**DATA, "shift": "upside"}, 422, "unacceptable", "shift 'upside' is not known"),
        ({**DATA, "frozen": ["conv9"]}, 422, "unacceptable", "conv9"),
        ({**DATA, "batch": 1}, 422, "unacceptable", "batch"),
        ({**DATA, "learning_rate": -1}, 422, "unacceptable", "learning_rate"),
        ({**DATA, "gate": {"reference": "dogs"}}, 422, "unacceptable", "'dogs'"),
        ({**DATA, "gate": {"max_forgetting": 0.1}}, 422, "unacceptable", "needs gate.reference"),
    ],
)
def test_what_cannot_be_is_refused_at_the_door(
    body: dict[str, Any], status: int, code: str, said: str, client: TestClient
) -> None:
    """Protects the queue: a job that cannot run is never accepted, and the answer says why and what to do."""
    answer = post(client, body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in problem["detail"]
    assert problem["remedy"] and problem["title"] and problem["status"] == status
    assert client.get("/jobs").json()["data"] == []


def test_a_full_queue_refuses(settings: Any) -> None:
    """Protects the box from a client in a loop."""
    from strop.service.app import create_app

    with TestClient(create_app(settings.model_copy(update={"max_queue": 2}))) as client:
        assert [post(client, DATA).status_code for _ in range(3)] == [202, 202, 429]
        refused = post(client, DATA)
        assert refused.json()["code"] == "queue_full"
        assert int(refused.headers["retry-after"]) > 0


def test_a_waiting_job_is_cancelled_at_once(client: TestClient) -> None:
    """Protects who changes their mind; asking twice is no error, and an ended job stays as it is."""
    job = post(client, DATA).json()
    for _ in range(2):
        answer = client.post(f"/jobs/{job['id']}/cancel")
        assert (answer.status_code, answer.json()["state"]) == (202, "cancelled")
    types = [event["type"] for event in client.get(f"/jobs/{job['id']}/events", headers=JSON).json()["data"]]
    assert types == ["queued", "cancelled"]


JSON = {"Accept": "application/json"}


def test_a_job_that_does_not_exist(client: TestClient) -> None:
    """Protects from a misleading answer: 404, on every path of a job."""
    id = "job_0000000000000000000000"
    for path in ("", "/events", "/checkpoint", "/report"):
        answer = client.get(f"/jobs/{id}{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert client.post(f"/jobs/{id}/cancel").status_code == 404
    assert client.get("/jobs/../../etc/passwd").status_code == 404
    assert client.get("/jobs/x").status_code == 422


def test_events_of_an_ended_job_stream_to_their_end(client: TestClient, settings: Any) -> None:
    """Protects who comes late: the whole story, then the end of the stream; and from the middle, the rest."""
    job = post(client, DATA).json()
    client.post(f"/jobs/{job['id']}/cancel")
    whole = client.get(f"/jobs/{job['id']}/events").text
    assert whole.count("\nid: ") == 2
    assert "event: queued" in whole and "event: cancelled" in whole
    database = Database(settings.data / "strop.db")
    first = client.get(f"/jobs/{job['id']}/events", headers=JSON).json()["data"][0]["id"]
    rest = client.get(f"/jobs/{job['id']}/events", headers={"Last-Event-ID": str(first)}).text
    assert "event: queued" not in rest and "event: cancelled" in rest
    assert client.get(f"/jobs/{job['id']}/events", params={"after": first}).text == rest
    assert jobs.get(database.read(), job["id"]).terminal
    database.close()
