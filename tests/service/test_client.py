"""The client against a real service: every verb, and the same objects as the host's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from running_server import Server
from strop.host import Model
from strop.host.data import Dataset, load_fashion_mnist_subset
from strop.runtime.errors import DataError, InputError
from strop.service.client import Client, ServiceBusy, ServiceFailed, ServiceProblem, ServiceUnreachable

NAME = "lenet5-fashion-mnist"
TEST = load_fashion_mnist_subset("test")


@pytest.fixture
def box(server: Server) -> Iterator[Client]:
    """A client of a service that is ready."""
    with Client(server.url) as client:
        yield client


@pytest.fixture(scope="module")
def few() -> Dataset:
    """Some images to train on."""
    return load_fashion_mnist_subset("train").take(64, 3)


def test_a_fine_tuning_from_data_to_promotion_and_back(box: Client, few: Dataset, tmp_path: Path) -> None:
    """Protects the story that the client is for, and its end: what is downloaded is, to the byte, a fit's here."""
    estimate = box.estimate(NAME, data=few, steps=12, batch=16)
    assert estimate["samples"] == 64 and estimate["steps"] == 12 and estimate["modelled_seconds"]["pynq-z2"] > 0
    job = box.finetune(f"{NAME}@1", data=few, steps=12, batch=16, frozen=["conv1"])
    result = job.wait()
    assert job.ended and job.state == "succeeded" and job.id in repr(job)
    assert job.id in [each.id for each in box.jobs()] and job.id not in [each.id for each in box.jobs("failed")]
    assert len(job.report()["history"]["steps"]) == 12
    model = box.model(NAME)
    assert model.version(result["version"])["sha256"] == result["sha256"]
    assert result["version"] in [version["number"] for version in model.versions()]
    tuned = model.download(result["version"], tmp_path / "tuned.safetensors")
    words = {"steps": 12, "batch": 16, "learning_rate": 0.01, "schedule": "step", "momentum": 0.9, "weight_decay": 0.0}
    with Model.load(model.download(1, tmp_path / "base.safetensors")) as here, Model.load(tuned) as there:
        here.fit(few, **words, frozen=["conv1"], seed=0)
        assert here.digest() == there.digest() == result["sha256"]
    with Model.load(job.checkpoint(tmp_path / "job.safetensors")) as last:
        assert last.digest() == result["sha256"]
    before = box.predict(NAME, TEST.images[:3])
    promoted = model.promote(result["version"], reason="a test")
    assert (promoted["version"], promoted["changed"]) == (result["version"], True)
    assert box.predict(NAME, TEST.images[:3])["sha256"] == result["sha256"]
    back = model.rollback(current=result["version"])
    assert back["version"] == before["version"]
    with pytest.raises(ServiceProblem, match="not"):
        model.rollback(current=result["version"])  # sent twice
    assert box.predict(NAME, TEST.images[:3]) == before
    assert [change["action"] for change in model.history()][:2] == ["rollback", "promote"]
    assert model.verify(result["version"]).wait()["equal"] is True
    imported = box.import_model(tuned, "elsewhere")
    assert (imported["model"], imported["number"], imported["sha256"]) == ("elsewhere", 1, result["sha256"])
    assert {"elsewhere", NAME} <= {each.name for each in box.models()}
    assert model.refresh().data["aliases"]["production"] == before["version"]


def test_predictions_are_those_of_the_model(box: Client, tmp_path: Path) -> None:
    """Protects the images on their way: arrays and lists of arrays give what the model gives here."""
    box.model(NAME).download(1, tmp_path / "base.safetensors")
    with Model.load(tmp_path / "base.safetensors") as model:
        here = model.predict(TEST.images[:20])
    for images in (TEST.images[:20], [*TEST.images[:20]], [image.tobytes() for image in TEST.images[:20]]):
        there = box.predict(f"{NAME}@1", images)
        assert [each["label"] for each in there["predictions"]] == here.labels.tolist()
        assert there["predictions"][4]["probabilities"][TEST.classes[2]] == pytest.approx(here.probabilities[4, 2])


def test_the_same_data_is_sent_once(box: Client, few: Dataset, tmp_path: Path) -> None:
    """Protects a small disk: a data set, and the file that it makes, are one data set of the service."""
    first = box.upload(few, name="bees")
    again = box.upload(few, name="other")
    assert again["id"] == first["id"] and (first["samples"], first["classes"]) == (64, list(few.classes))
    assert first["id"] in [each["id"] for each in box.datasets()]
    path = tmp_path / "wasps.npz"
    np.savez(path, images=few.images[:10], labels=few.labels[:10])
    sent = box.upload(path)
    assert (sent["name"], sent["samples"]) == ("wasps", 10)
    with pytest.raises(InputError, match=r"photos.tar: allowed are \.npz, \.zip"):
        box.upload(tmp_path / "photos.tar")
    with pytest.raises(DataError, match="cannot be read"):
        box.upload(tmp_path / "missing.zip")


def test_samples(box: Client) -> None:
    """Protects learning one image at a time: with a label by name or number, or none."""
    named = box.sample(NAME, TEST.images[0], TEST.classes[TEST.labels[0]])
    assert named["action"] == "queued"
    assert box.sample(NAME, TEST.images[1], int(TEST.labels[1]))["action"] == "queued"
    assert box.sample(NAME, TEST.images[2])["action"] == "unlabelled"
    with pytest.raises(ServiceProblem, match="wasp"):
        box.sample(NAME, TEST.images[0], "wasp")


def test_device_and_readiness(box: Client, make_server: Callable[..., Server]) -> None:
    """Protects what a script asks first: without a device a service is not ready, and one that is gone is an error."""
    assert box.ready() is True
    assert box.device()["selftest"]["passed"] is True
    server = make_server(STROP_DEVICE="board").start(wait=False)
    with Client(server.url) as without:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            with suppress(ServiceUnreachable):
                assert without.ready() is False
                break
        assert time.monotonic() < end
        server.stop()
        with pytest.raises(ServiceUnreachable):
            without.ready()


def test_a_proxys_error_is_no_readiness() -> None:
    """Protects a script that waits for a box: "not ready" is only what the service itself says."""
    answers = iter((httpx.Response(503, json={"code": "not_ready"}), httpx.Response(502, text="Bad Gateway")))
    with Client("http://box", transport=httpx.MockTransport(lambda _: next(answers))) as client:
        assert client.ready() is False
        with pytest.raises(ServiceFailed, match="502"):
            client.ready()


def test_a_full_queue_is_busy(make_server: Callable[..., Server]) -> None:
    """Protects the exit code 3: a script may try again later."""
    server = make_server(STROP_MAX_QUEUE="1").start()
    with Client(server.url) as client:
        jobs = [client.finetune(data="fashion-mnist-subset", steps=1_000_000)]
        with pytest.raises(ServiceBusy, match="1 jobs are waiting"):
            for _ in range(3):
                jobs.append(client.finetune(data="fashion-mnist-subset"))
        for job in jobs:
            job.cancel()


def test_what_the_service_refuses_comes_back_as_it_says_it(box: Client) -> None:
    """Protects the remedy: detail and code are the service's, and a word that it does not know is no silent default."""
    with pytest.raises(ServiceProblem, match="learning_rat") as caught:
        box.finetune(data="fashion-mnist-subset", learning_rat=0.1)
    assert caught.value.code == "invalid_request" and caught.value.status == 422
    with pytest.raises(ServiceProblem, match="no model 'nothing'"):
        box.model("nothing")
    for name in ("", "..", "a/b", "a?b", "a%2fb", "a#b"):
        with pytest.raises(InputError, match="no name"):
            box.model(name)
    with pytest.raises(InputError, match="estimate"):
        box.finetune(data="fashion-mnist-subset", dry_run=True)


def test_a_request_that_gets_no_answer_is_sent_again_and_starts_one_job() -> None:
    """Protects from a second job where only the answer was lost: every try has the same key."""
    keys = []

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["idempotency-key"])
        if len(keys) < 3:
            raise httpx.ReadError("lost")
        return httpx.Response(202, json={"id": "job_1", "state": "queued"})

    client = Client("http://box", transport=httpx.MockTransport(answer))
    assert client.finetune(data="d").id == "job_1"
    assert len(keys) == 3 and len(set(keys)) == 1
    assert client.finetune(data="d").id == "job_1"
    assert keys[3] != keys[0]
    client.finetune(data="d", idempotency_key="day-3")
    assert keys[4] == "day-3"

    def deaf(request: httpx.Request) -> httpx.Response:
        keys.append("")
        raise httpx.ConnectError("refused")

    keys.clear()
    with pytest.raises(ServiceUnreachable):
        Client("http://box", transport=httpx.MockTransport(deaf)).finetune(data="d")
    assert len(keys) == 3


def test_a_large_file_is_streamed(tmp_path: Path) -> None:
    """Protects a laptop's memory and the service's limits: the length is told first, the bytes come in pieces."""
    path = tmp_path / "large.zip"
    with path.open("wb") as file:
        file.truncate(8 << 20)
    seen: dict[str, Any] = {}

    class Counting(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            seen["headers"] = request.headers
            seen["pieces"] = [len(piece) for piece in request.stream]  # type: ignore[union-attr]
            return httpx.Response(201, json={"id": "dataset_1"})

    with Client("http://box", transport=Counting()) as client:
        assert client.upload(path) == {"id": "dataset_1"}
    assert seen["headers"]["content-length"] == str(8 << 20) and "transfer-encoding" not in seen["headers"]
    assert sum(seen["pieces"]) == 8 << 20 and max(seen["pieces"]) <= 1 << 20
