"""How the service's commands come to the `strop` command, also where its packages are not installed."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from strop.host.cli import build_parser
from strop.service.cli import finetune, jobs, keys, models, serve, service

COMMANDS = (jobs, keys, models, serve, service)
# What a bare installation has: none of the extra's packages can be imported.
BARE = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("fastapi", "httpx", "prometheus_client", "pydantic", "pydantic_settings", "starlette", "uvicorn"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from strop.host.cli import main
sys.exit(main())
"""  # noqa: E501


def test_every_module_is_an_entry_point():
    """Protects the commands from being forgotten in pyproject.toml; after a change there strop is installed again."""
    installed = {entry.name: entry.load() for entry in metadata.entry_points(group="strop.commands")}
    assert installed == {module.__name__.rpartition(".")[2]: module for module in COMMANDS}
    assert [entry.load() for entry in metadata.entry_points(group="strop.remote")] == [finetune]


def test_examples_of_the_help_are_correct_command_lines():
    """Protects who copies an example from --help."""
    parser = build_parser()
    examples = 0
    for module in COMMANDS:
        for line in module.EXAMPLE.splitlines()[1:]:
            words = line.replace('"better in the dark"', "better").removeprefix("  ").removeprefix("sudo ").split()
            assert words[0] == "strop"
            assert parser.parse_args(words[1:]).run is module.run, line
            examples += 1
    assert examples >= 2 * len(COMMANDS)


def bare(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command where the extra is not installed."""
    return subprocess.run(
        [sys.executable, "-c", BARE, *words],
        cwd=cwd, env=os.environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        ("jobs", "list"),
        ("models", "show", "lenet5"),
        ("keys", "list"),
        ("keys", "create", "x", "--scopes", "admin"),
        ("serve",),
        ("service", "print"),
        ("finetune", "lenet5-fashion-mnist", "--data", "fashion-mnist-subset", "--on", "http://127.0.0.1:9"),
    ],
)
def test_a_missing_extra_is_told_when_it_is_needed(words, tmp_path):
    """Protects a bare installation: the command says what to install, in one line, and makes nothing."""
    ran = bare(*words, cwd=tmp_path)
    assert ran.returncode == 4 and ran.stdout == ""
    assert ran.stderr.count("\n") == 1 and "pip install '.[service]'" in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_disturbs_nothing_else(tmp_path):
    """Protects the host's own commands, and the help, which names all commands in any case."""
    assert bare("info", "lenet5", cwd=tmp_path).returncode == 0
    shown = bare("--help", cwd=tmp_path)
    assert shown.returncode == 0 and shown.stderr == ""
    assert all(f"    {module.__name__.rpartition('.')[2]}" in shown.stdout for module in COMMANDS)
