"""How far a training is: a bar on a terminal, plain and rare lines elsewhere, and never anything on stdout."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import threading

import pytest

from strop.host import Progress
from strop.host.cli import progress as progress_module
from strop.host.cli.progress import ProgressDisplay, duration


def run_on_a_terminal(*words: object, cwd, **environment: str) -> tuple[int, str, str]:
    """Run the command with stderr on a pseudo-terminal; return its code, stdout, and what the terminal got."""
    ours, theirs = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    process = subprocess.Popen(
        [sys.executable, "-m", "strop.host.cli", *map(str, words)],
        cwd=cwd,
        env={**clean, "TERM": "xterm-256color", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )
    os.close(theirs)
    shown: list[bytes] = []

    def read() -> None:
        try:
            while part := os.read(ours, 4096):
                shown.append(part)
        except OSError:  # the other end was closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    out, _ = process.communicate(timeout=120)
    reader.join(timeout=10)
    os.close(ours)
    return process.returncode, out, b"".join(shown).decode()


@pytest.fixture
def train_words(tiny_checkpoint, tiny_data):
    """A fine-tuning of a few steps, as JSON."""
    return ("finetune", tiny_checkpoint, "--data", tiny_data, "--steps", 6, "--batch", 10, "--json", "--output")


def test_a_terminal_gets_a_bar_and_stdout_only_the_document(train_words, tmp_path):
    """The bar moves the cursor, tells steps, loss and speed, and leaves stdout to JSON."""
    code, out, shown = run_on_a_terminal(*train_words, "x.safetensors", cwd=tmp_path)
    assert code == 0 and json.loads(out)["schema"] == "strop.finetune/1"
    assert "\x1b[" in shown and "\u2501" in shown
    assert re.search(r"step 6/6 .*loss \d\.\d+ .*acc \d+\.\d% .*img/s", shown)


def test_no_color_keeps_the_bar_without_colours(train_words, tmp_path):
    """NO_COLOR (no-color.org) is about colour: cursor movement stays."""
    code, _, shown = run_on_a_terminal(*train_words, "x.safetensors", cwd=tmp_path, NO_COLOR="1")
    assert code == 0 and "step 6/6" in shown and "\u2501" in shown
    assert not re.search(r"\x1b\[(?:\d+;)*(?:3[0-9]|38|9[0-7])(?:;\d+)*m", shown)


def test_a_dumb_terminal_gets_no_bar(train_words, tmp_path):
    """A window that cannot redraw would be flooded."""
    code, _, shown = run_on_a_terminal(*train_words, "x.safetensors", cwd=tmp_path, TERM="dumb")
    assert code == 0 and "\x1b" not in shown and "\u2501" not in shown


def test_a_pipe_gets_no_bar(train_words, tmp_path):
    """A log file must hold neither escapes nor carriage returns, also where the environment wishes for colour."""
    done = subprocess.run(
        [sys.executable, "-m", "strop.host.cli", *map(str, train_words), "x.safetensors"],
        cwd=tmp_path,
        env={**os.environ, "FORCE_COLOR": "1", "TERM": "xterm-256color"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert json.loads(done.stdout)["schema"] == "strop.finetune/1"
    assert done.stderr == ""  # it took less than the time between two lines


def at(step: int, steps: int = 1000, epochs: int = 2) -> Progress:
    return Progress(
        step=step, steps=steps, epoch=1, epochs=epochs, loss=9.0, accuracy=0.0, epoch_loss=0.5, epoch_accuracy=0.75,
        learning_rate=0.1, images_per_second=1234.5, eta_seconds=75.0,
    )  # fmt: skip


def test_lines_come_seldom(capsys, monkeypatch):
    """A log of a long training grows by a line each five seconds, whatever the speed of the steps."""
    now = 0.0
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now)
    with ProgressDisplay("lenet5") as display:
        for step in range(1, 1001):
            now = step * 0.02  # 20 seconds in all
            display(at(step))
    captured = capsys.readouterr()
    assert captured.out == "" and 3 <= len(captured.err.splitlines()) <= 4
    expected = "lenet5: step 250/1000  epoch 1/2  loss 0.500  acc 75.0%  1,234 img/s  1 min 15 s left"
    assert captured.err.splitlines()[0] == expected


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (41.4, "41 s"),
        (59.7, "1 min 00 s"),
        (725, "12 min 05 s"),
        (12000, "3 h 20 min"),
    ],
)
def test_times_are_told_in_words_of_their_length(seconds, words):
    """Nobody reads 12000 s."""
    assert duration(seconds) == words
