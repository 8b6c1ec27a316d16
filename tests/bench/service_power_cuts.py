"""Cut the power at every system call of a job's life, on a disk that keeps only what was synced, or some of the rest.

    python tests/bench/service_power_cuts.py [--sample N]

A killed process leaves its writes to the system, so killing it proves nothing of an fsync that is missing. Here strace
records what a fresh data folder, an accepted job and its worker write, SQLite's pages too; a model of the disk
(tests/service/lossy_disk.py) says after each call what a power cut may leave: everything, only what is safe, or what is
safe and a random part of the rest. From each such disk the service must come up, know every job that was accepted and
every event that was committed, and end the job in the bytes of a training without a service. Needs strace.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "service"))

from faulty_worker import run_until_idle
from job_folders import check_files, make_folder, queue, request, uninterrupted
from lossy_disk import MARK, TRACED, Disk, marked, read_trace, write_files
from service_boundaries import check_job, in_child
from strop.service.bootstrap import add_shipped_models
from strop.service.serve import make_folders
from strop.service.settings import Settings
from strop.service.store.database import Database

JOB = request(steps=20, checkpoint_every=8, seed=5)
ACCEPTED = "accepted"
WRITE = os.write  # before the worker's calls are split and counted
Content = dict[str, bytes | None]


def main() -> int:
    """Record, cut, recover; print what was done. Return 1 if a disk did not recover, 2 without strace."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, metavar="N", help="N disks, spread over all")
    parser.add_argument("--record", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.disable()
    if arguments.record is not None:
        _recorded(arguments.record)
        return 0
    started = time.perf_counter()
    expected = uninterrupted(JOB)
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary) / "data"
        trace = _trace(Path(temporary), data)
        if trace is None:
            print("strace is not installed, or may not trace here")
            return 2
        calls, disks = _disks(trace, str(data))
        step = 1 if arguments.sample is None else max(1, len(disks) // arguments.sample)
        tried, wrong = disks[::step], []
        for place, content, marks in tried:
            problem = _recover(Path(temporary), content, str(data), marks, expected)
            if problem:
                wrong.append(f"{place}: {problem}")
    seconds = time.perf_counter() - started
    print(f"{calls} calls, {len(disks)} different disks; {len(tried)} tried, {len(wrong)} not right; {seconds:.0f} s")
    print(json.dumps({"calls": calls, "disks": len(disks), "tried": len(tried), "wrong": wrong}))
    return bool(wrong)


def _trace(temporary: Path, data: Path) -> Path | None:
    trace = temporary / "trace"
    command = ["strace", "-s", "100000000", "-e", f"trace={TRACED}", "-o", str(trace)]
    try:
        done = subprocess.run([*command, sys.executable, __file__, "--record", str(data)], capture_output=True)
    except FileNotFoundError:
        return None
    return trace if done.returncode == 0 else None


def _recorded(data: Path) -> None:
    """Make a data folder with a job, say that it was accepted, and work it off; say what is committed."""
    make_folders(Settings(data=data))
    make_folder(data, JOB)
    _say(ACCEPTED)
    begin = Database.transaction

    @contextmanager
    def transaction(self: Database) -> Any:
        with begin(self) as db:
            yield db
        (last,) = self.read().execute("SELECT max(seq) FROM events").fetchone()
        _say(f"event {last}")

    Database.transaction = transaction  # type: ignore[method-assign]
    run_until_idle(data)


def _say(text: str) -> None:
    with suppress(OSError):
        WRITE(MARK, text.encode())


def _disks(trace: Path, root: str) -> tuple[int, list[tuple[str, Content, list[str]]]]:
    """Return how many calls changed something, and (place, files, what had been said) of each different disk."""
    disk, chance = Disk(root), random.Random(0)
    said: list[str] = []
    found, seen, calls = [], set(), 0
    for call, arguments, result in read_trace(trace):
        text = marked(call, arguments)
        if text is not None:
            said.append(text)
        elif disk.apply(call, arguments, result):
            calls += 1
            for kind, content in {"all": disk.kept(), "safe": disk.lost(), "torn": disk.torn(chance)}.items():
                digest = hashlib.sha256(repr(sorted(content.items())).encode()).digest()
                key = (digest, said[-1] if said else "")
                if key not in seen:
                    seen.add(key)
                    found.append((f"call {calls} ({call} {arguments[:40]!r}), {kind}", content, said[-1:]))
    return calls, found


def _recover(temporary: Path, content: Content, root: str, said: list[str], expected: str) -> str:
    """Let a service come up from these files; return what is wrong then."""
    data, report = temporary / "cut", temporary / "report"
    shutil.rmtree(data, ignore_errors=True)
    report.write_text("")
    write_files(content, root, data)

    def recovery() -> None:
        try:
            _come_up(data, said, expected)
        except BaseException:
            report.write_text(traceback.format_exc(limit=-2))
            raise

    return report.read_text() or "it died" if in_child(recovery) else ""


def _come_up(data: Path, said: list[str], expected: str) -> None:
    check_files(data)
    with closing(Database(data / "strop.db")) as database:
        make_folders(Settings(data=data))
        add_shipped_models(Settings(data=data), database)
        waiting = [row["id"] for row in database.read().execute("SELECT id FROM jobs")]
        (events,) = database.read().execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
        if said:
            assert len(waiting) == 1, "an accepted job is lost"
            committed = 1 if said[-1] == ACCEPTED else int(said[-1].split()[1])
            assert events >= committed, f"{committed} events were committed, {events} are there"
        job = waiting[0] if waiting else queue(database, JOB).id
    run_until_idle(data)
    check_job(data, job, expected)
    with closing(sqlite3.connect(data / "strop.db")) as db:
        assert db.execute("SELECT count(*) FROM jobs").fetchone() == (1,)


if __name__ == "__main__":
    sys.exit(main())
