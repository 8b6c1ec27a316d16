"""The door of the `strop` command: every exit code, one shape of errors, and nothing but JSON on stdout with --json."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from strop.host.cli import COMMANDS, build_parser, main
from strop.host.cli.exit_codes import exit_code_of
from strop.host.version import strop_version
from strop.runtime import errors
from strop.runtime.contract import C
from strop.runtime.errors import DeviceBusy, DeviceUnavailable


def test_installed_entry_point(tmp_path):
    """What users type is this command: the console script where strop is installed, `python -m` where not."""
    scripts = metadata.entry_points(group="console_scripts", name="strop")
    beside = Path(sys.executable).with_name("strop")
    command = [str(beside)] if scripts and beside.exists() else [sys.executable, "-m", "strop.host.cli"]
    done = subprocess.run(
        [*command, "info", "lenet5", "--json"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0 and done.stderr == ""
    assert json.loads(done.stdout)["schema"] == "strop.info/1"
    for script in scripts:
        assert script.load() is main


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DeviceBusy("held by process 7"), 3),
        (errors.InputError("no"), 4),
        (errors.DataError("no"), 4),
        (errors.LimitError("no"), 4),
        (errors.CheckpointCorrupt("no"), 4),
        (errors.MemoryPlanError("no"), 4),
        (DeviceUnavailable("no"), 5),
        (errors.ContractMismatch("no"), 5),
        (errors.ProgramError("no"), 5),
        (errors.DeviceTimeout("no"), 5),
        (KeyboardInterrupt(), 130),
        (ValueError("no"), 1),
    ],
)
def test_each_error_has_its_exit_code_and_shape(error, code, cli, monkeypatch):
    """Scripts branch on the code and read the document; people read one line and never a traceback."""
    monkeypatch.setattr("strop.host.cli.subject.build_model", lambda *_: (_ for _ in ()).throw(error))
    plain, as_json = cli("info", "lenet5"), cli("info", "lenet5", "--json")
    assert (plain.code, as_json.code, exit_code_of(error)) == (code, code, code)
    assert plain.out == "" and plain.err.startswith("strop: ") and "Traceback" not in plain.err
    assert plain.err.count("\n") == 1
    kind = "Interrupted" if code == 130 else type(error).__name__
    shape = {"type": kind, "message": as_json.document["error"]["message"], "exit_code": code}
    assert as_json.document == {"schema": "strop.error/1", "error": shape}
    assert (str(error) or "interrupted") in shape["message"]


def test_every_strop_error_has_a_code_of_its_own_class():
    """An error class that is added later gets a meaning and is not reported as a surprise."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.StropError)]
    assert len(kinds) > 10 and all(exit_code_of(kind("x")) in (3, 4, 5) for kind in kinds)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("fly",),
        ("train",),
        ("train", "lenet5", "--data", "d", "--output", "o", "--steps", "0"),
        ("train", "lenet5", "--data", "d", "--output", "o", "--steps", "3", "--epochs", "3"),
        ("train", "lenet5", "--data", "d", "--output", "o", "--lr", "nan"),
        ("train", "lenet5", "--data", "d", "--output", "o", "--lr", "-1"),
        ("train", "lenet5", "--data", "d", "--output", "o", "--batch", "1"),
        ("train", "lenet5", "--data", "d", "--output", "o", "--schedule", "hope"),
        ("train", "lenet5", "--data", "d", "--output", "o", "--image-size", "28"),
        ("train", "lenet5", "--dat", "d", "--output", "o"),
        ("finetune", "c", "--data", "d", "--output", "o", "--shift", "sideways"),
        ("finetune", "c", "--data", "d", "--output", "o", "--freeze", ","),
        ("predict", "c"),
        ("predict", "c", "i.png", "--data", "d"),
        ("predict", "c", "i.png", "--shift", "invert"),
        ("info", "lenet5", "--input", "28x28"),
        ("info", "lenet5", "--batch", "many"),
        ("demo", "--threads", "0"),
    ],
)
def test_a_wrong_command_line_is_2(words, cli):
    """Also for what argparse cannot know: the short help and one sentence on stderr, a document with --json."""
    ran, as_json = cli(*words), cli(*words, "--json")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("usage: strop") and ran.err.splitlines()[-1].startswith("strop: ")
    assert as_json.code == 2 and as_json.document["error"]["type"] == "UsageError"


def test_unexpected_errors_show_their_traceback_only_on_demand(cli, monkeypatch):
    """A user gets a sentence with a hint; who reports the error gets the traceback."""
    monkeypatch.setattr("strop.host.cli.subject.build_model", lambda *_: {}["surprise"])
    ran, debug = cli("info", "lenet5"), cli("info", "lenet5", "--debug")
    assert ran.code == debug.code == 1
    assert "Traceback" not in ran.err and "--debug" in ran.err and "surprise" in ran.err
    assert "Traceback" in debug.err


def test_help_and_version(cli):
    """Every command explains itself; the help ends well."""
    assert cli("--help").code == 0 and "strop doctor" in cli("--help").out
    versions = f"strop {strop_version()}, contract {C.CONTRACT_VERSION}, numerics {C.NUMERICS_VERSION}"
    assert versions in cli("--version").out
    for module in COMMANDS:
        name = module.__name__.rpartition(".")[2].rstrip("_")  # import_, since import is a keyword
        ran = cli(name, "--help")
        assert ran.code == 0 and "--json" in ran.out and f"  strop {name}" in ran.out, name


def test_examples_of_the_help_are_correct_command_lines():
    """Who copies an example from --help must not be told that it is wrong."""
    parser = build_parser()
    examples = 0
    for module in COMMANDS:
        for line in module.EXAMPLE.splitlines()[1:]:
            words = line.split()
            assert words[0] == "strop"
            assert parser.parse_args(words[1:]).run is module.run
            examples += 1
    assert examples >= len(COMMANDS)


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_reader_that_goes_away_is_no_error(form, tmp_path):
    """`strop info vgg-small | head -1` ends quietly, as a program that SIGPIPE ended."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "strop.host.cli", "info", "vgg-small", *form]
    done = subprocess.run(
        command, cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
