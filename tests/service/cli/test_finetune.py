"""`strop finetune --on URL`: the words of the host's command, done by a service."""

from __future__ import annotations

import io
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from strop.host import Model
from strop.host.data import load_fashion_mnist_subset
from strop.service.client import Client

NAME, DATA = "lenet5-fashion-mnist", "fashion-mnist-subset"
WORDS = ("finetune", f"{NAME}@1", "--data", DATA, "--shift", "invert", "--steps", 20, "--batch", 16, "--seed", 5)


@pytest.fixture
def client(server):
    """A client of the same service."""
    with Client(server.url) as opened:
        yield opened


def test_here_and_there_give_the_same_bytes(cli, on, tmp_path):
    """Protects the promise of the same words: with --on the checkpoint has the state that the command gives here."""
    more = ("--lr", 0.02, "--schedule", "cosine", "--momentum", 0.5, "--weight-decay", 0.001, "--freeze", "conv1")
    here = cli("finetune", NAME, *WORDS[2:], *more, "--output", "here.safetensors", "--json")
    there = cli(*WORDS, *more, *on, "--follow", "--output", "there.safetensors", "--json")
    assert (here.code, there.code) == (0, 0), there.err
    assert there.document["schema"] == "strop.job/1" and there.document["job"]["state"] == "succeeded"
    assert there.document["job"]["result"]["sha256"] == here.document["digest"]
    with Model.load(tmp_path / "there.safetensors") as model:
        assert model.digest() == here.document["digest"]
    assert there.document["job"]["result"]["accuracy"]["after"]["validation"] == pytest.approx(
        here.document["after"][f"{DATA}/test, invert"]["accuracy"]
    )


def test_without_follow_it_says_how_to(cli, on, client):
    """Protects scripts that send and go: the job's document, at once, and for people the next command."""
    ran = cli(*WORDS, *on, "--idempotency-key", "day-3", "--json")
    assert ran.code == 0 and ran.document["job"]["state"] in ("queued", "running")
    again = cli(*WORDS, *on, "--idempotency-key", "day-3")
    assert ran.document["job"]["id"] in again.out and f"strop jobs follow {ran.document['job']['id']}" in again.err
    client.job(ran.document["job"]["id"]).wait()


def test_a_dry_run_starts_nothing(cli, on, client):
    """Protects who wants to know first: steps, memory and modelled times; the queue stays as it was."""
    before = [job.id for job in client.jobs()]
    ran = cli(*WORDS, *on, "--dry-run")
    assert ran.code == 0 and "peak memory" in ran.out and "on pynq-z2, modelled" in ran.out
    document = cli(*WORDS, *on, "--dry-run", "--json").document
    assert document["schema"] == "strop.finetune-estimate/1" and document["estimate"]["steps"] == 20
    assert [job.id for job in client.jobs()] == before


def test_the_gate_decides_about_the_alias(cli, on, client):
    """Protects production: a version that passes takes the alias, one that does not leaves it, and the code is 4."""
    passed = cli(*WORDS, *on, "--follow", "--promote", "nightly", "--min-accuracy", 0.1, "--reference", DATA,
                 "--max-forgetting", 1)  # fmt: skip
    assert passed.code == 0 and "promoted" in passed.out
    number = client.model(NAME).data["aliases"]["nightly"]
    refused = cli(*WORDS, *on, "--follow", "--promote", "nightly", "--min-accuracy", 0.999)
    assert refused.code == 4 and "gate" in refused.out and "refused" in refused.out
    assert client.model(NAME).data["aliases"]["nightly"] == number


def test_data_of_this_machine_is_sent(cli, on, client, tmp_path):
    """Protects the user's own data: files and folders of photos reach the service in the network's form, test part too,
    with labels numbered as in the network, not as folders sort."""
    train, test = load_fashion_mnist_subset("train").take(60, 1), load_fashion_mnist_subset("test").take(30, 1)
    np.savez(tmp_path / "mine.npz", x_train=train.images, y_train=train.labels, x_test=test.images, y_test=test.labels,
             classes=np.array(train.classes))  # fmt: skip
    ran = cli("finetune", NAME, "--data", "mine.npz", "--steps", 5, *on, "--follow", "--json")
    assert ran.code == 0, ran.err
    request = ran.document["job"]["spec"]["request"]
    sets = {entry["id"]: entry for entry in client.datasets()}
    assert (sets[request["data"]]["samples"], sets[request["validation"]]["samples"]) == (60, 30)
    assert ran.document["job"]["result"]["accuracy"]["after"]["validation"] is not None
    named = train.subset(np.flatnonzero(train.labels))  # T-shirt/top is no name of a folder
    for index, label in enumerate(named.labels.tolist()):
        folder = tmp_path / "photos" / train.classes[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(named.images[index, 0]).resize((56, 56)).convert("RGB").save(folder / f"{index}.png")
    ran = cli("finetune", NAME, "--data", "photos", "--validation", "mine.npz", "--steps", 5, *on, "--follow", "--json")
    assert ran.code == 0, ran.err
    request = ran.document["job"]["spec"]["request"]
    sets = {entry["id"]: entry for entry in client.datasets()}
    assert (sets[request["data"]]["samples"], sets[request["data"]]["shape"]) == (len(named), [1, 28, 28])
    assert sets[request["data"]]["classes"] == list(train.classes)
    assert sets[request["validation"]]["samples"] == 30
    assert cli("finetune", NAME, "--data", request["data"], "--steps", 5, *on).code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--output", "x.safetensors"), "--follow"),
        (("--device", "emulator"), "--device"),
        (("--threads", 2), "--threads"),
        (("--resume",), "--resume"),
        (("--plot", "x.png"), "--plot"),
        (("--follow", "--dry-run"), "--dry-run"),
        (("--min-accuracy", "-1"), "--min-accuracy"),
    ],
)
def test_what_does_not_go_together_is_2(words, said, cli):
    """Protects from options that would be ignored; nothing is sent: nobody listens there."""
    ran = cli(*WORDS, "--on", "http://127.0.0.1:9", *words)
    assert ran.code == 2 and said in ran.err.splitlines()[-1]


@pytest.mark.parametrize(
    "words", [("--follow",), ("--promote", "production"), ("--idempotency-key", "x"), ("--dry-run",)]
)
def test_a_services_options_need_a_service(words, cli):
    """Protects from a training here that was meant for a box."""
    ran = cli("finetune", NAME, "--data", DATA, "--output", "x.safetensors", *words)
    assert ran.code == 2 and f"{words[0]} needs --on URL" in ran.err


def test_what_cannot_be_is_refused_before_anything_is_sent(cli, on, client, tmp_path):
    """Protects from a job that comes to nothing: a target that exists, data that is nowhere, an unknown model."""
    before = [job.id for job in client.jobs()]
    (tmp_path / "x.safetensors").touch()
    exists = cli(*WORDS, *on, "--follow", "--output", "x.safetensors")
    assert exists.code == 4 and "--force" in exists.err
    nowhere = cli("finetune", NAME, "--data", "nowhere", *on)
    assert nowhere.code == 4 and "fashion-mnist-subset" in nowhere.err and "samples" in nowhere.err
    assert cli("finetune", NAME, "--data", DATA, "--validation", "none", *on).code == 4
    assert cli("finetune", "nothing", "--data", DATA, *on).code == 4
    assert cli("finetune", f"{NAME}@nothing", "--data", ".", *on).code == 4
    assert [job.id for job in client.jobs()] == before
    assert cli(*WORDS, "--on", "http://127.0.0.1:9").code == 5


def test_a_terminal_gets_the_bar_of_a_training(cli, on, monkeypatch):
    """Protects both readers: the bar goes to the terminal, and stdout stays with the facts."""
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    ran = cli(*WORDS, *on, "--follow")
    assert ran.code == 0 and "\x1b" not in ran.out
    shown = terminal.getvalue()
    assert "\x1b[" in shown and "\u2501" in shown
    assert re.search(r"step 20/20 .*loss \d\.\d+ .*acc \d+\.\d% .*img/s", shown)


def test_ctrl_c_leaves_the_job_running(on, client, tmp_path):
    """Protects a long job from who closes a laptop: the command ends with 130 and says how to see or end the job."""
    words = ("finetune", NAME, "--data", DATA, "--steps", 1_000_000, *on, "--follow")
    process = subprocess.Popen(
        [sys.executable, "-m", "strop.host.cli", *map(str, words)],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    first = process.stderr.readline()
    job = client.job(first.partition(":")[0])
    while job.refresh().progress is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130 and out == "" and "Traceback" not in err
    assert f"strop jobs cancel {job.id}" in err.splitlines()[-1]
    assert job.refresh().state == "running"
    job.cancel()
    assert [event.type for event in job.events()][-1] == "cancelled"
