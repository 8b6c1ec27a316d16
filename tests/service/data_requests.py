"""What tests of data and samples send, and what they look at."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from made_uploads import npz, pixels
from strop.host.data.fashion_mnist import CLASSES
from strop.service.settings import Settings

MODEL = "lenet5-fashion-mnist"
IMAGES = pixels(40, 28, 28)
GOOD = npz(images=pixels(20, 1, 28, 28), labels=np.arange(20) % 10, classes=CLASSES)


def upload(
    client: TestClient | httpx.Client, body: bytes | Iterator[bytes] = GOOD, format: str = "npz", **words: str
) -> Any:
    """Send an upload."""
    return client.post("/datasets", params={"format": format, "name": "bees", **words}, content=body)


def stored_files(settings: Settings) -> set[str]:
    """Return the files of the data folder's data sets, and of what is under way."""
    return {path.name for name in ("incoming", "datasets") for path in Path(settings.data / name).glob("*")}


def text(content: bytes | NDArray[np.uint8]) -> str:
    """Return base64 of bytes or pixels."""
    return base64.b64encode(content if isinstance(content, bytes) else content.tobytes()).decode()


def post_sample(client: TestClient | httpx.Client, image: bytes | NDArray[np.uint8] = IMAGES[0], **words: Any) -> Any:
    """Send a sample."""
    return client.post("/samples", json={"model": MODEL, "image": text(image), **words})


def states(client: TestClient | httpx.Client) -> list[str]:
    """Return the states of all samples, oldest first."""
    return [each["state"] for each in client.get("/samples?limit=200").json()["data"]][::-1]


def set_policy(client: TestClient | httpx.Client, **policy: Any) -> None:
    """Let samples become jobs by themselves."""
    assert client.put(f"/models/{MODEL}/policy", json={"mode": "learn_every", **policy}).status_code == 200
