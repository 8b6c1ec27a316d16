"""Options of every command that speaks to a service: where it is, and with which key."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.host.cli.output import Output
from strop.runtime.errors import InputError

if TYPE_CHECKING:
    from strop.service.client import Client

URL_VARIABLE, KEY_VARIABLE = "STROP_URL", "STROP_KEY"
DEFAULT_URL = "http://127.0.0.1:8080"


def add_remote(parser: argparse.ArgumentParser) -> None:
    """Add where the service is."""
    group = parser.add_argument_group("service")
    group.add_argument("--on", metavar="URL", help=f"of the service (default: ${URL_VARIABLE}, or {DEFAULT_URL})")
    add_key_file(group)


def add_key_file(group: Any) -> None:
    """Add where the key is read from. It is no argument: everybody can see those in the list of processes."""
    group.add_argument("--key-file", metavar="FILE", help=f"file with the key (default: the key in ${KEY_VARIABLE})")


def open_client(arguments: argparse.Namespace) -> Client:
    """Return a client of the service that the command line or the environment names."""
    with service_packages():
        from strop.service.client import Client
    url = arguments.on or os.environ.get(URL_VARIABLE) or DEFAULT_URL
    return Client(url, _key(arguments.key_file))


@contextmanager
def service_packages() -> Iterator[None]:
    """Import what not every installation has. Raises InputError with the remedy where it is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "strop":
            raise
        raise InputError(
            f"this needs the package {error.name}, which is not installed: "
            "pip install '.[service]' in the folder of strop's sources"
        ) from error


def _key(path: str | None) -> str | None:
    if path is None:
        return os.environ.get(KEY_VARIABLE) or None
    try:
        return Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--key-file {path} cannot be read: {error}") from None


def show_job(data: dict[str, Any], output: Output) -> None:
    """Print a job: for people what they look for first, else the whole of it."""
    output.facts([(name, value) for name, value in _job_facts(data) if value is not None])
    output.document("strop.job/1", {"job": data})


def _job_facts(data: dict[str, Any]) -> Iterator[tuple[str, object]]:
    spec, progress, result = data["spec"], data["progress"], data["result"]
    request = spec.get("request", {})
    yield "job", data["id"]
    yield "state", data["state"] if data["queue_position"] is None else f"queued, {data['queue_position']} before it"
    yield "kind", data["kind"]
    yield "model", spec.get("model")
    yield "data", request.get("data") if not request.get("shift") else f"{request['data']}, {request['shift']}"
    yield "created", data["created"]
    yield "finished", data["finished"]
    if progress and result is None:
        yield "progress", f"step {progress['step']}/{progress['steps']}, loss {progress['loss']:.3f}"
    if data["error"]:
        yield "error", f"{data['error']['code']}: {data['error']['detail']}"
        yield "remedy", data["error"]["remedy"]
    if result is not None:
        yield from _result_facts(result)


def _result_facts(result: dict[str, Any]) -> Iterator[tuple[str, object]]:
    if "equal" in result:
        verdict = {
            True: "yes, every byte",
            False: f"no: {', '.join(result.get('differ') or [])}",
            None: "not repeatable",
        }
        yield "equal", verdict[result["equal"]]
        yield "reason", result.get("reason")
        return
    yield "version", f"{result['model']}@{result['version']}"
    yield "state", f"sha256 {result['sha256'][:16]}"
    accuracy = result["accuracy"]
    for name, after in accuracy["after"].items():
        before = accuracy["before"][name]
        if before is not None and after is not None:
            yield f"accuracy on {name}", f"{before:.1%} before, {after:.1%} after"
    gate = result["gate"]
    yield "gate", None if gate["passed"] else f"refused: {'; '.join(gate['reasons'])}"
    yield "promoted", gate["promote"] if gate["passed"] else None
