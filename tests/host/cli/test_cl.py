"""`strop cl`: runs that are resumed to the same bytes, are not done twice, and refuse to mix settings."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from strop.host.continual import read_record

WORDS = ("--data", "fashion-mnist-subset", "--per-experience", 64, "--threads", 1)
REPLAY = (*WORDS, "--strategy", "replay", "--buffer", 50)


def test_runs_records_table_and_pictures(cli, tmp_path):
    """Protects the whole path: strategies, seeds, records, the table, pictures, and the report of the folder."""
    words = (*REPLAY, "--strategy", "naive", "--seeds", 2, "--watts", "kv260=5", "--plot")
    ran = cli("cl", "run", "split-fashion-mnist", *words, "--output", "runs")
    assert ran.code == 0, ran.err
    for word in ("replay", "naive", "accuracy", "forgetting", "drawn", "5/5"):
        assert word in ran.out
    names = sorted(path.name for path in Path("runs").iterdir())
    assert [name for name in names if name.endswith(".json")] == [
        "split-fashion-mnist-naive-seed0.json",
        "split-fashion-mnist-naive-seed1.json",
        "split-fashion-mnist-replay-50-seed0.json",
        "split-fashion-mnist-replay-50-seed1.json",
    ]
    assert not [name for name in names if name.endswith(".safetensors")]
    assert [name for name in names if name.endswith(".png")]
    record = read_record(Path("runs") / "split-fashion-mnist-replay-50-seed1.json")
    assert record.seed == 1 and record.buffer_bytes == 50 * (784 + 4)
    assert record.modelled_joules is not None
    assert record.modelled_joules["kv260"] == 5 * record.modelled_seconds["kv260"] > 0
    again = cli("cl", "run", "split-fashion-mnist", *words, "--output", "runs")
    assert again.out.count("done before") == 4
    report = cli("cl", "report", "runs", "--json")
    assert report.document["schema"] == "strop.cl-report/1" and len(report.document["records"]) == 4
    assert "| split-fashion-mnist" in cli("cl", "report", "runs", "--markdown").out


def test_a_killed_run_goes_on_to_the_same_bytes(cli, tmp_path):
    """Protects resume after a power cut: SIGKILL in the middle, the same command again, the digest of a whole run."""
    words = ("cl", "run", "split-fashion-mnist", *WORDS, "--strategy", "lwf+replay", "--buffer", 50, "--epochs", 12)
    words = (*words, "--checkpoint-every", 5)
    whole = cli(*words, "--output", "whole")
    assert whole.code == 0, whole.err
    checkpoint = Path("cut") / "split-fashion-mnist-lwf+replay-50-seed0.safetensors"
    command = [sys.executable, "-m", "strop.host.cli", *map(str, words), "--output", "cut"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert checkpoint.exists(), "it was to be killed in the middle"
    ran = cli(*words, "--output", "cut")
    assert ran.code == 0, ran.err
    assert "goes on with experience" in ran.out
    records = [read_record(Path(folder) / f"{checkpoint.stem}.json") for folder in ("whole", "cut")]
    assert records[0].digest == records[1].digest
    assert records[0].matrix.to_dict() == records[1].matrix.to_dict()


def test_other_settings_are_not_mixed_in(cli, tmp_path):
    """A table of runs with different settings would compare what cannot be compared."""
    assert cli("cl", "run", "split-fashion-mnist", *REPLAY, "--output", "runs").code == 0
    ran = cli("cl", "run", "split-fashion-mnist", *REPLAY, "--lr", 0.01, "--output", "runs")
    assert ran.code != 0
    assert "learning_rate 0.05" in ran.err and "0.01" in ran.err and "another --output" in ran.err


def test_what_cannot_be_run_is_refused_before_work(cli, tmp_path):
    """Each with what is allowed."""
    for words, message in (
        (("nothing", *REPLAY), "split-fashion-mnist"),
        (("split-fashion-mnist", *WORDS, "--strategy", "wish"), "allowed: naive"),
        (("split-fashion-mnist", *WORDS, "--strategy", "naive", "--buffer", 5), "leave it out"),
        (("split-fashion-mnist", *WORDS, "--strategy", "slda+replay"), "give it alone"),
    ):
        ran = cli("cl", "run", *words, "--output", "runs")
        assert ran.code != 0 and message in ran.err, (words, ran.err)
    assert "no records" in cli("cl", "report", tmp_path).err


def test_the_list(cli):
    """What can be named is shown."""
    found = cli("cl", "list", "--json").document
    assert {"rotated-fashion-mnist", "corrupted-fashion-mnist"} <= set(found["benchmarks"])
    assert {"replay", "latent-replay", "ewc", "lwf", "gdumb", "slda", "joint", "naive"} <= set(found["strategies"])
