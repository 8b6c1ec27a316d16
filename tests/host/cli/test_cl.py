"""`strop cl`: runs that a kill does not lose, that are not done twice, and that are never mixed with others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from strop.host import Model
from strop.host.cli.progress import LiveLine
from strop.host.continual import (
    BENCHMARKS,
    STRATEGIES,
    BenchmarkRun,
    Learner,
    LearnerSettings,
    Replay,
    load_benchmark,
    read_record,
)

RUN = ("cl", "run", "split-fashion-mnist", "--data", "fashion-mnist-subset", "--per-experience", 64, "--threads", 1)
REPLAY = (*RUN, "--strategy", "replay", "--buffer", 50)
NAME = "split-fashion-mnist-fashion-mnist-subset-64-per-experience"


def record_in(folder: str, label: str):
    """Return the record of a run."""
    return read_record(Path(folder) / f"{NAME}-{label}.json")


def without_times(record) -> dict:
    """Return all of a record that may not depend on the machine."""
    found = record.to_dict()
    del found["seconds"]
    return found


def files_in(folder: str) -> list[str]:
    """Return the files of a folder, without what they have in common."""
    return sorted(path.name.removeprefix(f"{NAME}-") for path in Path(folder).iterdir())


@pytest.fixture
def signal_at(monkeypatch):
    """`signal_at(20)` sends this process a signal when the 20th step from now is shown; 0 for never."""
    original, left, sent = LiveLine.show, 0, signal.SIGINT

    def show(self, done, total, describe):
        nonlocal left
        original(self, done, total, describe)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), sent)

    monkeypatch.setattr(LiveLine, "show", show)

    def arm(step, with_signal=signal.SIGINT):
        nonlocal left, sent
        left, sent = step, with_signal

    return arm


@pytest.fixture
def nothing_learns(monkeypatch):
    """Makes learning fail loudly: for what must be refused, or is done, before any begins."""

    def learn(*_: object, **__: object):
        raise AssertionError("learning began")

    monkeypatch.setattr(Learner, "learn", learn)


def test_the_list(cli):
    """What can be named is shown, with the options that a name may have."""
    found = cli("cl", "list", "--json").document
    assert found["schema"] == "strop.cl-list/1"
    assert [each["name"] for each in found["benchmarks"]] == list(BENCHMARKS)
    assert [each["name"] for each in found["strategies"]] == list(STRATEGIES)
    assert all(each["description"] for each in found["benchmarks"] + found["strategies"])
    shown = cli("cl", "list").out
    assert "rotated-fashion-mnist" in shown and "strength, samples, seed" in shown


def test_it_runs_what_the_library_runs(cli):
    """The command adds nothing to the arithmetic: its record is that of the same run in Python."""
    assert cli(*REPLAY, "--seeds", 2, "--lr", 0.1, "--epochs", 2, "--output", "runs").code == 0
    benchmark = load_benchmark("split-fashion-mnist", source="fashion-mnist-subset", seed=1, per_experience=64)
    with Model.create("lenet5", input=benchmark.image_shape, classes=benchmark.classes, seed=1) as model:
        settings = LearnerSettings(learning_rate=0.1, epochs=2, seed=1)
        learner = Learner(model, Replay(50, seed=1), settings=settings)
        expected = BenchmarkRun(benchmark, learner, strategy="replay", seed=1).run()
    found = record_in("runs", "replay-50-seed1")
    assert (found.digest, found.matrix, found.memory) == (expected.digest, expected.matrix, expected.memory)
    assert found.settings["learning_rate"] == 0.1 and found.settings["strategies"][0]["capacity"] == 50


def test_strategies_buffers_seeds_and_what_they_leave(cli):
    """A record for each strategy, buffer and seed, once where there is no memory; tables, energy and pictures."""
    words = (*REPLAY, "--buffer", 20, "--strategy", "naive", "--seeds", 2, "--watts", "kv260=5", "--plot")
    ran = cli(*words, "--output", "runs")
    assert ran.code == 0, ran.err
    for word in ("replay", "naive", "39 kB", "accuracy", "forgetting", "kv260 J", "modelled", "-matrices.png"):
        assert word in ran.out, word
    assert "run 6/6 naive-seed1: experience 5/5 Bag and Ankle boot: " in ran.err
    labels = [f"{name}-seed{seed}.json" for name in ("naive", "replay-20", "replay-50") for seed in (0, 1)]
    assert [name for name in files_in("runs") if not name.endswith(".png")] == labels
    assert sum(name.endswith(".png") for name in files_in("runs")) == 2
    record = record_in("runs", "replay-50-seed1")
    assert record.seed == 1 and record.buffer_bytes == 50 * (784 + 4)
    assert record.modelled_joules == {"kv260": 5 * record.modelled_seconds["kv260"]}


def test_documents(cli):
    """--json: one document on stdout, progress on stderr; the report holds what the records hold."""
    ran = cli(*REPLAY, "--seeds", 2, "--output", "runs", "--json")
    found = ran.document
    assert found["schema"] == "strop.cl-run/1" and found["output"] == "runs" and found["plots"] == []
    assert found["benchmark"] == "split-fashion-mnist (fashion-mnist-subset, 64 per experience)"
    record = record_in("runs", "replay-50-seed1")
    assert found["runs"][1] == {
        "record": f"runs/{NAME}-replay-50-seed1.json",
        "strategy": "replay",
        "buffer": 50,
        "seed": 1,
        "there_already": False,
        "digest": record.digest,
        "metrics": record.matrix.metrics(),
    }
    (row,) = found["table"]
    assert row["seeds"] == [0, 1] and row["metrics"]["average_accuracy"]["count"] == 2
    report = cli("cl", "report", "runs", "--json").document
    assert report["schema"] == "strop.cl-report/1" and report["table"] == found["table"]
    assert report["records"][1] == json.loads(Path(found["runs"][1]["record"]).read_text())


def test_what_is_done_is_not_done_again(cli, request):
    """The same command once more reads the records; more seeds are added to them; energy needs no new run."""
    assert cli(*REPLAY, "--output", "runs").code == 0
    before = record_in("runs", "replay-50-seed0")
    Path("runs", f"{NAME}-replay-50-seed0.safetensors").write_bytes(b"left behind by a kill")
    more = cli(*REPLAY, "--seeds", 2, "--output", "runs", "--json")
    assert more.code == 0 and "1 of 2 runs are there already" in more.err
    assert [each["there_already"] for each in more.document["runs"]] == [True, False]
    assert files_in("runs") == ["replay-50-seed0.json", "replay-50-seed1.json"]
    request.getfixturevalue("nothing_learns")
    again = cli(*REPLAY, "--seeds", 2, "--output", "runs", "--watts", "pynq-z2=2")
    assert again.code == 0 and "2 of 2 runs are there already" in again.err
    after = record_in("runs", "replay-50-seed0")
    assert after.modelled_joules == {"pynq-z2": 2 * before.modelled_seconds["pynq-z2"]}
    assert (after.digest, after.seconds) == (before.digest, before.seconds)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_goes_on_to_the_same_record(sent, cli, signal_at):
    """Ctrl-C and SIGTERM are 130 and say how to go on; the same command ends as if nothing had happened."""
    words = (*RUN, "--strategy", "lwf+replay", "--buffer", 50, "--strategy", "naive", "--epochs", 3)
    assert cli(*words, "--output", "whole").code == 0
    signal_at(16, sent)  # in the third experience: 6 steps each
    broken = cli(*words, "--output", "cut", "--json")
    assert broken.code == 130 and broken.document["error"]["type"] == "Interrupted"
    assert "interrupted in run 1/2 lwf+replay-50-seed0: it is kept in cut/" in broken.err
    assert "the same command goes on" in broken.err
    assert files_in("cut") == ["lwf+replay-50-seed0.progress.json", "lwf+replay-50-seed0.safetensors"]
    none = cli("cl", "report", "cut")  # what is under way is no record
    assert none.code == 4 and "no record" in none.err
    ran = cli(*words, "--output", "cut")
    assert ran.code == 0, ran.err
    assert "run 1/2 lwf+replay-50-seed0: goes on in experience 3/5" in ran.err
    assert files_in("cut") == files_in("whole") == ["lwf+replay-50-seed0.json", "naive-seed0.json"]
    assert without_times(record_in("cut", "lwf+replay-50-seed0")) == without_times(
        record_in("whole", "lwf+replay-50-seed0")
    )


KILLED = """
import os, signal, sys
from strop.host.cli import main
from strop.host.cli.progress import LiveLine

steps = 0
def show(*_):
    global steps
    steps += 1
    if steps == 21:  # in the fourth experience
        os.kill(os.getpid(), signal.SIGKILL)

LiveLine.show = show
sys.exit(main(sys.argv[1:]))
"""


def test_a_killed_process_goes_on_to_the_same_record(cli, tmp_path):
    """A power cut loses nothing: SIGKILL in the middle of an experience; the same command ends with equal bytes."""
    words = (*REPLAY, "--epochs", 3, "--checkpoint-every", 2)
    assert cli(*words, "--output", "whole").code == 0
    command = [sys.executable, "-c", KILLED, *map(str, words), "--output", "cut"]
    killed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert files_in("cut") == ["replay-50-seed0.progress.json", "replay-50-seed0.safetensors"]
    ran = cli(*words, "--output", "cut")
    assert ran.code == 0 and "goes on in experience 4/5" in ran.err, ran.err
    assert without_times(record_in("cut", "replay-50-seed0")) == without_times(record_in("whole", "replay-50-seed0"))


@pytest.mark.parametrize("under_way", [False, True])
def test_other_settings_are_refused(under_way, cli, signal_at, tiny_checkpoint):
    """A table must not mix what cannot be compared, nor a run go on as another: each difference is named."""
    words = (*REPLAY, "--guard-limit", 0.9, "--guard-samples", 10, "--output", "runs")
    signal_at(3 if under_way else 0)
    assert cli(*words).code == (130 if under_way else 0)
    signal_at(0)
    kept = {path.name: path.read_bytes() for path in Path("runs").iterdir()}
    for changes, message in (
        (("--lr", 0.1), "learning_rate was 0.05, now is 0.1"),
        (("--epochs", 2), "epochs was 1, now is 2"),
        (("--batch", 16), "batch was 32, now is 16"),
        (("--momentum", 0.5), "momentum was 0.0, now is 0.5"),
        (("--statistics", "running"), "statistics was batch, now is running"),
        (("--replay-batch", 8), "strategies.replay.replay_batch was 32, now is 8"),
        (("--guard-limit", 0.5), "guard.limit was 0.9, now is 0.5"),
        (("--guard-samples", 11), "samples_digest was "),
        (("--network", "vgg-small"), "network was lenet5, now is "),
        (("--checkpoint", "lenet5-fashion-mnist"), "start_digest was "),
    ):
        ran = cli(*words, *changes)
        assert ran.code == 4 and message in ran.err and "write to another folder" in ran.err, (changes, ran.err)
    assert {path.name: path.read_bytes() for path in Path("runs").iterdir()} == kept


@pytest.mark.usefixtures("nothing_learns")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--strategy", "wish"), "strategy 'wish' is unknown; allowed: naive, "),
        (("--strategy", "naive", "--strategy", "slda+replay"), "give it alone"),
        (("--strategy", "naive", "--buffer", 5), "--buffer is given, but none of the strategies naive takes it"),
        (("--strategy", "lwf", "--replay-batch", 5), "--replay-batch is given, but none"),
        (("--strategy", "replay", "--after", "pool2"), "--after is given, but none"),
        (("--strategy", "slda", "--after", "conv1"), "allowed: relu1, "),
        (("--strategy", "naive", "--data", "none.npz"), "none.npz"),
        (("--strategy", "naive", "--network", "nonet"), "lenet5"),
        (("--strategy", "naive", "--checkpoint", "none.safetensors"), "none.safetensors does not exist"),
        (("--strategy", "naive", "--watts", "pynq-z3=2"), "board 'pynq-z3' is unknown; allowed: pynq-z2, "),
        (("--strategy", "naive", "--guard-limit", 0.1, "--guard-samples", 64), "allowed are 1 to 63"),
        (("--strategy", "naive", "--guard-limit", 2, "--guard-samples", 9), "limit is 2.0; allowed: 0 to 1"),
        (("--strategy", "naive", "--output", "none/runs"), "mkdir -p"),
        (("--strategy", "naive", "--output", "a-file"), "it is no folder"),
    ],
)
def test_what_cannot_be_run_is_refused_before_any_work(words, message, cli, tmp_path):
    """The message names what is wrong and what is allowed; no folder is made."""
    (tmp_path / "a-file").write_text("")
    ran = cli(*RUN, "--output", "runs", *words)
    assert ran.code == 4 and message in ran.err, ran.err
    assert not Path("runs").exists()


def test_a_checkpoint_of_another_network_is_refused(cli, tiny_checkpoint):
    """Images must fit the trained model that all runs begin with."""
    ran = cli(*RUN, "--strategy", "naive", "--checkpoint", tiny_checkpoint, "--output", "runs")
    assert ran.code == 4 and "tiny takes (1, 8, 8)" in ran.err


@pytest.mark.parametrize(
    "words", [("--watts", "pynq-z2"), ("--watts", "=2"), ("--watts", "pynq-z2=-1"), ("--guard-samples", 5)]
)
def test_wrong_command_lines_are_2(words, cli):
    """What is no power, and an option without the one that it belongs to."""
    assert cli(*RUN, "--strategy", "naive", "--output", "runs", *words).code == 2


def test_pictures_without_matplotlib_are_refused_first(cli, monkeypatch):
    """Hours of runs must not end there."""
    monkeypatch.setattr("strop.host.cli.cl_results.can_plot", lambda: False)
    ran = cli(*RUN, "--strategy", "naive", "--output", "runs", "--plot")
    assert ran.code == 4 and "pip install matplotlib" in ran.err and not Path("runs").exists()


def test_a_run_from_a_trained_model(cli):
    """--checkpoint: every run begins with that model, so that the first row of the matrix is its accuracy."""
    words = ("--strategy", "latent-replay:whole_experiences=0", "--checkpoint", "lenet5-fashion-mnist")
    assert cli(*RUN, *words, "--output", "runs").code == 0
    record = record_in("runs", "latent-replay-whole_experiences=0-500-seed0")
    assert record.matrix.R[0].mean() > 0.8 and record.strategy == "latent-replay:whole_experiences=0"
    assert record.settings["strategies"][0]["whole_experiences"] == 0


def test_a_guard_undoes_and_the_run_goes_on(cli):
    """What loses too much on samples of the first experience is undone, and said; the next experience comes."""
    words = ("--strategy", "naive", "--guard-limit", 0.1, "--guard-samples", 20)
    ran = cli(*RUN, *words, "--output", "runs")
    assert ran.code == 0 and ran.err.count("rolled back: held-out samples") == 4
    record = record_in("runs", "naive-seed0")
    assert record.samples == (44, 64, 64, 64, 64)
    assert record.settings["guard"]["limit"] == 0.1 and record.settings["guard"]["held_out"]["samples"] == 20
    assert (record.matrix.R[1:] == record.matrix.R[1]).all()
    assert min(record.modelled_seconds.values()) > 0


def test_shuffled_classes_have_an_order_for_each_seed(cli):
    """--class-order shuffled: seeds meet the pairs in other orders, and that is one benchmark."""
    words = ("--strategy", "naive", "--class-order", "shuffled", "--seeds", 2, "--output", "runs")
    assert cli(*RUN, *words).code == 0
    one, two = (read_record(path) for path in sorted(Path("runs").iterdir()))
    assert one.benchmark == two.benchmark and one.experiences != two.experiences


def test_the_report(cli):
    """Several benchmarks in one folder, each with its table; Markdown; pictures; what is no record is told of."""
    assert cli(*REPLAY, "--output", "runs").code == 0
    domain = [word if word != "split-fashion-mnist" else "split-fashion-mnist-domain" for word in REPLAY]
    assert cli(*domain, "--output", "runs").code == 0
    Path("runs", "notes.json").write_text("{}")
    ran = cli("cl", "report", "runs", "--plot")
    assert ran.code == 0 and "left out: runs/notes.json: no record of a run" in ran.err
    assert ran.out.count("accuracy, %") == 2 and ran.out.count("-curves.png") == 2
    markdown = cli("cl", "report", "runs", "--markdown").out
    assert len(markdown.splitlines()) == 4 and markdown.count("| split-fashion-mnist-domain (") == 1


def test_a_report_of_nothing_is_4(cli):
    """A folder that is not there, or has no record, is named."""
    Path("empty").mkdir()
    for folder, message in (("none", "none is no folder"), ("empty", "empty holds no record")):
        ran = cli("cl", "report", folder)
        assert ran.code == 4 and message in ran.err
