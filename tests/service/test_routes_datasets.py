"""POST /datasets and what follows: what is stored, listed, put aside, refused and deleted. Without a worker."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from data_requests import GOOD, stored_files, upload
from made_uploads import bombs, class_folders, npz, pixels, zipped
from strop.host.data.fashion_mnist import CLASSES
from strop.host.data.npz_dataset import load_npz
from strop.service.routes import datasets as route
from strop.service.settings import Settings
from strop.service.store import datasets, jobs
from strop.service.store.database import Database


def test_an_upload_becomes_a_data_set(client: TestClient, settings: Settings) -> None:
    """Protects the promise of 201: where it is, what is in it, and that a job reads these samples."""
    answer = upload(client)
    assert answer.status_code == 201
    found = answer.json()
    assert answer.headers["location"] == f"/datasets/{found['id']}"
    assert {name: found[name] for name in ("name", "format", "samples", "quarantined", "shape")} == {
        "name": "bees",
        "format": "npz",
        "samples": 20,
        "quarantined": 0,
        "shape": [1, 28, 28],
    }
    assert found["classes"] == list(CLASSES)
    assert client.get(f"/datasets/{found['id']}").json() == found
    assert client.get("/datasets").json() == {"data": [found], "next": None}
    path = settings.data / "datasets" / f"{found['id']}.npz"
    assert np.array_equal(load_npz(path, "all").images, pixels(20, 1, 28, 28))
    assert path.stat().st_size == found["bytes"]
    job = client.post("/finetune", json={"data": found["id"], "steps": 3})
    assert job.status_code == 202
    assert job.json()["spec"]["samples"] == 20


def test_the_same_bytes_are_there_once(client: TestClient, settings: Settings) -> None:
    """Protects the disk from a client that repeats itself, whatever it calls the data this time."""
    first, again = upload(client), upload(client, name="other")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert again.headers["location"] == f"/datasets/{first.json()['id']}"
    assert len(stored_files(settings)) == 1


def test_bad_samples_are_listed(client: TestClient) -> None:
    """Protects the report of what was put aside: each with its place and reason, in pages, newest first."""
    members = [*class_folders(pixels(3, 28, 28), [0, 1, 1]), *((f"class_0/bad{n}.png", b"junk") for n in range(5))]
    found = upload(client, zipped(members), "zip").json()
    assert (found["samples"], found["quarantined"]) == (3, 5)
    upload(client, npz(images=pixels(3, 4, 4), labels=[0, 0, -1]))
    seen, after = [], None
    while True:
        words = {"limit": "2", **({"after": str(after)} if after else {})}
        page = client.get(f"/datasets/{found['id']}/quarantine", params=words).json()
        seen += page["data"]
        after = page["next"]
        if after is None:
            break
    assert [each["source"] for each in seen] == [f"class_0/bad{n}.png" for n in (4, 3, 2, 1, 0)]
    assert {(each["reason"], each["dataset"], each["sample"]) for each in seen} == {
        ("is neither PNG nor JPEG", found["id"], None)
    }
    everything = client.get("/quarantine").json()["data"]
    assert [each["source"] for each in everything] == ["sample 2", *(each["source"] for each in seen)]


def test_pages_of_data_sets_survive_deletions(client: TestClient) -> None:
    """Protects a client that goes through the list and deletes as it goes: each is seen once."""
    made = [upload(client, npz(images=pixels(2, 3, 3, seed=n), labels=[0, 1])).json()["id"] for n in range(5)]
    seen, after = [], None
    while True:
        page = client.get("/datasets", params={"limit": "2", **({"after": after} if after else {})}).json()
        seen += [each["id"] for each in page["data"]]
        after = page["next"]
        if after is None:
            break
        assert client.delete(f"/datasets/{after}").status_code == 204
    assert seen == made[::-1]


def test_a_data_set_is_deleted_whole(client: TestClient, settings: Settings) -> None:
    """Protects the room on the disk, and what people want forgotten: file, row and quarantine are gone."""
    found = upload(client, npz(images=pixels(3, 4, 4), labels=[0, 0, -1])).json()
    assert client.delete(f"/datasets/{found['id']}").status_code == 204
    assert stored_files(settings) == set()
    assert client.get("/quarantine").json()["data"] == []
    for answer in (client.get(f"/datasets/{found['id']}"), client.delete(f"/datasets/{found['id']}")):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    gone = client.post("/finetune", json={"data": found["id"]})
    assert (gone.status_code, gone.json()["code"]) == (422, "unacceptable")
    assert upload(client, npz(images=pixels(3, 4, 4), labels=[0, 0, -1])).status_code == 201


@pytest.mark.parametrize("role", ["data", "validation", "reference"])
def test_a_data_set_in_use_stays(client: TestClient, settings: Settings, role: str) -> None:
    """Protects queued and running jobs: what they train on, are judged by, or must not forget is not deleted."""
    id = upload(client).json()["id"]
    request: dict[str, Any] = {"data": "fashion-mnist-subset", "steps": 3}
    request |= {"gate": {"reference": id, "max_forgetting": 0.5}} if role == "reference" else {role: id}
    job = client.post("/finetune", json=request).json()
    for state in ("queued", "running"):
        refused = client.delete(f"/datasets/{id}")
        assert (refused.status_code, refused.json()["code"], refused.json()["jobs"]) == (
            409,
            "state_conflict",
            [job["id"]],
        )
        database = Database(settings.data / "strop.db")
        with database.transaction() as db:
            if state == "queued":
                jobs.claim(db)
            else:
                jobs.move(db, jobs.get(db, job["id"]), "failed")
        database.close()
    assert client.delete(f"/datasets/{id}").status_code == 204


def test_a_verification_keeps_its_data(client: TestClient, settings: Settings) -> None:
    """Protects a verification under way: it reads the data set of the job that it repeats."""
    id = upload(client).json()["id"]
    database = Database(settings.data / "strop.db")
    with database.transaction() as db:
        (version,) = db.execute("SELECT id FROM versions").fetchone()
        db.execute("UPDATE versions SET manifest = json_set(manifest, '$.request', json(?))", (f'{{"data": "{id}"}}',))
        job = jobs.create(db, "verify", {"version_id": version})
        assert datasets.unfinished_users(db, id) == [job.id]
    database.close()
    assert client.delete(f"/datasets/{id}").status_code == 409


def test_what_is_refused_leaves_nothing(client: TestClient, settings: Settings) -> None:
    """Protects the data folder: after a refusal of any kind nothing is stored, listed or put aside."""
    for format, body, code in bombs().values():
        answer = upload(client, body, format)
        if code != "*":
            assert (answer.status_code >= 400, answer.json()["code"]) == (True, code)
            assert answer.headers["content-type"] == "application/problem+json"
    assert len(client.get("/datasets").json()["data"]) == len(stored_files(settings)) == 1
    assert client.get("/quarantine").json()["data"] == []


def test_without_pillow_the_remedy_is_told(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects boxes without Pillow: a zip of images is refused with what to do, arrays are taken."""
    folders = zipped(class_folders(pixels(3, 5, 4), [0, 1, 1]))
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    answer = upload(client, folders, "zip")
    assert (answer.status_code, answer.json()["code"]) == (415, "format_unsupported")
    assert "pip install pillow" in answer.json()["detail"]
    assert upload(client).status_code == 201


@pytest.mark.parametrize("query", ["format=csv", "name=x", "format=npz&name=", f"format=npz&name={'x' * 201}"])
def test_what_is_asked_is_checked_first(client: TestClient, query: str) -> None:
    """Protects from a body that is read for nothing."""
    answer = client.post(f"/datasets?{query}", content=GOOD)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_leftovers_of_a_power_cut_are_removed(client: TestClient, settings: Settings) -> None:
    """Protects the disk: a file that was written but never recorded goes with a later upload; young ones are spared."""
    folder = settings.folder("datasets")
    kept = upload(client).json()["id"]
    for name, age in (
        ("dataset_old.npz", 7200),
        (".x.npz.0123abcd.part", 7200),
        ("dataset_young.npz", 60),
        (f"{kept}.npz", 7200),
    ):
        (folder / name).touch()
        os.utime(folder / name, (time.time() - age,) * 2)
    new = upload(client, npz(images=pixels(2, 3, 3), labels=[0, 1])).json()["id"]
    assert stored_files(settings) == {f"{kept}.npz", f"{new}.npz", "dataset_young.npz"}


def test_a_failure_while_recording_leaves_no_file(
    client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects from files that nothing knows of, where the database fails after the file was written."""

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("the database is gone")

    monkeypatch.setattr(route.datasets, "add", fail)
    assert upload(client).status_code == 500
    assert stored_files(settings) == set()


def test_two_equal_uploads_at_once(client: TestClient, settings: Settings) -> None:
    """Protects from the race of a client that sends twice: one is new, all others get the same data set."""
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: upload(client), range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(stored_files(settings)) == 1


def test_another_process_may_be_first(client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the same where two servers share a folder: whoever records second gives its own file up."""
    known = upload(client).json()
    of_body, calls = datasets.of_body, []

    def late(db: Any, sha256: str) -> Any:
        calls.append(sha256)
        return None if len(calls) == 1 else of_body(db, sha256)

    monkeypatch.setattr(route.datasets, "of_body", late)
    again = upload(client)
    assert (again.status_code, again.json()) == (200, known)
    assert len(calls) == 2
    assert len(stored_files(settings)) == 1
