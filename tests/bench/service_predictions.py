"""Predictions under load: many clients ask while a job trains and a model is promoted and rolled back again and again.

    python tests/bench/service_predictions.py [--clients 20] [--seconds 30]

A real server on a data folder of its own. Every answer must be that of one of the two versions, bit for bit; a single
failed or wrong one ends the program with 1. Each client sends its next request when it has the answer to the last, so
the latencies are those of a saturated server; clients, server and worker share this machine. Results are appended to
tests/bench/results/service_predictions.jsonl.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from strop.host import Model
from strop.host.data import load_dataset

MODEL = "lenet5-fashion-mnist"
RESULTS = Path(__file__).with_name("results") / "service_predictions.jsonl"
UNLIMITED = {"STROP_REQUESTS_PER_MINUTE": "10000000"}  # all clients have one address
IMAGES = 64
ANSWER_SECONDS = 30.0
PERCENTILES = (50, 90, 99, 100)


@dataclass
class Load:
    """What came of it. Times are seconds; `wrong` says what failed, or was no version's answer."""

    latencies: list[float] = field(default_factory=list)
    versions: dict[int, int] = field(default_factory=dict)  # answers by version
    moves: list[float] = field(default_factory=list)  # promotions and rollbacks
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0
    trained_steps: int = 0

    def summary(self) -> dict[str, Any]:
        """Return the figures for people: milliseconds."""
        return {
            "predictions": len(self.latencies),
            "predictions_per_second": round(len(self.latencies) / self.seconds, 1),
            "wrong": len(self.wrong),
            "versions": {str(number): count for number, count in sorted(self.versions.items())},
            "latency_ms": _percentiles(self.latencies),
            "moves": len(self.moves),
            "move_ms": _percentiles(self.moves),
            "steps_trained_meanwhile": self.trained_steps,
        }


def run_load(url: str, folder: Path, clients: int, seconds: float) -> Load:
    """Put a server under load, which must have been started with `UNLIMITED`; files go to `folder`."""
    load = Load()
    images = load_dataset("fashion-mnist-subset", "test").images[:IMAGES]
    expected = {number: _probabilities(url, number, images, folder) for number in (1, _second_version(url))}
    second = max(expected)
    words = {"model": f"{MODEL}@1", "data": "fashion-mnist-subset", "shift": "invert", "steps": 1_000_000}
    job = httpx.post(f"{url}/finetune", json=words).json()["id"]
    _until(lambda: _step(url, job) > 0)
    end = threading.Event()
    asking = [threading.Thread(target=_ask, args=(url, images, expected, load, end, n)) for n in range(clients)]
    moving = threading.Thread(target=_move, args=(url, second, load, end))
    start, step = time.perf_counter(), _step(url, job)
    for thread in (*asking, moving):
        thread.start()
    end.wait(seconds)
    load.trained_steps = _step(url, job) - step
    end.set()
    for thread in (*asking, moving):
        thread.join()
    load.seconds = time.perf_counter() - start
    httpx.post(f"{url}/jobs/{job}/cancel")
    return load


def _second_version(url: str) -> int:
    """Train another version, and return its number."""
    words = {"model": f"{MODEL}@1", "data": "fashion-mnist-subset", "shift": "invert", "steps": 30}
    job = httpx.post(f"{url}/finetune", json=words).json()["id"]
    _until(lambda: httpx.get(f"{url}/jobs/{job}").json()["result"] is not None)
    number: int = httpx.get(f"{url}/jobs/{job}").json()["result"]["version"]
    return number


def _probabilities(url: str, number: int, images: np.ndarray, folder: Path) -> list[list[float]]:  # type: ignore[type-arg]
    """Return what a version answers to each image: from its downloaded file, in this process."""
    file = folder / f"{number}.safetensors"
    file.write_bytes(httpx.get(f"{url}/models/{MODEL}/versions/{number}/weights").content)
    with Model.load(file, device="emulator", threads=1) as model:
        return [model.predict(image[np.newaxis]).probabilities[0].tolist() for image in images]


def _step(url: str, job: str) -> int:
    found = httpx.get(f"{url}/jobs/{job}").json()
    if found["state"] not in ("queued", "running"):
        raise AssertionError(f"the job ended: {found}")
    return int(found["progress"]["step"]) if found["progress"] else 0


def _until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"it took more than {seconds} s")
        time.sleep(0.02)


def _ask(
    url: str,
    images: np.ndarray,  # type: ignore[type-arg]
    expected: dict[int, list[list[float]]],
    load: Load,
    end: threading.Event,
    turn: int,
) -> None:
    """Ask for one image after the other until the end; note what is wrong."""
    texts = [base64.b64encode(image.tobytes()).decode() for image in images]
    bodies = [json.dumps({"model": MODEL, "images": [text]}) for text in texts]
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=ANSWER_SECONDS)
    while not end.is_set():
        turn = (turn + 7) % len(images)
        start = time.perf_counter()
        try:
            connection.request("POST", "/predict", bodies[turn], {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            load.wrong.append(repr(error))
            connection.close()
            continue
        load.latencies.append(time.perf_counter() - start)
        if answer.status != 200:
            load.wrong.append(f"{answer.status} {text[:300]!r}")
            continue
        body = json.loads(text)
        number, found = body["version"], list(body["predictions"][0]["probabilities"].values())
        load.versions[number] = load.versions.get(number, 0) + 1
        if number not in expected or found != expected[number][turn]:
            load.wrong.append(f"version {number}, image {turn}: {found}")
    connection.close()


def _move(url: str, second: int, load: Load, end: threading.Event) -> None:
    """Promote the second version and go back, without a pause."""
    path, target = f"{url}/models/{MODEL}", second
    with httpx.Client(timeout=ANSWER_SECONDS) as client:
        while not end.is_set():
            start = time.perf_counter()
            if target == second:
                answer = client.put(f"{path}/aliases/production", json={"version": second})
            else:
                answer = client.post(f"{path}/rollback", json={})
            load.moves.append(time.perf_counter() - start)
            if answer.status_code != 200 or answer.json()["version"] != target:
                load.wrong.append(f"{answer.status_code} {answer.text[:300]}")
            target = 1 if target == second else second


def _percentiles(seconds: list[float]) -> dict[str, float]:
    found = np.percentile(np.array(seconds) * 1e3, PERCENTILES)
    return {f"p{p}": round(float(ms), 2) for p, ms in zip(PERCENTILES, found, strict=True)}


def main() -> None:
    """Measure, print, record; exit with 1 if an answer failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    sys.path.append(str(Path(__file__).parents[1] / "service"))  # where tests keep what starts a server
    from running_server import Server

    others = round(os.getloadavg()[0], 1)  # what else this machine was doing
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data", UNLIMITED).start()
        try:
            load = run_load(server.url, Path(folder), options.clients, options.seconds)
        finally:
            server.stop()
    row = {"clients": options.clients, "seconds": round(load.seconds, 1), **load.summary(), "load_before": others}
    print(json.dumps(row, indent=2))
    for wrong in load.wrong[:10]:
        print(wrong, file=sys.stderr)
    where = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    with RESULTS.open("a", encoding="utf-8") as results:
        results.write(json.dumps({**row, **where}) + "\n")
    raise SystemExit(1 if load.wrong else 0)


if __name__ == "__main__":
    main()
