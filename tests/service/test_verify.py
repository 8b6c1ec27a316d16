"""Verification: equal for what the job made, and where the bytes part for everything else."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from model_files import change_a_bit
from strop.host import Progress
from strop.host.data import load_dataset
from strop.runtime.device import open_device
from strop.runtime.errors import CheckpointCorrupt, DataError
from strop.service.settings import Settings
from strop.service.store import jobs, models
from strop.service.store.database import Database
from strop.service.store.jobs import Job
from strop.service.store.models import Version
from strop.service.verify import verify_version
from strop.service.worker.job_runs import JobContext, run_job

MODEL = "lenet5-fashion-mnist"
JOB = {"data": "fashion-mnist-subset", "shift": "invert", "steps": 12, "batch": "auto", "learning_rate": "auto"}


class Stop(Exception):
    """What a worker that is to end raises after a step."""


@pytest.fixture
def database(client: TestClient, settings: Settings) -> Database:
    """The application's database."""
    return Database(settings.data / "strop.db")


def trained(client: TestClient, settings: Settings, database: Database, **words: Any) -> Version:
    """Run a fine-tuning to its end, as a worker does; return its version."""
    id = client.post("/finetune", json={**JOB, **words}).json()["id"]
    with database.transaction() as db:
        job = jobs.claim(db)
    assert job is not None and job.id == id
    device = open_device("emulator", 1)
    run_job(job, JobContext(settings, database, device, threading.Event()))
    device.close()
    result = jobs.get(database.read(), id).result
    assert result is not None
    return models.version_of(database.read(), result["version_id"])


def asked(client: TestClient, database: Database, number: int) -> Job:
    """Ask for a verification; return its job."""
    answer = client.post(f"/models/{MODEL}/versions/{number}/verify")
    assert answer.status_code == 202
    job = jobs.get(database.read(), answer.json()["id"])
    assert answer.headers["location"] == f"/jobs/{job.id}"
    assert (job.kind, job.spec["model"]) == ("verify", f"{MODEL}@{number}")
    return job


def record(database: Database, column: str, value: str, id: str) -> None:
    """Falsify the record of a version."""
    with database.transaction() as db:
        db.execute(f"UPDATE versions SET {column} = ? WHERE id = ?", (value, id))


def test_a_version_is_what_its_job_makes(client: TestClient, settings: Settings, database: Database) -> None:
    """Protects verification: the same bytes again, also where batch and learning rate were left to strop."""
    version = trained(client, settings, database, frozen=["conv1"], momentum=0.5)
    result = verify_version(asked(client, database, 2), settings, database)
    assert (result["equal"], result["intact"], result["differ"], result["reason"]) == (True, True, [], None)
    assert result["sha256"] == result["stored"] == result["again"] == version.sha256


def test_what_auto_became_stays_what_it_was(client: TestClient, settings: Settings, database: Database) -> None:
    """Protects jobs of a board with little memory, where "auto" is a smaller mini-batch than it would be here."""
    version = trained(client, settings, database, batch=24, learning_rate=0.02)
    request = {**version.manifest["request"], "batch": "auto", "learning_rate": "auto"}
    record(database, "manifest", json.dumps({**version.manifest, "request": request}), version.id)
    assert verify_version(asked(client, database, 2), settings, database)["equal"] is True


def test_a_job_on_single_samples_is_repeated(client: TestClient, settings: Settings, database: Database) -> None:
    """Protects learning in the field: a job's samples are there again, and one that is gone is told."""
    data = load_dataset("fashion-mnist-subset", "train")
    for image, label in zip(data.images[:12], data.labels[:12].tolist(), strict=True):
        body = {"model": MODEL, "image": base64.b64encode(image.tobytes()).decode(), "label": data.classes[label]}
        assert client.post("/samples", json=body).status_code == 202
    version = trained(client, settings, database, data="samples", shift=None, validation="fashion-mnist-subset")
    assert verify_version(asked(client, database, 2), settings, database)["equal"] is True
    with database.transaction() as db:
        db.execute("DELETE FROM samples WHERE seq = (SELECT min(seq) FROM samples WHERE job_id = ?)", (version.job_id,))
    with pytest.raises(DataError, match="deleted"):
        verify_version(asked(client, database, 2), settings, database)


def test_a_version_of_a_version_starts_from_its_parent(
    client: TestClient, settings: Settings, database: Database
) -> None:
    """Protects lineage: the second job is repeated from the first's version, not from the shipped one."""
    first = trained(client, settings, database)
    second = trained(client, settings, database, model=f"{MODEL}@2", seed=7)
    assert second.parent_id == first.id
    assert verify_version(asked(client, database, 3), settings, database)["equal"] is True


def test_an_interrupted_verification_goes_on(client: TestClient, settings: Settings, database: Database) -> None:
    """Protects the queue: a worker that is stopped gives the device back, and the next one does not begin anew."""
    trained(client, settings, database, checkpoint_every=2)
    job, seen = asked(client, database, 2), []

    def interrupt(progress: Progress) -> None:
        if progress.step == 5:
            raise Stop

    with pytest.raises(Stop):
        verify_version(job, settings, database, interrupt)
    assert verify_version(job, settings, database, lambda progress: seen.append(progress.step))["equal"] is True
    assert seen[0] > 5  # the steps under way were done before the interruption
    assert not list(settings.folder("jobs").glob(f"{job.id}*"))


def test_arrays_that_differ_are_named(client: TestClient, settings: Settings, database: Database) -> None:
    """Protects against a version that was exchanged with care, its record too: the replay still finds the arrays."""
    version = trained(client, settings, database)
    digest = change_a_bit(settings.data / version.path, "conv2.weight")
    record(database, "sha256", digest, version.id)
    result = verify_version(asked(client, database, 2), settings, database)
    assert (result["equal"], result["differ"]) == (False, ["conv2.weight"])
    assert result["intact"] is True and "other weights" in result["reason"]


def test_a_file_that_is_not_the_recorded_one(client: TestClient, settings: Settings, database: Database) -> None:
    """Protects against an exchanged file: it is named as such, beside the array."""
    version = trained(client, settings, database)
    change_a_bit(settings.data / version.path, "fc1.weight")
    result = verify_version(asked(client, database, 2), settings, database)
    assert (result["equal"], result["intact"], result["differ"]) == (False, False, ["fc1.weight"])
    assert "not the one that was recorded" in result["reason"]


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-9])])
def test_a_damaged_file_is_told(
    client: TestClient, settings: Settings, database: Database, damage: Callable[[Path], Any]
) -> None:
    """Protects from a card that rots: the file is damaged, and what it should hold is known again."""
    version = trained(client, settings, database)
    damage(settings.data / version.path)
    result = verify_version(asked(client, database, 2), settings, database)
    assert (result["equal"], result["intact"], result["stored"]) == (False, False, None)
    assert result["again"] == version.sha256
    assert "damaged" in result["reason"] and str(settings.data) not in result["reason"]


def test_a_wrong_record_is_told(client: TestClient, settings: Settings, database: Database) -> None:
    """Protects the other way round: the file is right, and the record of its digest is not."""
    version = trained(client, settings, database)
    record(database, "sha256", "0" * 64, version.id)
    result = verify_version(asked(client, database, 2), settings, database)
    assert (result["equal"], result["intact"], result["differ"]) == (False, False, [])


def test_a_damaged_parent_is_not_blamed_on_the_child(
    client: TestClient, settings: Settings, database: Database
) -> None:
    """Protects the right version from suspicion: without its parent nothing can be said, and that is said."""
    version = trained(client, settings, database)
    assert version.parent_id is not None
    change_a_bit(settings.data / models.version_of(database.read(), version.parent_id).path, "fc1.weight")
    with pytest.raises(CheckpointCorrupt, match=r"version 1, the parent.*backup"):
        verify_version(asked(client, database, 2), settings, database)


def test_samples_that_are_gone(client: TestClient, settings: Settings, database: Database) -> None:
    """Protects who deleted a data set: the job fails with its name, and not with a false alarm."""
    version = trained(client, settings, database)
    request = {**version.manifest["request"], "data": "dataset_gone"}
    record(database, "manifest", json.dumps({**version.manifest, "request": request}), version.id)
    with pytest.raises(DataError, match="dataset_gone"):
        verify_version(asked(client, database, 2), settings, database)


def test_other_samples_are_not_taken_for_the_same(client: TestClient, settings: Settings, database: Database) -> None:
    """Protects from a false alarm: data that changed are recognized before anything is trained on them."""
    version = trained(client, settings, database)
    request = {**version.manifest["request"], "shift": "rotate90"}
    record(database, "manifest", json.dumps({**version.manifest, "request": request}), version.id)
    with pytest.raises(Exception, match="was started on"):
        verify_version(asked(client, database, 2), settings, database)


def test_an_import_has_nothing_to_repeat(client: TestClient, settings: Settings, database: Database) -> None:
    """Protects imports: their file is checked, and that there is no job is told and no failure."""
    result = verify_version(asked(client, database, 1), settings, database)
    assert (result["equal"], result["intact"]) == (None, True)
    assert "imported" in result["reason"]
    path = next(settings.folder("versions").iterdir())
    change_a_bit(path, "fc1.weight")
    result = verify_version(asked(client, database, 1), settings, database)
    assert (result["equal"], result["intact"]) == (None, False)
