"""Samples one by one: taken, put aside, shown, labelled and deleted. Without a worker."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from data_requests import IMAGES, MODEL, post_sample, states, text
from made_uploads import image_file, text_bomb
from strop.host.data import load_dataset

CLASSES = load_dataset("fashion-mnist-subset", "test").classes


@pytest.mark.parametrize(
    ("label", "number"), [("Sneaker", 7), (7, 7), (0, 0), (None, None)], ids=["name", "number", "zero", "none"]
)
def test_a_sample_is_taken(client: TestClient, label: str | int | None, number: int | None) -> None:
    """Protects the promise of 202: what was done with it, and that it can be read, listed and seen."""
    answer = post_sample(client, IMAGES[3], label=label)
    assert answer.status_code == 202
    taken = answer.json()
    state = "unlabelled" if number is None else "queued"
    assert taken == {
        "id": taken["id"],
        "model": MODEL,
        "state": state,
        "action": state,
        "label": number,
        "reason": None,
        "job": None,
    }
    found = client.get(f"/samples/{taken['id']}").json()
    assert (found["label"], found["class"]) == (number, None if number is None else CLASSES[number])
    assert (found["state"], found["shape"], found["job"]) == (state, [1, 28, 28], None)
    assert client.get("/samples", params={"model": MODEL, "state": state}).json() == {"data": [found], "next": None}
    assert client.get("/samples", params={"state": "learned"}).json()["data"] == []
    picture = client.get(f"/samples/{taken['id']}/image")
    assert picture.headers["content-type"] == "image/png"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(picture.content))), IMAGES[3])


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_image_files_are_taken(client: TestClient, kind: str) -> None:
    """Protects cameras that send files: the pixels are those of the file."""
    file = image_file(IMAGES[5], kind)
    id = post_sample(client, file, label=1).json()["id"]
    shown = np.asarray(Image.open(io.BytesIO(client.get(f"/samples/{id}/image").content)))
    assert np.array_equal(shown, np.asarray(Image.open(io.BytesIO(file))))


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (b"", "0 bytes"),
        (IMAGES[0].tobytes()[:-1], "783 bytes"),
        (image_file(IMAGES[0])[:-40], "cannot be decoded"),
        (image_file(IMAGES[0][:14]), "14 x 28"),
        (image_file(np.zeros((3000, 3000), np.uint8)), "3000 x 3000"),
        (text_bomb(30 << 20), "4 x 4"),
    ],
    ids=["nothing", "short", "cut", "small", "large", "texts"],
)
def test_a_bad_sample_is_put_aside(client: TestClient, image: bytes, reason: str) -> None:
    """Protects later jobs: what cannot be used is told now, recorded, and never among the samples."""
    answer = post_sample(client, image, label=3)
    assert answer.status_code == 202
    taken = answer.json()
    assert (taken["state"], taken["action"], taken["job"]) == ("quarantined", "quarantined", None)
    assert reason in taken["reason"]
    (aside,) = client.get("/quarantine").json()["data"]
    assert (aside["sample"], aside["dataset"], aside["source"]) == (taken["id"], None, MODEL)
    assert aside["reason"] == taken["reason"]
    assert states(client) == []
    for path in (f"/samples/{taken['id']}", f"/samples/{taken['id']}/image"):
        assert client.get(path).status_code == 404
        assert reason in client.get(path).json()["detail"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"model": "nobody"}, 404, "not_found"),
        ({"model": f"{MODEL}@9"}, 404, "not_found"),
        ({"model": "../etc"}, 422, "invalid_request"),
        ({"image": "no base64!"}, 422, "invalid_request"),
        ({"image": "\u00e9\ud800"}, 422, "invalid_request"),
        ({"image": None}, 422, "invalid_request"),
        ({"label": "sneaker"}, 422, "label_unknown"),
        ({"label": "7"}, 422, "label_unknown"),
        ({"label": 10}, 422, "label_unknown"),
        ({"label": -1}, 422, "label_unknown"),
        ({"label": True}, 422, "invalid_request"),
        ({"label": 1.5}, 422, "invalid_request"),
        ({"lable": 1}, 422, "invalid_request"),
    ],
)
def test_a_wrong_request_is_a_problem(client: TestClient, body: dict[str, Any], status: int, code: str) -> None:
    """Protects from mistakes that would otherwise look like bad samples; none is recorded."""
    content = {"model": MODEL, "image": text(IMAGES[0]), **body}
    answer = client.post("/samples", content=json.dumps(content), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert states(client) == []
    assert client.get("/quarantine").json()["data"] == []


def test_without_pillow_the_remedy_is_told(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects boxes without Pillow: raw pixels pass, a file is refused with what to do, and is not called bad."""
    file = image_file(IMAGES[0])
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    answer = post_sample(client, file, label=1)
    assert (answer.status_code, answer.json()["code"]) == (415, "format_unsupported")
    assert "pip install pillow" in answer.json()["detail"]
    assert post_sample(client, label=1).json()["action"] == "queued"


def test_labels_come_later(client: TestClient) -> None:
    """Protects labelling by people: a label queues, another replaces it, none takes it back."""
    id = post_sample(client).json()["id"]
    for label, state, number in (("Bag", "queued", 8), (3, "queued", 3), (None, "unlabelled", None)):
        answer = client.patch(f"/samples/{id}", json={"label": label})
        assert (answer.status_code, answer.json()["action"], answer.json()["label"]) == (200, state, number)
        assert client.get(f"/samples/{id}").json()["state"] == state
    for body, status, code in (({"label": 99}, 422, "label_unknown"), ({}, 422, "invalid_request")):
        answer = client.patch(f"/samples/{id}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    gone = client.patch(f"/samples/sample_{'0' * 22}", json={"label": 1})
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")


def test_samples_are_deleted(client: TestClient) -> None:
    """Protects what people want forgotten; pages go on although the sample where they stopped is gone."""
    made = [post_sample(client, image).json()["id"] for image in IMAGES[:5]]
    seen, after = [], None
    while True:
        page = client.get("/samples", params={"limit": "2", **({"after": after} if after else {})}).json()
        seen += [each["id"] for each in page["data"]]
        after = page["next"]
        if after is None:
            break
        assert client.delete(f"/samples/{after}").status_code == 204
        assert client.get(f"/samples/{after}/image").status_code == 404
    assert seen == made[::-1]
    assert client.get("/samples", params={"model": "nobody"}).status_code == 404
