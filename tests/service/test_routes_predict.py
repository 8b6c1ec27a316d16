"""POST /predict: what images are taken, what is answered, and that nothing changes."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from model_files import predicted, tiny_file
from strop.host.data import load_dataset
from strop.host.pretrained import pretrained_path
from strop.service.settings import Settings
from strop.service.store import models
from strop.service.store.database import Database

DATA = load_dataset("fashion-mnist-subset", "test")
IMAGES = DATA.images[:8]


def raw(image: Any) -> str:
    """Return base64 of an image's pixels."""
    return base64.b64encode(image.tobytes()).decode()


def ask(client: TestClient, images: list[Any], **words: Any) -> Any:
    """Send images."""
    return client.post("/predict", json={"images": images, **words})


def test_answers_are_those_of_the_model(client: TestClient) -> None:
    """Protects predictions: label, class, and every probability are the model's own, to the last bit."""
    with predicted(pretrained_path()) as model:
        expected, digest = [model.predict(image[np.newaxis]) for image in IMAGES], model.digest()
    answer = ask(client, [raw(image) for image in IMAGES])
    assert answer.status_code == 200
    body = answer.json()
    assert (body["model"], body["version"], body["sha256"]) == ("lenet5-fashion-mnist", 1, digest)
    for index, found in enumerate(body["predictions"]):
        row = expected[index].probabilities[0].tolist()
        assert found["label"] == expected[index].labels[0]
        assert found["class"] == DATA.classes[found["label"]]
        assert found["probability"] == max(row)
        assert list(found["probabilities"].items()) == list(zip(DATA.classes, row, strict=True))


def test_every_form_of_an_image_gives_the_same_answer(client: TestClient) -> None:
    """Protects clients of every kind: raw pixels, PNG, lists with and without the one channel, also mixed."""
    image = IMAGES[0]
    pillow = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    buffer = io.BytesIO()
    pillow.fromarray(image[0]).save(buffer, "PNG")
    forms = [raw(image), base64.b64encode(buffer.getvalue()).decode(), image.tolist(), image[0].tolist()]
    predictions = ask(client, forms).json()["predictions"]
    assert len(predictions) == 4
    assert all(prediction == predictions[0] for prediction in predictions)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ("rubbish!", "not base64"),
        (base64.b64encode(bytes(783)).decode(), "783 bytes"),
        ([], "shape"),
        ([[1, 2], [3]], "shape"),
        (np.zeros((1, 28, 27), int).tolist(), r"\[1, 28, 27\]"),
        (np.full((1, 28, 28), 256).tolist(), "0 to 255"),
        (np.full((1, 28, 28), -1).tolist(), "0 to 255"),
        (np.full((1, 28, 28), 0.5).tolist(), "whole numbers"),
        (np.full((1, 28, 28), True).tolist(), "whole numbers"),
        (np.full((1, 28, 28), None).tolist(), "whole numbers"),
        (np.full((1, 28, 28), 10**30).tolist(), "0 to 255"),
        (np.full((1, 28, 28), "5").tolist(), "whole numbers"),
    ],
)
def test_images_that_are_none(client: TestClient, image: Any, says: str) -> None:
    """Protects the sender: which image is wrong, and what is expected; never a guess, never a failure."""
    answer = ask(client, [raw(IMAGES[0]), image])
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["index"]) == (422, "image_invalid", 1)
    assert problem["detail"].startswith("images/1: ")
    assert re.search(says, problem["detail"])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"images": []},
        {"images": [""] * 257},
        {"images": [5]},
        {"images": ["x"], "modle": "typing mistake"},
        {"images": ["x"], "model": "a/b"},
        {"images": ["x"], "model": "a@UPPER"},
    ],
)
def test_requests_that_are_none(client: TestClient, body: dict[str, Any]) -> None:
    """Protects from half-understood requests: 1 to 256 images, a reference, and nothing else."""
    answer = client.post("/predict", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_lists_that_would_become_enormous(client: TestClient) -> None:
    """Protects memory: a long text among many short ones is no array of long texts."""
    tracemalloc.start()
    answer = ask(client, [[["x" * 400_000] + ["y"] * 20_000]])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert answer.status_code == 422
    assert peak < 16 << 20  # as an array of texts of one length it would be 30 GiB


def test_deeply_nested_lists(client: TestClient) -> None:
    """Protects the parser: nesting that no image has is refused, and does not exhaust the stack."""
    for depth in (40, 200_000):
        body = '{"images": [' + "[" * depth + "]" * depth + "]}"
        answer = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
        assert 400 <= answer.status_code < 500


def test_256_images_at_once(client: TestClient) -> None:
    """Protects the largest request: one answer an image, in their order, as if asked one by one."""
    images = DATA.images[:256]
    together = ask(client, [raw(image) for image in images]).json()["predictions"]
    assert len(together) == 256
    for index in range(0, 256, 5):
        assert ask(client, [raw(images[index])]).json()["predictions"] == [together[index]]


def test_references(client: TestClient) -> None:
    """Protects the choice of the version: by number, by alias, and told where it is not there."""
    image = [raw(IMAGES[0])]
    for reference in ("lenet5-fashion-mnist@1", "lenet5-fashion-mnist@production"):
        assert ask(client, image, model=reference).json()["version"] == 1
    for reference in ("lenet5-fashion-mnist@2", "lenet5-fashion-mnist@candidate", "huge"):
        answer = ask(client, image, model=reference)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_network_that_was_never_trained(client: TestClient, tmp_path: Path) -> None:
    """Protects who imported a new network: what is missing is told, as a conflict and not as a failure."""
    file = tiny_file(tmp_path / "new", steps=0)
    client.post("/models", params={"name": "new"}, content=file.read_bytes())
    answer = ask(client, [np.zeros((1, 8, 8), int).tolist()], model="new")
    assert (answer.status_code, answer.json()["code"]) == (409, "model_untrained")
    assert "train it first" in answer.json()["detail"]


def test_predictions_change_nothing(client: TestClient, settings: Settings) -> None:
    """Protects the promise that asking is free: no row and no file changes, whatever is asked."""

    def digest() -> str:
        db = Database(settings.data / "strop.db").read()
        sha = hashlib.sha256("\n".join(db.iterdump()).encode())
        for model in models.all_models(db):
            for version in models.versions(db, model.id):
                sha.update((settings.data / version.path).read_bytes())
        return sha.hexdigest()

    before = digest()
    first = ask(client, [raw(image) for image in IMAGES]).json()
    for image in IMAGES:
        ask(client, [raw(image)])
    ask(client, ["rubbish"])
    assert ask(client, [raw(image) for image in IMAGES]).json() == first
    assert digest() == before


def test_predictions_are_counted(client: TestClient) -> None:
    """Protects /metrics: images that were answered count, those that were refused do not."""
    ask(client, [raw(image) for image in IMAGES])
    ask(client, ["rubbish"])
    assert f"strop_predictions_total {len(IMAGES)}.0" in client.get("/metrics").text
