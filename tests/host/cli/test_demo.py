"""`strop demo`: what the README promises: figures before and after, a checkpoint and a plot, in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from strop.host import Model
from strop.host.cli import demo
from strop.host.data import SHIFTS
from strop.host.pretrained import PRETRAINED, pretrained_path


def test_demo(cli, tmp_path):
    """With fewer steps than usual it already learns; the source in the package stays as it was."""
    before = pretrained_path().read_bytes()
    ran = cli("demo", "--steps", 60, "--json")
    found = ran.document
    assert ran.code == 0 and found["schema"] == "strop.demo/1" and found["shift"] == "invert"
    assert found["shifted"]["after"]["accuracy"] > found["shifted"]["before"]["accuracy"] + 0.2
    assert found["original"]["after"]["accuracy"] < found["original"]["before"]["accuracy"]  # forgetting, not hidden
    assert found["output"] == "strop-demo/lenet5-inverted.safetensors" and found["plot"] == "strop-demo/finetune.png"
    with Model.load(tmp_path / found["output"]) as model:
        assert model.digest() == found["digest"]
    assert (tmp_path / found["plot"]).read_bytes().startswith(b"\x89PNG")
    assert pretrained_path().read_bytes() == before


def test_it_tells_people_and_can_be_repeated(cli):
    """A second demo replaces what the first one left; another folder and another shift are taken."""
    words = ("demo", "--steps", 2, "--shift", "contrast", "--output-dir", "here", "--threads", 1)
    for _ in range(2):
        ran = cli(*words)
        assert ran.code == 0, ran.err
    for word in (
        "third of their contrast",
        "originals",
        "forgetting",
        "images/s",
        "MiB",
        "here/lenet5-contrast.safetensors",
    ):
        assert word in ran.out


def test_every_shift_has_words():
    """The demo says what changed, whatever was chosen."""
    assert set(demo.WHAT_CHANGED) == set(SHIFTS)


def test_without_matplotlib_it_still_shows(cli, tmp_path, monkeypatch):
    """The plot is an extra: the demo of a plain installation works, and says what is missing."""
    monkeypatch.setattr(demo, "can_plot", lambda: False)
    ran = cli("demo", "--steps", 2, "--json")
    assert ran.code == 0 and ran.document["plot"] is None and "matplotlib" in ran.err
    assert not (tmp_path / "strop-demo" / "finetune.png").exists()


@pytest.mark.usefixtures("nothing_trains")
def test_a_folder_that_cannot_be_made(cli, tmp_path):
    """A file in its place, or no parent: refused before training, and nothing is lost."""
    (tmp_path / "strop-demo").write_text("mine")
    assert cli("demo").code == 4 and (tmp_path / "strop-demo").read_text() == "mine"
    assert cli("demo", "--output-dir", "a/b").code == 4


def test_an_incomplete_installation(cli, monkeypatch):
    """Without the shipped checkpoint the message says so."""
    monkeypatch.setitem(PRETRAINED, "lenet5-fashion-mnist", "gone.safetensors")
    ran = cli("demo")
    assert ran.code == 4 and "missing here; install strop again" in ran.err


def test_ctrl_c_keeps_what_was_trained(cli, interrupt_at):
    """The demo's checkpoint is a checkpoint like any other."""
    interrupt_at(2)
    ran = cli("demo", "--steps", 50)
    assert ran.code == 130 and "strop evaluate takes it" in ran.err
    with Model.load(Path("strop-demo/lenet5-inverted.safetensors")) as model:
        assert model.cursor is not None and not model.cursor.finished
