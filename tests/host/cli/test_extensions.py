"""Commands and options from above: found by entry points, and never able to break the command itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from strop.host.cli import main

COMMAND = """
from strop.host.cli.arguments import add_command
def add_parser(commands):
    add_command(commands, "hello", "greet", "", lambda arguments, output: output.line("hello from above") or 0)
"""
REMOTE = """
def add_options(parser):
    parser.add_argument("--elsewhere", action="store_true")
def wanted(arguments):
    return arguments.elsewhere
def run(arguments, output):
    output.line(f"{arguments.checkpoint} on {arguments.data}, {arguments.steps} steps, output {arguments.output}")
    return 3
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`install("strop.commands", "name", source)`: a distribution with one module and one entry point, on sys.path."""
    monkeypatch.syspath_prepend(tmp_path)

    def add(group: str, name: str, source: str) -> None:
        (tmp_path / f"strop_test_{name}.py").write_text(source, encoding="utf-8")
        folder = tmp_path / f"strop_test_{name}-1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: strop-test-{name}\nVersion: 1\n", encoding="utf-8"
        )
        (folder / "entry_points.txt").write_text(f"[{group}]\n{name} = strop_test_{name}\n", encoding="utf-8")

    return add


def test_a_command_from_above(install, capsys):
    """Protects the door for floors that the host must not know: their commands are the host's equals."""
    install("strop.commands", "hello", COMMAND)
    assert main(["hello"]) == 0 and "hello from above" in capsys.readouterr().out
    assert main(["--help"]) == 0 and "greet" in capsys.readouterr().out


def test_one_that_cannot_be_loaded_is_left_out(install, capsys):
    """Protects every other command from an installation that is half removed: one line says so."""
    install("strop.commands", "broken", "import a_package_that_is_missing")
    install("strop.commands", "hello", COMMAND)
    assert main(["hello"]) == 0
    ran = capsys.readouterr()
    assert "hello from above" in ran.out
    assert ran.err.count("\n") == 1 and "strop_test_broken cannot be loaded" in ran.err and "a_package" in ran.err
    assert main(["broken"]) == 2


def test_a_fine_tuning_elsewhere(install, capsys):
    """Protects `strop finetune`: who takes it over gets the words of the host's command, and --output is then free."""
    install("strop.remote", "elsewhere", REMOTE)
    words = ["finetune", "net", "--data", "d", "--steps", "7"]
    assert main([*words, "--elsewhere"]) == 3
    assert "net on d, 7 steps, output None" in capsys.readouterr().out
    assert main(words) == 2 and "--output" in capsys.readouterr().err


def test_a_fine_tuning_here_still_demands_its_output(capsys, monkeypatch):
    """Protects a host alone: without anything from above the command line is as it was."""
    monkeypatch.setattr("strop.host.cli.finetune.extensions", lambda group: [])
    assert main(["finetune", "net", "--data", "d"]) == 2
    assert "the following arguments are required: --output" in capsys.readouterr().err
