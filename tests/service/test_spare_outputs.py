"""A model with spare outputs in the service: it shows and takes the classes that are named, and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from data_requests import text, upload
from made_uploads import npz
from model_files import tiny_file
from strop.host import Model
from strop.service.imports import import_version
from strop.service.settings import Settings
from strop.service.store import models
from strop.service.store.database import Database
from tiny_models import CLASSES, tiny_dataset
from worker_here import ended, working

DATA = tiny_dataset(40)
NAMED = [*CLASSES, "none"]


@pytest.fixture
def spare(client: TestClient, settings: Settings, tmp_path: Path) -> Path:
    """The file of a model with the classes NAMED and two spare outputs, imported as "spare"."""
    with Model.load(tiny_file(tmp_path / "tiny.safetensors", steps=12), device="emulator", threads=1) as tiny:
        larger = tiny.with_spare_classes(3, device=tiny.device)
        larger.add_class("none")
        file = larger.save(tmp_path / "spare.safetensors")
    database = Database(settings.data / "strop.db")
    import_version(settings, database, "spare", file, "a test")
    database.close()
    return file


def test_predictions_list_the_named_classes(client: TestClient, spare: Path) -> None:
    """Protects clients: every probability belongs to a class with a name, and is the model's own."""
    body = {"model": "spare", "images": [text(image) for image in DATA.images[:4]]}
    answer = client.post("/predict", json=body)
    assert answer.status_code == 200, answer.text
    with Model.load(spare, device="emulator", threads=1) as model:
        assert model.spare_classes == 2
        expected = [model.predict(image[np.newaxis]).probabilities[0].tolist() for image in DATA.images[:4]]
    for found, row in zip(answer.json()["predictions"], expected, strict=True):
        assert found["probabilities"] == dict(zip(NAMED, row, strict=True))
    assert client.get("/models/spare/versions/1").json()["classes"] == NAMED


@pytest.mark.parametrize(("label", "number"), [("none", 3), (3, 3), (4, None), ("4", None)])
def test_samples_have_labels_of_named_classes(
    client: TestClient, spare: Path, label: str | int, number: int | None
) -> None:
    """Protects spare outputs: a sample cannot be labelled with one."""
    answer = client.post("/samples", json={"model": "spare", "image": text(DATA.images[0]), "label": label})
    if number is None:
        assert (answer.status_code, answer.json()["code"]) == (422, "label_unknown")
    else:
        assert (answer.status_code, answer.json()["label"]) == (202, number)


def test_data_with_other_classes_are_refused(client: TestClient, spare: Path) -> None:
    """Protects jobs: data with more classes than are named, however many outputs there are, name the way out."""
    labels = np.arange(40) % 5
    data = upload(client, npz(images=DATA.images, labels=labels, classes=[*NAMED, "more"])).json()["id"]
    answer = client.post("/finetune", json={"model": "spare", "data": data, "steps": 2})
    assert (answer.status_code, answer.json()["code"]) == (422, "dataset_unsuitable")
    assert "--add-class" in answer.json()["detail"]


def test_a_job_keeps_named_and_spare_outputs(client: TestClient, spare: Path, settings: Settings) -> None:
    """Protects what jobs make: the new version has the classes of its parent, and outputs left for more."""
    labels = np.arange(40) % 4
    data = upload(client, npz(images=DATA.images, labels=labels, classes=NAMED)).json()["id"]
    words: dict[str, Any] = {"model": "spare", "data": data, "validation": data, "steps": 4, "batch": 20}
    answer = client.post("/finetune", json=words)
    assert answer.status_code == 202, answer.text
    with working(settings) as database:
        job = ended(database, answer.json()["id"])
        assert job.state == "succeeded", job
        found = models.find_model(database.read(), "spare")
        assert found is not None
        version = models.numbered(database.read(), found.id, 2)
    assert version is not None and version.manifest["classes"] == NAMED
    with Model.load(settings.data / version.path, device="emulator", threads=1) as model:
        assert (list(model.classes), model.spare_classes, model.steps) == (NAMED, 2, 16)
    told = client.get("/models/spare/versions/2").json()
    assert told["classes"] == NAMED and told["accuracy"]["after"]["validation"] is not None
