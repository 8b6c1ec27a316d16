"""Kill the worker, the server or both at random moments while clients go on: what becomes of the accepted jobs?

    python tests/bench/service_crashes.py [--kills 200] [--seed 0]

A real server works on several fine-tunings of LeNet-5 that differ in steps, seeds, shifts, checkpoints, frozen layers
and validation. Clients post each with an Idempotency-Key, and post again after a connection error. After the last kill
the jobs run out, and then: each accepted job has succeeded once, with the sha256 of a training without the service; no
two ran at once; every file is readable; the database is sound. While kills are left, there are always jobs. Two kills
of three come within a training, the others at any time: at rest, while server or worker come up, while they go down.

A job is not killed three times without a checkpoint in between: the service would end it, as it has to (crash_loop).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "service"))

from job_folders import check_folder, request, uninterrupted
from running_server import TERMINAL, Server

TARGETS = ("worker", "server", "both")
SOON, LATER = 0.5, 2.0  # seconds, at most, from a step of a training to a kill, or from one kill to the next
PATIENCE = 120.0  # seconds for any one thing
UNDER_WAY = 2  # jobs that wait or run while kills are left


def words_of(number: int, seed: int) -> dict[str, Any]:
    """Return the fine-tuning of that number: some seconds of work, and another one for each."""
    chance = random.Random(f"{seed} {number}")
    words = request(
        steps=chance.randrange(800, 2400, 100),
        batch=chance.choice((32, 64)),
        seed=number,
        shift=chance.choice((None, "invert", "rotate90", "noise", "contrast")),
        checkpoint_every=chance.randint(10, 50),
        schedule=chance.choice(("constant", "step", "cosine")),
    )
    if number % 4 == 1:
        words["frozen"] = ["conv1"]
    if number % 4 == 2:
        words["validation"] = "fashion-mnist-subset"
    return words


@dataclass
class Campaign:
    """One server on one data folder, its clients, and who kills it."""

    server: Server
    chance: random.Random
    accepted: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    probes: int = 0

    def post(self, number: int, words: dict[str, Any]) -> None:
        """Post a job until an answer came: with its key, so that it is one job."""
        headers = {"Idempotency-Key": f"job-{number}"}
        answer = self._insist(
            lambda: httpx.post(f"{self.server.url}/finetune", json=words, headers=headers, timeout=30)
        )
        assert answer.status_code == 202, answer.text
        self.accepted.append((answer.json()["id"], words))

    def read(self, id: str) -> dict[str, Any]:
        """Return a job, asked for until an answer came."""
        found: dict[str, Any] = self._insist(lambda: httpx.get(f"{self.server.url}/jobs/{id}", timeout=30)).json()
        return found

    def open_jobs(self) -> list[dict[str, Any]]:
        """Return the accepted jobs that have not ended."""
        found = [self.read(id) for id, _ in self.accepted[-2 * UNDER_WAY :]]
        return [job for job in found if job["state"] not in TERMINAL]

    def kill(self) -> None:
        """Kill at a random moment; a server that is gone is started again at once."""
        if self.chance.random() < 2 / 3:
            self._wait(lambda job: job["state"] == "running", "no job begins")
            time.sleep(self.chance.uniform(0, SOON))
        else:
            time.sleep(self.chance.uniform(0, LATER))
        self._wait(lambda job: job["attempts"] < 2, "a job does not come to a checkpoint")
        target = self.chance.choice(TARGETS)
        worker = self._worker()
        if target != "server" and worker is not None:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        if target != "worker":
            self.server.kill()
            self.server.start(wait=False)
        self.kills[target if worker is not None or target != "worker" else "nobody"] += 1

    def probe(self) -> None:
        """Start a second worker by hand on the same data folder, and see that it gets nothing."""
        time.sleep(1)  # the last worker may just be dying
        end = time.monotonic() + PATIENCE
        while self._worker() is None or self._holder() != self._worker():
            assert time.monotonic() < end, "no worker comes up"
            time.sleep(0.05)
        environment = {**os.environ, "STROP_DATA": str(self.server.data), "STROP_DEVICE": "emulator"}
        command = [sys.executable, "-m", "strop.service.worker"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as second:
            end = time.monotonic() + PATIENCE
            while not _has_open(second.pid, self.server.data / "strop.db"):
                assert second.poll() is None and time.monotonic() < end, "the second worker does not come up"
                time.sleep(0.05)
            time.sleep(1)
            assert second.poll() is None, "the second worker does not wait"
            assert self._holder() not in (None, second.pid), "the second worker has taken over"
            assert second.stdin is not None
            second.stdin.close()
            assert second.wait(PATIENCE) == 0
        self.probes += 1

    def _wait(self, condition: Callable[[dict[str, Any]], bool], otherwise: str) -> None:
        """Return once it holds of the oldest open job, or there is none."""
        end = time.monotonic() + PATIENCE
        while (open := self.open_jobs()) and not condition(open[0]):
            assert time.monotonic() < end, otherwise
            time.sleep(0.02)

    def _holder(self) -> int | None:
        """Return the process id of who says that it is the worker."""
        found = self._insist(lambda: httpx.get(f"{self.server.url}/device", timeout=30)).json()["worker"]
        return None if found is None else int(found["pid"])

    def _worker(self) -> int | None:
        """Return the process id of the server's worker, as far as there is one."""
        assert self.server.process is not None
        threads = Path(f"/proc/{self.server.process.pid}/task")
        pids = [int(text) for thread in threads.iterdir() for text in _children(thread)]
        return pids[0] if pids else None

    def _insist(self, ask: Callable[[], httpx.Response]) -> httpx.Response:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return ask()
            except httpx.TransportError:
                self.repeated += 1
                assert time.monotonic() < end, self.server.log.read_text(encoding="utf-8")[-4000:]
                time.sleep(0.05)


def _has_open(pid: int, path: Path) -> bool:
    with suppress(OSError):
        return any(os.readlink(link) == str(path) for link in Path(f"/proc/{pid}/fd").iterdir())
    return False


def _children(thread: Path) -> list[str]:
    with suppress(OSError):
        return (thread / "children").read_text().split()
    return []


def run(data: Path, kills: int, seed: int) -> dict[str, Any]:
    """Run a campaign in `data`; return its figures. Raises AssertionError for what does not hold."""
    started = time.perf_counter()
    campaign = Campaign(Server(data).start(), random.Random(seed))
    posts: list[Future[None]] = []
    with ThreadPoolExecutor(2) as clients:
        try:
            for number in range(kills):
                while len(campaign.open_jobs()) + sum(not each.done() for each in posts) < UNDER_WAY:
                    posts.append(clients.submit(campaign.post, len(posts), words_of(len(posts), seed)))
                campaign.kill()
                if number % 50 == 25:
                    campaign.server.wait_ready()
                    campaign.probe()
            for each in posts:
                each.result()
            campaign.server.wait_ready()
            ended = [campaign.server.wait_job(id, PATIENCE) for id, _ in campaign.accepted]
        finally:
            campaign.server.stop()
    seconds = time.perf_counter() - started
    check_folder(data)
    assert len({job["id"] for job in ended}) == len(posts) == _jobs(data), "a request became two jobs, or two one"
    wrong = []
    for job, (_, words) in zip(ended, campaign.accepted, strict=True):
        if job["state"] != "succeeded" or job["result"]["sha256"] != uninterrupted(words):
            wrong.append({"id": job["id"], "state": job["state"], "error": job["error"], "request": words})
    return {
        "jobs": len(ended),
        "kills": dict(campaign.kills),
        "second_workers_kept_out": campaign.probes,
        "requests_repeated": campaign.repeated,
        "interruptions": _count(data, "interrupted"),
        "checkpoints": _count(data, "checkpoint"),
        "wrong": wrong,
        "seconds": round(seconds),
    }


def _count(data: Path, type: str) -> int:
    with closing(sqlite3.connect(data / "strop.db")) as db:
        (found,) = db.execute("SELECT count(*) FROM events WHERE type = ?", (type,)).fetchone()
    return int(found)


def _jobs(data: Path) -> int:
    with closing(sqlite3.connect(data / "strop.db")) as db:
        (found,) = db.execute("SELECT count(*) FROM jobs").fetchone()
    return int(found)


def main() -> int:
    """Run a campaign and print what came of it. Return 1 if a job went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = run(Path(folder) / "data", arguments.kills, arguments.seed)
    print(json.dumps(figures, indent=1))
    return bool(figures["wrong"])


if __name__ == "__main__":
    sys.exit(main())
