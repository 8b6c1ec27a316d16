"""`strop service`: what it would install, and that it installs what it was told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from strop.service.cli import service as command
from strop.service.systemd import UNIT, InstallError


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What would have been installed."""
    calls: list[dict[str, Any]] = []

    def install(settings: Any, **words: Any) -> Path:
        calls.append({"settings": settings, **words})
        return Path("/etc/systemd/system") / UNIT

    monkeypatch.setattr("strop.service.systemd.install_unit", install)
    return calls


def test_print_shows_the_unit_and_installs_nothing(cli, installed):
    """Protects who wants to see first: the unit with the settings that were given, as text and as a document."""
    words = ("service", "print", "--data", "/var/lib/bees", "--port", 8090, "--device", "emulator", "--user", "bees")
    ran = cli(*words)
    assert ran.code == 0 and "ExecStart=" in ran.out and "User=bees" in ran.out
    assert "STROP_PORT=8090" in ran.out and "STROP_DATA=/var/lib/bees" in ran.out
    document = cli(*words, "--json").document
    assert document["unit"].strip() == ran.out.strip() and document["board"] is False
    assert cli("service", "print", "--device", "board", "--json").document["board"] is True
    assert cli("service", "print", "--port", "none").code == 4
    assert installed == []


def test_install_passes_on_what_was_given(cli, installed):
    """Protects the installation: settings and user are the command line's; where the data is going to be is told."""
    ran = cli("service", "install", "--data", "/var/lib/bees", "--device", "emulator", "--json")
    assert ran.code == 0 and ran.document["data"] == "/var/lib/bees"
    assert str(installed[0]["settings"].data) == "/var/lib/bees"
    assert (installed[0]["board"], installed[0]["user"]) == (False, None)
    people = cli("service", "install", "--device", "board", "--user", "root")
    assert "strop keys create" in people.out and "journalctl -u strop" in people.out
    assert (installed[1]["board"], installed[1]["user"]) == (True, "root")


def test_the_board_that_is_there_is_allowed(cli, installed, monkeypatch):
    """Protects --device auto on a board: the unit must let the worker at it."""
    monkeypatch.setattr(command, "on_a_board", lambda: True)
    cli("service", "install")
    monkeypatch.setattr(command, "on_a_board", lambda: False)
    cli("service", "install")
    assert [call["board"] for call in installed] == [True, False]


def test_uninstall(cli, monkeypatch):
    """Protects the way back, and its refusal: what cannot be removed is 4, with the reason."""
    monkeypatch.setattr("strop.service.systemd.uninstall_unit", lambda: Path("/etc/systemd/system") / UNIT)
    ran = cli("service", "uninstall", "--json")
    assert ran.code == 0 and ran.document["unit"].endswith(UNIT)

    def refuse() -> Path:
        raise InstallError("not installed")

    monkeypatch.setattr("strop.service.systemd.uninstall_unit", refuse)
    assert cli("service", "uninstall").code == 4


def test_each_action_explains_itself(cli):
    """Protects the help of the actions: each says what it does and shows an example that is its own."""
    for action in command.HELP:
        ran = cli("service", action, "--help")
        assert ran.code == 0 and ran.out.count("strop service ") == 2 and f"strop service {action}" in ran.out
