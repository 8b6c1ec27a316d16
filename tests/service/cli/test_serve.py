"""`strop serve` as it is typed: its settings, its end, and what keeps it from beginning."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from running_server import free_port

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start("--port", 8080)` begins `strop serve`, which is stopped."""
    begun = []

    def begin(*words: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "strop.host.cli", "serve", *map(str, words)]
        with (tmp_path / "log").open("ab") as log:
            begun.append(subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=log, text=True))
        return begun[-1]

    yield begin
    for process in begun:
        process.terminate()
        process.communicate(timeout=30)


def wait_ready(port: int) -> dict[str, Any]:
    """Return what /device says once the service is ready."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                found: dict[str, Any] = httpx.get(f"http://127.0.0.1:{port}/device").json()
                return found
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError("not ready")


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop(start: Start, stop: signal.Signals, tmp_path: Path) -> None:
    """Protects systemd and people: SIGTERM and Ctrl-C are a good end, 0, and stdout has one document."""
    port = free_port()
    process = start("--port", port, "--data", "box", "--device", "emulator", "--json")
    assert wait_ready(port)["device"]["name"] == "emulator"
    process.send_signal(stop)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0, (tmp_path / "log").read_text(encoding="utf-8")
    data = str(tmp_path / "box")
    assert json.loads(out) == {"schema": "strop.serve/1", "url": f"http://127.0.0.1:{port}", "data": data}
    lines = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert lines and all(json.loads(line)["level"] for line in lines)


def test_a_file_of_settings(start: Start, tmp_path: Path) -> None:
    """Protects --config, also for the worker, another process that stands elsewhere; options come before it."""
    port = free_port()
    (tmp_path / "box.toml").write_text(
        'data = "box"\ndevice = "emulator"\nport = 1\nthreads = 1\nmax_queue = 1\n', encoding="utf-8"
    )
    process = start("--config", "box.toml", "--port", port)
    assert "on 1 thread(s)" in wait_ready(port)["device"]["description"]
    assert (tmp_path / "box" / "strop.db").exists()
    body = {"data": "fashion-mnist-subset", "steps": 1000}
    codes = [httpx.post(f"http://127.0.0.1:{port}/finetune", json=body, timeout=30).status_code for _ in range(4)]
    assert codes[-1] == 429
    assert process.poll() is None


def test_what_keeps_it_from_beginning(cli, tmp_path: Path, make_server: Any) -> None:
    """Protects from a service that half runs: port, folder, key, device and file are looked at first, each with its
    exit code and one document."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = cli("serve", "--port", port, "--data", "box", "--json")
        assert ran.code == 4 and f"port {port}" in ran.document["error"]["message"]
        assert "--port" in ran.document["error"]["message"] and not (tmp_path / "box").exists()
    other = make_server().start()
    busy = cli("serve", "--port", free_port(), "--data", other.data, "--json")
    assert busy.code == 3 and busy.document["error"]["type"] == "DeviceBusy"
    for words, said in (
        (("--host", "0.0.0.0"), "strop keys create"),
        (("--host", "no.such.name.invalid"), "--host"),
        (("--device", "abacus"), "emulator"),
        (("--port", "many"), "port"),
        (("--config", "missing.toml"), "missing.toml"),
    ):
        more = () if "--port" in words else ("--port", free_port())
        ran = cli("serve", "--data", "box", *more, *words)
        assert ran.code == 4 and said in ran.err, words
        assert "STROP_CONFIG" not in os.environ
