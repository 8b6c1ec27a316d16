"""Kill the worker at every write of a job's life, start another one, and demand the bytes of the undisturbed job.

    python tests/bench/service_boundaries.py [--sample N]

For each boundary (tests/service/faulty_worker.py) a worker on a fresh copy of the data folder dies there, and a second
one finishes the job: nothing may be lost, every file must be readable, and the weights must be those of a training
without a service. `--sample N` takes N boundaries of all.
"""

from __future__ import annotations

import argparse
import collections
import json
import logging
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "service"))

from faulty_worker import run_until_idle
from job_folders import check_files, check_folder, make_folder, request, uninterrupted
from strop.runtime.errors import CheckpointError

PATIENCE = 120  # seconds for a worker that ends its job
JOB = request(steps=40, checkpoint_every=15, shift="invert", seed=3)


def main() -> int:
    """Enumerate; print what was done. Return 1 if a boundary did not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, metavar="N", help="N boundaries, spread over all")
    arguments = parser.parse_args()
    logging.disable()  # every second worker finds that one has died
    started = time.perf_counter()
    expected = uninterrupted(JOB)
    with tempfile.TemporaryDirectory() as temporary:
        base, names_file = Path(temporary) / "base", Path(temporary) / "names"
        (job,) = make_folder(base, JOB)
        names = _undisturbed(_copy(base, "whole"), names_file, job, expected)
        count = len(names)
        step = 1 if arguments.sample is None else max(1, count // arguments.sample)
        wrong = {}
        for number in range(1, count + 1, step):
            try:
                _crash(_copy(base, "crash"), number, job, expected)
            except (AssertionError, CheckpointError) as error:
                wrong[f"{number} {names[number - 1]}"] = str(error)
    tried = len(range(1, count + 1, step))
    kinds = ", ".join(f"{number} {name}" for name, number in collections.Counter(names).most_common())
    seconds = time.perf_counter() - started
    print(f"{count} boundaries ({kinds}); killed at {tried}, {len(wrong)} did not hold; {seconds:.0f} s")
    print(json.dumps({"boundaries": count, "killed": tried, "wrong": wrong}))
    return bool(wrong)


def _undisturbed(data: Path, names_file: Path, job: str, expected: str) -> list[str]:
    def run() -> None:
        names_file.write_text("\n".join(run_until_idle(data)))

    assert in_child(run) == 0
    check_job(data, job, expected)
    return names_file.read_text().splitlines()


def _crash(data: Path, number: int, job: str, expected: str) -> None:
    status = in_child(lambda: run_until_idle(data, die_at=number))
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, f"it ended with {status} before"
    check_files(data)
    assert in_child(lambda: run_until_idle(data)) == 0, "the second worker failed"
    check_job(data, job, expected)


def check_job(data: Path, job: str, expected: str) -> None:
    """Assert that the folder is sound, and that the job has succeeded with these bytes and once."""
    check_folder(data)
    assert list(data.rglob(f"*{job.partition('_')[2]}*.part")) == [], "a half-written file was left behind"
    with closing(sqlite3.connect(data / "strop.db")) as db:
        state, result, error = db.execute("SELECT state, result, error FROM jobs WHERE id = ?", (job,)).fetchone()
    assert state == "succeeded", f"{state}: {error}"
    assert json.loads(result)["sha256"] == expected


def in_child(action: Callable[[], object]) -> int:
    """Do something in a forked process, which may die, and dies of what takes too long; return how it ended."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    code = 1
    signal.alarm(PATIENCE)
    try:
        action()
        code = 0
    finally:
        os._exit(code)


def _copy(base: Path, name: str) -> Path:
    target = base.with_name(name)
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(base, target))


if __name__ == "__main__":
    sys.exit(main())
