"""Real servers and workers that are killed, stopped, starved and damaged. The long versions are in tests/bench.

What must hold: an accepted job is never lost, never run twice at once, and ends in the bytes of the undisturbed run.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from deadly_worker import DEADLY
from job_folders import check_folder, make_folder, request, uninterrupted
from running_server import SERVE, Server
from service_crashes import run
from strop.host import read_checkpoint

pytestmark = pytest.mark.slow
BENCH = Path(__file__).resolve().parents[1] / "bench"
LONG = request(steps=1200, batch=64, checkpoint_every=40, seed=4)  # some seconds
SHORT = request(steps=30, seed=5)
MakeServer = Callable[..., Server]


def post(server: Server, words: dict[str, Any], **headers: str) -> str:
    """Post a fine-tuning; return the job's id."""
    answer = httpx.post(f"{server.url}/finetune", json=words, headers=headers)
    assert answer.status_code == 202, answer.text
    id: str = answer.json()["id"]
    return id


def read(server: Server, id: str) -> dict[str, Any]:
    """Read a job."""
    job: dict[str, Any] = httpx.get(f"{server.url}/jobs/{id}").json()
    return job


def wait_for_event(server: Server, id: str, type: str) -> None:
    """Return once the job has had an event of a type."""
    with httpx.stream("GET", f"{server.url}/jobs/{id}/events", timeout=60) as stream:
        assert any(line == f"event: {type}" for line in stream.iter_lines())


def bench(script: str, sample: int) -> dict[str, Any]:
    """Run a sample of a bench script; return what it found. Skips where the script cannot run."""
    command = [sys.executable, str(BENCH / script), "--sample", str(sample)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 2:
        pytest.skip(done.stdout)
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_random_kills(tmp_path: Path) -> None:
    """Protects accepted jobs from SIGKILL of the worker, the server and both; clients repeat what was cut off."""
    found = run(tmp_path / "data", kills=6, seed=1)
    assert found["wrong"] == []
    assert sum(found["kills"].values()) == 6 and found["jobs"] >= 2 and found["interruptions"] >= 1


def test_killed_at_a_write() -> None:
    """Protects files and rows from a crash between any two writes, and within one: a sample of all boundaries."""
    found = bench("service_boundaries.py", sample=10)
    assert found["boundaries"] > 50 and found["killed"] >= 10
    assert found["wrong"] == {}


def test_power_cuts() -> None:
    """Protects from writes that were never synced: a sample of the disks that a power cut may leave."""
    found = bench("service_power_cuts.py", sample=12)
    assert found["disks"] > 200 and found["tried"] >= 12
    assert found["wrong"] == []


def test_cancel_takes_effect_within_a_mini_batch(make_server: MakeServer) -> None:
    """Protects who presses Stop: the job has ended a moment later, and the worker does the next one."""
    server = make_server().start()
    long, short = post(server, {**LONG, "steps": 100_000}), post(server, SHORT)
    wait_for_event(server, long, "progress")
    asked = time.monotonic()
    assert httpx.post(f"{server.url}/jobs/{long}/cancel").status_code == 202
    assert server.wait_job(long)["state"] == "cancelled"
    assert time.monotonic() - asked < 1
    assert server.wait_job(short)["state"] == "succeeded"


def test_sigterm_ends_it_all_and_the_job_goes_on_later(make_server: MakeServer, tmp_path: Path) -> None:
    """Protects `systemctl restart`: below 10 s with a training and a client's stream open, and nothing is lost."""
    server = make_server().start()
    id = post(server, LONG)
    wait_for_event(server, id, "progress")
    worker = server.worker_pid()
    lines: list[str] = []

    def follow() -> None:
        with httpx.stream("GET", f"{server.url}/jobs/{id}/events", timeout=60) as stream:
            lines.extend(stream.iter_lines())

    follower = threading.Thread(target=follow)
    follower.start()
    while not lines and follower.is_alive():
        time.sleep(0.01)
    asked = time.monotonic()
    server.stop()
    assert time.monotonic() - asked < 4
    assert server.process is not None and server.process.returncode == 0
    assert not Path(f"/proc/{worker}").exists()
    follower.join(5)
    assert not follower.is_alive()
    server.start()
    job = server.wait_job(id)
    assert (job["state"], job["attempts"]) == ("succeeded", 1)
    assert job["result"]["sha256"] == uninterrupted(LONG)
    check_folder(server.data)


def test_a_killed_servers_worker_ends_by_itself(make_server: MakeServer) -> None:
    """Protects the device from a worker that nobody knows of: its input closes, and it writes its checkpoint."""
    server = make_server().start()
    id = post(server, LONG)
    wait_for_event(server, id, "progress")
    worker = server.worker_pid()
    server.kill()
    end = time.monotonic() + 5
    while Path(f"/proc/{worker}").exists() and _state(worker) != "Z":
        assert time.monotonic() < end
        time.sleep(0.02)
    server.start()
    assert server.worker_pid() != worker
    job = server.wait_job(id)
    assert (job["state"], job["attempts"]) == ("succeeded", 1)
    assert job["result"]["sha256"] == uninterrupted(LONG)


def _state(pid: int) -> str:
    """Return a process's state, Z if it has ended and nobody has asked for its exit status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_a_second_service_on_the_data_folder_is_refused(make_server: MakeServer) -> None:
    """Protects a running service from a second one by mistake, which would fight for its worker."""
    first = make_server().start()
    second = make_server().start(wait=False)
    assert second.process is not None and second.process.wait(30) != 0
    assert "DeviceBusy" in second.log.read_text() and "held by process" in second.log.read_text()
    assert httpx.get(f"{first.url}/readyz").status_code == 200


def test_a_job_that_kills_its_worker_fails_and_the_service_lives(make_server: MakeServer, tmp_path: Path) -> None:
    """Protects the box from a crash loop: three attempts, then failed, then the next job; the server is the same."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{Path(__file__).with_name('deadly_worker.py')}'\n")
    python.chmod(0o755)
    server = make_server()
    server.program = f"import sys; sys.executable = {str(python)!r}; {SERVE}"
    server.start()
    process = server.process
    deadly, good = post(server, {**SHORT, "seed": DEADLY}), post(server, SHORT)
    failed = server.wait_job(deadly)
    assert (failed["state"], failed["error"]["code"], failed["attempts"]) == ("failed", "crash_loop", 3)
    assert server.wait_job(good)["result"]["sha256"] == uninterrupted(SHORT)
    assert server.process is process and httpx.get(f"{server.url}/readyz").status_code == 200


def test_a_damaged_checkpoint_of_a_running_job(make_server: MakeServer) -> None:
    """Protects the bytes from a bad sector: the damage is noticed, and training starts again from the parent."""
    server = make_server().start()
    id = post(server, LONG)
    wait_for_event(server, id, "checkpoint")
    os.kill(server.worker_pid(), signal.SIGSTOP)  # so that it cannot write another one
    worker = server.worker_pid()
    server.kill()
    os.kill(worker, signal.SIGKILL)
    checkpoint = server.data / "jobs" / f"{id}.safetensors"
    data = bytearray(checkpoint.read_bytes())
    data[len(data) // 2] ^= 1
    checkpoint.write_bytes(data)
    server.start()
    assert server.wait_job(id)["result"]["sha256"] == uninterrupted(LONG)
    assert "a checkpoint is of no use" in server.log.read_text()
    check_folder(server.data)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own, of 100 MiB. Skips where it cannot be mounted."""
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "none", folder], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here: that takes root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk(tmp_path: Path) -> None:
    """Protects from a disk that fills up: the job fails in words, its checkpoint is whole, the next one runs."""
    with small_disk(tmp_path / "disk") as disk:
        server = Server(disk / "data").start()
        try:
            id = post(server, {**LONG, "steps": 100_000})
            wait_for_event(server, id, "checkpoint")
            with (disk / "ballast").open("wb", buffering=0) as ballast:
                _fill(ballast)
                end = time.monotonic() + 20
                while "No space left" not in server.log.read_text() and "is full" not in server.log.read_text():
                    assert time.monotonic() < end, "nothing was said of the full disk"
                    _fill(ballast)
                    time.sleep(0.05)
            assert httpx.get(f"{server.url}/jobs/{id}").status_code == 200
            refused = httpx.post(f"{server.url}/finetune", json=SHORT)
            assert (refused.status_code, refused.json()["code"]) == (507, "storage_low")
            (disk / "ballast").unlink()
            failed = server.wait_job(id)
            assert (failed["state"], failed["error"]["code"]) == ("failed", "storage_low")
            cursor = read_checkpoint(disk / "data" / "jobs" / f"{id}.safetensors").cursor
            assert cursor is not None and cursor.done >= 40
            assert server.wait_job(post(server, SHORT))["result"]["sha256"] == uninterrupted(SHORT)
            check_folder(disk / "data")
        finally:
            server.stop()


def _fill(ballast: Any) -> None:
    """Write until there is no room."""
    for size in (1 << 20, 1 << 12):
        try:
            while True:
                ballast.write(bytes(size))
        except OSError:
            pass


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "the end of its input"])
def test_a_worker_ends_when_it_is_told(how: str, tmp_path: Path) -> None:
    """Protects whoever stops a worker by hand, and a Ctrl-C that reaches it together with its server."""
    environment = {**os.environ, "STROP_DATA": str(tmp_path / "data"), "STROP_DEVICE": "emulator"}
    (id,) = make_folder(tmp_path / "data", {**LONG, "steps": 100_000})
    command = [sys.executable, "-m", "strop.service.worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, stderr=subprocess.DEVNULL) as worker:
        checkpoint = tmp_path / "data" / "jobs" / f"{id}.safetensors"
        end = time.monotonic() + 30
        while not checkpoint.exists():
            assert worker.poll() is None and time.monotonic() < end
            time.sleep(0.02)
        if how.startswith("SIG"):
            worker.send_signal(signal.Signals[how])
        else:
            assert worker.stdin is not None
            worker.stdin.close()
        assert worker.wait(5) == 0
    with sqlite3.connect(tmp_path / "data" / "strop.db") as db:
        assert db.execute("SELECT state, attempts FROM jobs").fetchone() == ("queued", 0)
    check_folder(tmp_path / "data")
