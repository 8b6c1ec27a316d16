"""Options of the commands that work on this machine's service itself: the settings of service/settings.py."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from strop.service.cli.remote import service_packages

if TYPE_CHECKING:
    from strop.service.settings import Settings

HELP = {
    "host": ("ADDRESS", "to listen on (default: 127.0.0.1); other machines need a key"),
    "port": ("N", "to listen on (default: 8080)"),
    "data": ("FOLDER", "for everything that is kept (default: ~/.local/share/strop/service)"),
    "device": ("NAME", "that trains: auto (the default), board, emulator, reference or emulated-board"),
}


def add_settings(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add options for some settings. What is not given comes from the environment, then from --config."""
    group = parser.add_argument_group("service", "Further settings: STROP_... in the environment, or --config.")
    for name in names:
        metavar, help = HELP[name]
        group.add_argument(f"--{name}", metavar=metavar, help=help)
    group.add_argument("--config", metavar="TOML", help="file with settings")
    parser.set_defaults(settings=names)


def read_settings(arguments: argparse.Namespace) -> Settings:
    """Return the settings. Raises `SettingsError`."""
    with service_packages():
        from strop.service.settings import CONFIG, Settings
    given = {name: value for name in arguments.settings if (value := getattr(arguments, name)) is not None}
    if arguments.config is None:
        return Settings(**given)
    before = os.environ.get(CONFIG)
    os.environ[CONFIG] = os.path.expanduser(arguments.config)
    try:
        return Settings(**given)
    finally:
        if before is None:
            del os.environ[CONFIG]
        else:
            os.environ[CONFIG] = before
