"""What becomes of samples: a job takes them, learns them or gives them back; policies; races; verification."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from data_requests import IMAGES, MODEL, post_sample, set_policy, states, upload
from made_uploads import npz
from running_server import Server
from strop.host.data import load_dataset
from strop.service.app import create_app
from strop.service.routes import jobs as route
from strop.service.settings import Settings
from strop.service.store import jobs, samples
from strop.service.store.database import Database


@pytest.fixture
def database(client: TestClient, settings: Settings) -> Iterator[Database]:
    """The database of `client`."""
    opened = Database(settings.data / "strop.db")
    yield opened
    opened.close()


def test_a_job_takes_what_is_labelled(client: TestClient) -> None:
    """Protects the set that a job trains on: all that waited when it was accepted, nothing that came later."""
    for number, image in enumerate(IMAGES[:6]):
        post_sample(client, image, label=None if number == 2 else number)
    answer = client.post("/finetune", json={"data": "samples", "steps": 3})
    assert answer.status_code == 202
    job = answer.json()
    assert job["spec"]["samples"] == 5
    post_sample(client, IMAGES[7], label=1)
    assert states(client) == ["training", "training", "unlabelled", "training", "training", "training", "queued"]
    held = client.get("/samples", params={"state": "training"}).json()["data"]
    assert {each["job"] for each in held} == {job["id"]}
    for answer in (
        client.patch(f"/samples/{held[0]['id']}", json={"label": 1}),
        client.delete(f"/samples/{held[0]['id']}"),
    ):
        assert (answer.status_code, answer.json()["code"], answer.json()["job"]) == (409, "state_conflict", job["id"])


def test_a_job_reads_its_samples_in_the_order_they_came(client: TestClient, database: Database) -> None:
    """Protects the bytes of a repeated job: order is part of the data, and labels stay with their images."""
    for number, image in enumerate(IMAGES[:6]):
        post_sample(client, image, label=9 - number)
    id = client.post("/finetune", json={"data": "samples", "steps": 3}).json()["id"]
    post_sample(client, IMAGES[6], label=0)
    images, labels = samples.load(database.read(), job_id=id)
    assert np.array_equal(images[:, 0], IMAGES[:6])
    assert labels.tolist() == [9, 8, 7, 6, 5, 4]


def test_a_dry_run_takes_nothing(client: TestClient) -> None:
    """Protects the samples from an estimate."""
    for image in IMAGES[:3]:
        post_sample(client, image, label=1)
    answer = client.post("/finetune", json={"data": "samples", "steps": 3, "dry_run": True})
    assert (answer.status_code, answer.json()["samples"]) == (200, 3)
    assert states(client) == ["queued"] * 3


@pytest.mark.parametrize("count", [0, 1])
def test_a_job_needs_two_samples(client: TestClient, count: int) -> None:
    """Protects from a job that fails at once: batch normalization needs two."""
    for image in IMAGES[:count]:
        post_sample(client, image, label=1)
    answer = client.post("/finetune", json={"data": "samples"})
    assert (answer.status_code, answer.json()["code"]) == (422, "dataset_unsuitable")
    assert f"{count} labelled samples wait" in answer.json()["detail"]
    assert states(client) == ["queued"] * count


@pytest.mark.parametrize("role", ["validation", "reference"])
def test_samples_do_not_judge(client: TestClient, role: str) -> None:
    """Protects the gate: samples are for training, and those of another moment would be another measure."""
    body: dict[str, Any] = {"data": "fashion-mnist-subset"}
    body |= {"gate": {"reference": "samples"}} if role == "reference" else {role: "samples"}
    answer = client.post("/finetune", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "unacceptable")


@pytest.mark.parametrize("end", ["failed", "cancelled", "cancelled while it runs", "succeeded"])
def test_what_becomes_of_a_jobs_samples(client: TestClient, database: Database, end: str) -> None:
    """Protects samples from a job that comes to nothing, whichever way it ends: they wait for the next one."""
    for image in IMAGES[:3]:
        post_sample(client, image, label=1)
    id = client.post("/finetune", json={"data": "samples", "steps": 3}).json()["id"]
    if end == "cancelled":
        client.post(f"/jobs/{id}/cancel")
    else:
        with database.transaction() as db:
            job = jobs.claim(db)
            assert job is not None
            if end == "failed":
                jobs.fail(db, job, "internal", "it broke", "mend it")
            else:
                jobs.move(db, job, "succeeded" if end == "succeeded" else "cancelled")
    assert states(client) == ["learned" if end == "succeeded" else "queued"] * 3
    held = {each["job"] for each in client.get("/samples").json()["data"]}
    assert held == ({id} if end == "succeeded" else {None})
    again = client.post("/finetune", json={"data": "samples", "steps": 3})
    assert again.status_code == (422 if end == "succeeded" else 202)


def test_a_job_that_is_interrupted_keeps_its_samples(client: TestClient, database: Database) -> None:
    """Protects the bytes of a job that goes on after a power cut: it must find the same samples."""
    for image in IMAGES[:3]:
        post_sample(client, image, label=1)
    client.post("/finetune", json={"data": "samples", "steps": 3})
    with database.transaction() as db:
        jobs.claim(db)
        jobs.release_orphans(db)
    assert states(client) == ["training"] * 3


def test_enough_samples_become_a_job(client: TestClient) -> None:
    """Protects the policy: the sample that makes enough of them is answered with the job that learns them all."""
    set_policy(client, samples=3, steps=5)
    taken = [post_sample(client, image, label=n % 2).json() for n, image in enumerate(IMAGES[:4])]
    assert [each["action"] for each in taken] == ["queued", "queued", "learning", "queued"]
    assert [each["state"] for each in taken] == ["queued", "queued", "training", "queued"]
    (job,) = client.get("/jobs").json()["data"]
    assert (taken[2]["job"], job["spec"]["samples"], job["spec"]["request"]["steps"]) == (job["id"], 3, 5)
    assert states(client) == ["training"] * 3 + ["queued"]


def test_a_label_may_make_enough(client: TestClient) -> None:
    """Protects the policy where people label: the last label counts like the last sample."""
    set_policy(client, samples=2, steps=5)
    ids = [post_sample(client, image).json()["id"] for image in IMAGES[:2]]
    actions = [client.patch(f"/samples/{id}", json={"label": 1}).json()["action"] for id in ids]
    assert actions == ["queued", "learning"]


def test_samples_at_once_make_one_job_each_time(client: TestClient) -> None:
    """Protects from two jobs on the same samples, and from a sample that none gets, where many come at once."""
    set_policy(client, samples=4, steps=5)
    with ThreadPoolExecutor(6) as pool:
        taken = list(pool.map(lambda image: post_sample(client, image, label=1).json(), IMAGES[:24]))
    assert sum(each["action"] == "learning" for each in taken) == 6
    found = client.get("/jobs").json()["data"]
    assert [job["spec"]["samples"] for job in found] == [4] * 6
    assert states(client) == ["training"] * 24


def test_a_policy_that_cannot_be_carried_out_costs_no_sample(client: TestClient, database: Database) -> None:
    """Protects samples from what is wrong with the box: they wait, and the answer says why nothing learns them."""
    set_policy(client, samples=2, steps=5)
    with database.transaction() as db:
        db.execute("DELETE FROM aliases")
        (model,) = db.execute("SELECT id FROM models").fetchone()
        samples.add(db, samples.new_sample_id(), model, IMAGES[0][None], 1)
    taken = post_sample(client, model=f"{MODEL}@1", label=1).json()
    assert (taken["action"], taken["job"]) == ("queued", None)
    assert "the policy could not be carried out" in taken["reason"]
    assert "has no alias 'production'" in taken["reason"]


def test_a_full_queue_costs_no_sample(tmp_path: Path) -> None:
    """Protects samples from a long queue: the next one that comes tries again."""
    settings = Settings(data=tmp_path / "small", max_queue=1)
    with TestClient(create_app(settings)) as client:
        set_policy(client, samples=2, steps=5)
        other = client.post("/finetune", json={"data": "fashion-mnist-subset"}).json()["id"]
        taken = [post_sample(client, image, label=1).json() for image in IMAGES[:2]]
        assert taken[1]["action"] == "queued"
        assert "1 jobs are waiting" in taken[1]["reason"]
        client.post(f"/jobs/{other}/cancel")
        assert post_sample(client, label=1).json()["action"] == "learning"
        assert states(client) == ["training"] * 3


def test_samples_taken_in_between_are_not_trained_on_twice(
    client: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects against a race: what another job took after the check is not this one's, and the spec says how many."""
    for image in IMAGES[:4]:
        post_sample(client, image, label=1)
    resolve = route.resolve

    def then_deleted(*words: Any) -> Any:
        found = resolve(*words)
        ids = [each["id"] for each in client.get("/samples").json()["data"]]
        for id in ids[: deleted.pop(0)]:
            client.delete(f"/samples/{id}")
        return found

    deleted = [1, 2]
    monkeypatch.setattr(route, "resolve", then_deleted)
    first = client.post("/finetune", json={"data": "samples", "steps": 3}).json()
    assert first["spec"]["samples"] == 3
    client.post(f"/jobs/{first['id']}/cancel")
    second = client.post("/finetune", json={"data": "samples", "steps": 3})
    assert (second.status_code, second.json()["code"]) == (422, "dataset_unsuitable")
    assert len(client.get("/jobs").json()["data"]) == 1
    assert states(client) == ["queued"]


@pytest.mark.parametrize("words", [{"data": "ID"}, {"data": "fashion-mnist-subset", "validation": "ID"}])
def test_labels_that_mean_something_else(client: TestClient, words: dict[str, Any]) -> None:
    """Protects the model: data whose classes are others are refused when the job is asked for, not when it runs."""
    id = upload(client, npz(images=IMAGES, labels=np.arange(40) % 2, classes=["bee", "wasp"])).json()["id"]
    answer = client.post("/finetune", json={name: id if value == "ID" else value for name, value in words.items()})
    assert (answer.status_code, answer.json()["code"]) == (422, "dataset_unsuitable")
    assert "put them into the model's order" in answer.json()["detail"]


def test_a_data_set_that_goes_after_the_check(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the same for uploaded data: a job is not accepted on data that were deleted a moment ago."""
    id = upload(client).json()["id"]
    resolve = route.resolve

    def then_deleted(*words: Any) -> Any:
        found = resolve(*words)
        client.delete(f"/datasets/{id}")
        return found

    monkeypatch.setattr(route, "resolve", then_deleted)
    answer = client.post("/finetune", json={"data": id})
    assert (answer.status_code, answer.json()["code"]) == (422, "unacceptable")
    assert client.get("/jobs").json()["data"] == []


# With a worker


def learn(client: httpx.Client, server: Server, images: NDArray[np.uint8], labels: NDArray[np.int32]) -> dict[str, Any]:
    """Post samples, train on them, and return the job when it has ended."""
    for image, label in zip(images, labels, strict=True):
        assert post_sample(client, image, label=int(label)).status_code == 202
    job = client.post("/finetune", json={"data": "samples", "steps": 6, "batch": 8})
    assert job.status_code == 202
    return server.wait_job(job.json()["id"])


@pytest.mark.slow
def test_samples_are_learned_and_the_version_is_verified(make_server: Callable[..., Server]) -> None:
    """Protects the whole way: a job learns the samples, and a verification finds them again by the job's id.

    Once one of them is deleted, it cannot be repeated, and says so.
    """
    server = make_server()
    server.start()
    drift = load_dataset("fashion-mnist-subset", "train").take(24, seed=3)
    with httpx.Client(base_url=server.url, timeout=60) as client:
        job = learn(client, server, 255 - drift.images, drift.labels)
        assert job["state"] == "succeeded"
        assert states(client) == ["learned"] * 24
        version = job["result"]["version"]
        learn(client, server, drift.images[:10], drift.labels[:10])  # other samples, which the first must not see
        path = f"/models/{MODEL}/versions/{version}/verify"
        verified = server.wait_job(client.post(path).json()["id"])
        assert verified["state"] == "succeeded"
        assert verified["result"]["equal"] is True
        first = next(each["id"] for each in client.get("/samples?limit=200").json()["data"] if each["job"] == job["id"])
        assert client.delete(f"/samples/{first}").status_code == 204
        gone = server.wait_job(client.post(path).json()["id"])
        assert gone["state"] == "failed"
        assert "of which 23 are left" in gone["error"]["detail"]


@pytest.mark.slow
def test_a_running_job_gives_samples_back_when_it_is_cancelled(make_server: Callable[..., Server]) -> None:
    """Protects samples from the worker's own way to end a job."""
    server = make_server()
    server.start()
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for image in IMAGES[:8]:
            post_sample(client, image, label=1)
        id = client.post("/finetune", json={"data": "samples", "steps": 100_000, "batch": 8}).json()["id"]
        while client.get(f"/jobs/{id}").json()["progress"] is None:
            pass
        client.post(f"/jobs/{id}/cancel")
        assert server.wait_job(id)["state"] == "cancelled"
        assert states(client) == ["queued"] * 8
