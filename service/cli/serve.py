"""`strop serve`: answer over HTTP, and train with the device of this machine."""

from __future__ import annotations

import argparse
import socket
from contextlib import suppress

from strop.host.cli.arguments import Commands, add_command
from strop.host.cli.exit_codes import OK
from strop.host.cli.output import Output
from strop.runtime.errors import InputError
from strop.service.cli.remote import service_packages
from strop.service.cli.settings import add_settings, read_settings

EXAMPLE = """examples:
  strop serve
  strop serve --host 0.0.0.0 --port 8080 --data /var/lib/strop --device board"""


def add_parser(commands: Commands) -> None:
    """Add `strop serve`."""
    parser = add_command(commands, "serve", "answer over HTTP: fine-tune, predict, keep models", EXAMPLE, run)
    add_settings(parser, "host", "port", "data", "device")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Serve until SIGTERM or Ctrl-C, which end it well."""
    with service_packages():
        from strop.service.serve import serve
    settings = read_settings(arguments)
    _check_free(settings.host, settings.port)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{host}:{settings.port}"
    output.line(f"strop serves on {url}; what it keeps is in {settings.data}")
    with suppress(KeyboardInterrupt):
        serve(settings)
    output.document("strop.serve/1", {"url": url, "data": settings.data})  # one document: this one or the error's
    return OK


def _check_free(host: str, port: int) -> None:
    """Raise InputError where the address cannot be listened on: before a worker takes the device."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()  # two that reuse an address may both bind it
    except OSError as error:
        raise InputError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}; take others with --host and --port"
        ) from None
