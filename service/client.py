"""The client of a service: what a notebook on a laptop says to a box with a board.

    from strop.service.client import Client

    box = Client("http://pynq.local:8080", key="...")
    job = box.finetune(data="fashion-mnist-subset", shift="invert", steps=300)
    for event in job.events():                        # goes on after a lost connection, no gap, no repetition
        print(event.type, event.data.get("loss"))
    box.model("lenet5-fashion-mnist").promote(job.refresh().result["version"])

StropError
├── ServiceProblem                  refused: code, detail, remedy, status
│   ├── ServiceBusy (DeviceBusy)    the queue is full, or too many requests; later it may work
│   ├── ServiceFailed (DeviceError) the service could not answer
│   └── JobFailed                   a job that ended without a result
│       └── JobCrashed (DeviceError)  through no fault of the request
└── ServiceUnreachable (DeviceError)  nobody answered
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from strop.host.data import Dataset
from strop.runtime.errors import InputError
from strop.service.client_jobs import JobCrashed, JobEvent, JobFailed, RemoteJob
from strop.service.client_models import RemoteModel
from strop.service.client_transport import ServiceBusy, ServiceFailed, ServiceProblem, ServiceUnreachable, Transport
from strop.service.client_uploads import Image, encode_image, format_of, given, opened, packed

__all__ = [
    "Client",
    "JobCrashed",
    "JobEvent",
    "JobFailed",
    "RemoteJob",
    "RemoteModel",
    "ServiceBusy",
    "ServiceFailed",
    "ServiceProblem",
    "ServiceUnreachable",
]

DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT_MODEL = "lenet5-fashion-mnist"
POST_TRIES = 3


class Client:
    """A service at `url`, spoken to with `key` (none is needed on the service's own machine). Threads may share it.

    `timeout` is in seconds, of a connection and of each pause in an answer. Every method raises ServiceProblem and
    ServiceUnreachable.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        key: str | None = None,
        timeout: float = 30.0,
        *,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._transport = Transport(url, key, timeout, transport)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Where the service is."""
        return self._transport.url

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def finetune(
        self, model: str = DEFAULT_MODEL, *, data: str | Dataset, idempotency_key: str | None = None, **words: Any
    ) -> RemoteJob:
        """Queue a fine-tuning of NAME, NAME@alias or NAME@number; return the job.

        `data` is the id of an uploaded data set, a built-in name, "samples", or a Dataset, which is uploaded. The other
        words are those of POST /finetune: shift, validation, steps or epochs, batch, learning_rate, schedule, momentum,
        weight_decay, frozen, seed, checkpoint_every, gate. A request that gets no answer is sent again, and starts no
        second job: by a key of its own, or by `idempotency_key` also over programs that end and begin again.
        """
        if words.get("dry_run"):
            raise InputError("a dry run starts no job: call estimate()")
        headers = {"Idempotency-Key": idempotency_key or secrets.token_hex(16)}
        body = given(model=model, data=self._named(data), **words)
        for _ in range(POST_TRIES - 1):
            with suppress(ServiceUnreachable):
                return self._queued(body, headers)
        return self._queued(body, headers)

    def estimate(self, model: str = DEFAULT_MODEL, *, data: str | Dataset, **words: Any) -> dict[str, Any]:
        """Return what a fine-tuning would be: steps, memory, modelled seconds on each board. Nothing is started."""
        body = given(model=model, data=self._named(data), **words)
        found: dict[str, Any] = self._transport.document("POST", "/finetune", json={**body, "dry_run": True})
        return found

    def jobs(self, state: str | None = None) -> Iterator[RemoteJob]:
        """Yield every job, newest first."""
        return (RemoteJob(self._transport, entry) for entry in self._transport.entries("/jobs", state=state))

    def job(self, id: str) -> RemoteJob:
        """Return a job."""
        return RemoteJob(self._transport, self._transport.document("GET", f"/jobs/{_segment(id)}"))

    def upload(self, source: str | Path | Dataset, name: str | None = None) -> dict[str, Any]:
        """Send an .npz or .zip file, or a Dataset; return the service's data set, whose "id" `finetune` takes.

        Samples that the service cannot use are listed and left out. What it has already is not kept twice.
        """
        if isinstance(source, Dataset):
            with packed(source) as file:
                return self._sent("/datasets", file, name=name or source.name, format="npz")
        path = Path(source).expanduser()
        format = format_of(path)
        with opened(path) as file:
            return self._sent("/datasets", file, name=name or path.stem, format=format)

    def datasets(self) -> Iterator[dict[str, Any]]:
        """Yield every data set, newest first."""
        return self._transport.entries("/datasets")

    def sample(self, model: str, image: Image, label: str | int | None = None) -> dict[str, Any]:
        """Send one image: uint8 [C, H, W], or a PNG or JPEG as path or bytes. Return what became of it."""
        body = given(model=model, image=encode_image(image), label=label)
        found: dict[str, Any] = self._transport.document("POST", "/samples", json=body)
        return found

    def predict(self, model: str, images: NDArray[np.uint8] | Sequence[Image]) -> dict[str, Any]:
        """Return what images show: uint8 [count, C, H, W], or a list of what `sample` takes."""
        body = {"model": model, "images": [encode_image(image) for image in images]}
        found: dict[str, Any] = self._transport.document("POST", "/predict", json=body)
        return found

    def models(self) -> Iterator[RemoteModel]:
        """Yield every model."""
        return (RemoteModel(self._transport, entry) for entry in self._transport.entries("/models"))

    def model(self, name: str) -> RemoteModel:
        """Return a model."""
        return RemoteModel(self._transport, self._transport.document("GET", f"/models/{_segment(name)}"))

    def import_model(self, path: str | Path, name: str) -> dict[str, Any]:
        """Send a checkpoint (.safetensors) as a new version of `name`; return the service's answer."""
        with opened(Path(path).expanduser()) as file:
            return self._sent("/models", file, name=name)

    def device(self) -> dict[str, Any]:
        """Return which device trains, and what its self-test gave."""
        found: dict[str, Any] = self._transport.document("GET", "/device")
        return found

    def ready(self) -> bool:
        """Whether jobs and predictions can be served now. Raises ServiceUnreachable where nobody answers."""
        try:
            self._transport.document("GET", "/readyz")
        except ServiceFailed as error:
            if error.code != "not_ready":
                raise
            return False
        return True

    def _queued(self, body: dict[str, Any], headers: dict[str, str]) -> RemoteJob:
        return RemoteJob(self._transport, self._transport.document("POST", "/finetune", json=body, headers=headers))

    def _named(self, data: str | Dataset) -> str:
        return str(self.upload(data)["id"]) if isinstance(data, Dataset) else data

    def _sent(self, path: str, file: Any, **params: Any) -> dict[str, Any]:
        headers = {"Content-Type": "application/octet-stream"}
        found: dict[str, Any] = self._transport.document("POST", path, params=params, content=file, headers=headers)
        return found


def _segment(name: str) -> str:
    """Return a name as one segment of a path; nothing in it may lead elsewhere."""
    if not name or set(name) & set("/?#%\\") or name in (".", ".."):
        raise InputError(f"{name!r} is no name of a job or model")
    return name
