"""`strop service install|uninstall|print`: the service as a unit of systemd, started at every boot."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from strop.host.cli.arguments import Commands, add_command
from strop.host.cli.exit_codes import OK
from strop.host.cli.output import Output
from strop.runtime.device import on_a_board
from strop.service.cli.remote import service_packages
from strop.service.cli.settings import add_settings, read_settings

if TYPE_CHECKING:
    from strop.service.settings import Settings

EXAMPLE = """examples:
  sudo strop service install --data /var/lib/strop --device board
  sudo strop service uninstall
  strop service print --data /var/lib/strop"""
HELP = {
    "install": "write the unit, start it now and at every boot; needs root",
    "uninstall": "stop it and remove the unit; the data stays; needs root",
    "print": "show the unit and install nothing",
}


def add_parser(commands: Commands) -> None:
    """Add `strop service` and what it can do."""
    parser = add_command(commands, "service", "let systemd run the service at every boot", EXAMPLE, run)
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    made = {name: add_command(actions, name, text, _example_of(name), run) for name, text in HELP.items()}
    for name in ("install", "print"):
        made[name].add_argument("--user", metavar="NAME", help="to run as (default: root with a board, else strop)")
        add_settings(made[name], "host", "port", "data", "device")


def _example_of(action: str) -> str:
    return "\n".join(["example:", *(line for line in EXAMPLE.splitlines() if f"service {action}" in line)])


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Do what the action says; return the exit code."""
    with service_packages():
        from strop.service.systemd import UNIT, USER, for_system, install_unit, uninstall_unit, unit_text
    if arguments.action == "uninstall":
        path = uninstall_unit()
        output.line(f"{UNIT} is stopped and removed; the data stays")
        output.document("strop.service-uninstall/1", {"unit": path})
        return OK
    settings = read_settings(arguments)
    board = needs_board(settings)
    if arguments.action == "print":
        text = unit_text(settings, board=board, user=arguments.user or ("root" if board else USER))
        output.line(text.rstrip())
        output.document("strop.service-unit/1", {"unit": text, "board": board})
        return OK
    path = install_unit(settings, board=board, user=arguments.user)
    data = for_system(settings).data
    output.facts([("installed", path), ("data", data), ("log", f"journalctl -u {UNIT}")])
    output.line(f"It runs. Keys for other machines: strop keys create NAME --scopes train,predict --data {data}")
    output.document("strop.service-install/1", {"unit": path, "board": board, "data": data})
    return OK


def needs_board(settings: Settings) -> bool:
    """Whether the worker will drive a board: it is told to, or it takes what there is and there is one."""
    return settings.device == "board" or (settings.device == "auto" and on_a_board())
