"""Memory of a running service, API and worker: at rest, and while it fine-tunes LeNet-5; a PYNQ-Z2 has 512 MB for all.

    python tests/bench/service_memory.py

RSS counts every page that a process has mapped, PSS divides pages by how many processes of this machine share them
(/proc/PID/smaps_rollup). "Together" is what both take on a box of their own: their own pages, and those of each file
once, as the one counts them that has more. All of it on this machine with the emulator: on a board there are pynq's
modules instead, and the arena lies in memory that is set aside for the FPGA. Linux only.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "service"))

from job_folders import request
from running_server import Server

BOARD_MBYTES = 512
JOB = request(steps=1_000_000, batch=128, checkpoint_every=200, validation="fashion-mnist-subset")
SETTLED = 5.0  # seconds of training before and while it is measured

Sizes = dict[str, tuple[float, ...]]  # MiB, by process: RSS and PSS; "together": one number


def main() -> int:
    """Measure and print a table for tests/bench/RESULTS.md."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data").start()
        try:
            rows = {"at rest": measure(server)}
            id = httpx.post(f"{server.url}/finetune", json=JOB).json()["id"]
            _wait(lambda: _step(server, id) > 0)
            time.sleep(SETTLED)
            rows["fine-tuning LeNet-5"] = largest(server, SETTLED)
            assert _step(server, id) > 0
            httpx.post(f"{server.url}/jobs/{id}/cancel")
            server.wait_job(id)
            time.sleep(1)
            rows["at rest again"] = measure(server)
        finally:
            server.stop()
    print(table(rows))
    return 0


def measure(server: Server) -> Sizes:
    """Return the sizes of "API", "worker" and both "together"."""
    assert server.process is not None
    api, worker = server.process.pid, server.worker_pid()
    return {"API": _rollup(api), "worker": _rollup(worker), "together": (_together(api, worker),)}


def largest(server: Server, seconds: float) -> Sizes:
    """Return the largest of each over some seconds."""
    end, found = time.monotonic() + seconds, measure(server)
    while time.monotonic() < end:
        now = measure(server)
        found = {name: max(found[name], now[name]) for name in found}
        time.sleep(0.1)
    return found


def table(rows: dict[str, Sizes]) -> str:
    """Return the sizes as a table in Markdown."""
    lines = [
        "| | API RSS | API PSS | worker RSS | worker PSS | together | of 512 MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, sizes in rows.items():
        share = sizes["together"][0] / BOARD_MBYTES  # a "512 MB" board has 512 MiB
        cells = [f"{value:.0f} MiB" for value in (*sizes["API"], *sizes["worker"], *sizes["together"])]
        lines.append(f"| {name} | {' | '.join(cells)} | {share:.0%} |")
    return "\n".join(lines)


def _rollup(pid: int) -> tuple[float, float]:
    values = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        values[name] = int(rest.split()[0]) / 1024
    return values["Rss"], values["Pss"]


def _together(*pids: int) -> float:
    """Return the MiB of all pages that are nobody else's, and of each file's pages once."""
    own, files = 0.0, dict[str, float]()
    for pid in pids:
        mapped: dict[str, float] = {}
        for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
            words = line.split()
            if not words[0].endswith(":"):
                path = words[5] if len(words) > 5 else ""
            elif words[0] == "Rss:":
                mapped[path] = mapped.get(path, 0) + int(words[1]) / 1024
            elif words[0] == "Anonymous:":
                mapped[path] -= int(words[1]) / 1024
                own += int(words[1]) / 1024
        files.update({path: max(size, files.get(path, 0)) for path, size in mapped.items()})
    return own + sum(files.values())


def _step(server: Server, id: str) -> int:
    progress = httpx.get(f"{server.url}/jobs/{id}").json()["progress"]
    return 0 if progress is None else int(progress["step"])


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
