"""`strop models list|show|promote|rollback|history|verify|import|download`: the models of a service."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from strop.host.cli.arguments import Commands, add_command, at_least
from strop.host.cli.exit_codes import OK
from strop.host.cli.output import Output
from strop.host.cli.sources import check_output, checkpoint_path
from strop.service.cli.follow import follow
from strop.service.cli.remote import add_remote, open_client

if TYPE_CHECKING:
    from strop.service.client import Client

PRODUCTION = "production"
EXAMPLE = """examples:
  strop models list --on http://pynq.local:8080
  strop models show lenet5-fashion-mnist
  strop models promote lenet5-fashion-mnist 2 --reason "better in the dark"
  strop models rollback lenet5-fashion-mnist
  strop models history lenet5-fashion-mnist
  strop models verify lenet5-fashion-mnist 2
  strop models import mine.safetensors --name bees
  strop models download lenet5-fashion-mnist 2 --output tuned.safetensors"""
HELP = {
    "list": "list models and what their aliases point at",
    "show": "show a model's versions",
    "promote": "let an alias point at a version, from the next prediction on",
    "rollback": "let an alias point at what it pointed at before",
    "history": "show every change of an alias",
    "verify": "let the service train a version again and compare every byte",
    "import": "send a checkpoint as a new version",
    "download": "write a version into a file",
}


def add_parser(commands: Commands) -> None:
    """Add `strop models` and what it can do."""
    parser = add_command(
        commands, "models", "list, promote, roll back and verify the models of a service", EXAMPLE, run
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    made = {name: add_command(actions, name, text, _example_of(name), run) for name, text in HELP.items()}
    for name in ("show", "promote", "rollback", "history", "verify", "download"):
        made[name].add_argument("model", metavar="MODEL", help="as `strop models list` shows it")
    for name in ("promote", "verify", "download"):
        made[name].add_argument("version", type=at_least(1), metavar="VERSION", help="its number")
    for name in ("promote", "rollback"):
        made[name].add_argument("--alias", default=PRODUCTION, metavar="NAME", help=f"default: {PRODUCTION}")
        made[name].add_argument("--reason", metavar="TEXT", help="kept in the history")
    made["import"].add_argument("checkpoint", metavar="CKPT", help="a checkpoint (.safetensors)")
    made["import"].add_argument("--name", required=True, metavar="MODEL", help="of the model; a new one is made")
    made["download"].add_argument("--output", required=True, metavar="CKPT", help="file to write (.safetensors)")
    made["download"].add_argument("--force", action="store_true", help="replace --output if it exists")
    made["verify"].add_argument("--follow", action="store_true", help="wait for the answer")
    for action in made.values():
        add_remote(action)


def _example_of(action: str) -> str:
    return "\n".join(["example:", *(line for line in EXAMPLE.splitlines() if f"models {action}" in line)])


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Do what the action says; return the exit code."""
    actions: dict[str, Callable[[Client, argparse.Namespace, Output], int]] = {
        "list": _list,
        "show": _show,
        "promote": _promote,
        "rollback": _rollback,
        "history": _history,
        "verify": _verify,
        "import": _import,
        "download": _download,
    }
    with open_client(arguments) as client:
        return actions[arguments.action](client, arguments, output)


def _list(client: Client, arguments: argparse.Namespace, output: Output) -> int:
    found = [model.data for model in client.models()]
    rows = [(each["name"], each["versions"], _aliases(each), each["created"]) for each in found]
    output.table(("model", ">versions", "aliases", "created"), rows)
    output.document("strop.models/1", {"models": found})
    return OK


def _show(client: Client, arguments: argparse.Namespace, output: Output) -> int:
    model = client.model(arguments.model)
    versions = list(model.versions())
    output.facts([("model", model.name), ("aliases", _aliases(model.data))])
    rows = [
        (each["number"], ", ".join(each["aliases"]), _origin(each), _accuracy(each), each["created"])
        for each in versions
    ]
    output.table((">version", "aliases", "from", ">accuracy", "created"), rows)
    output.document("strop.model/1", {"model": {**model.data, "versions": versions}})
    return OK


def _promote(client: Client, arguments: argparse.Namespace, output: Output) -> int:
    answer = client.model(arguments.model).promote(arguments.version, arguments.alias, arguments.reason)
    return _moved(answer, output)


def _rollback(client: Client, arguments: argparse.Namespace, output: Output) -> int:
    model = client.model(arguments.model)
    current = model.data["aliases"].get(arguments.alias)
    return _moved(model.rollback(arguments.alias, arguments.reason, current), output)


def _history(client: Client, arguments: argparse.Namespace, output: Output) -> int:
    found = list(client.model(arguments.model).history())
    rows = [
        (each["at"], each["alias"], each["action"], each["previous"] or "", each["version"], each["reason"] or "")
        for each in found
    ]
    output.table(("at", "alias", "action", ">from", ">to", "reason"), rows)
    output.document("strop.model-history/1", {"model": arguments.model, "history": found})
    return OK


def _verify(client: Client, arguments: argparse.Namespace, output: Output) -> int:
    job = client.model(arguments.model).verify(arguments.version)
    if arguments.follow:
        return follow(client, job, output)
    output.line(f"{job.id} is queued: strop jobs follow {job.id} --on {client.url}")
    output.document("strop.job/1", {"job": job.data})
    return OK


def _import(client: Client, arguments: argparse.Namespace, output: Output) -> int:
    answer = client.import_model(checkpoint_path(arguments.checkpoint), arguments.name)
    output.line(f"{answer['model']}@{answer['number']}: imported, sha256 {answer['sha256'][:16]}", "green")
    output.document("strop.model-version/1", {"version": answer})
    return OK


def _download(client: Client, arguments: argparse.Namespace, output: Output) -> int:
    target = check_output(arguments.output, replace_with=None if arguments.force else "--force")
    path = client.model(arguments.model).download(arguments.version, target)
    output.line(f"{arguments.model}@{arguments.version}: written to {target}", "green")
    content = {"model": arguments.model, "version": arguments.version, "output": target, "bytes": path.stat().st_size}
    output.document("strop.model-download/1", content)
    return OK


def _moved(answer: dict[str, Any], output: Output) -> int:
    before = "nothing" if answer["previous"] is None else answer["previous"]
    what = (
        f"version {answer['version']}, before: {before}"
        if answer["changed"]
        else f"version {answer['version']} already"
    )
    output.line(f"{answer['model']}: {answer['alias']} is {what}", "green")
    output.document("strop.model-alias/1", answer)
    return OK


def _aliases(model: dict[str, Any]) -> str:
    return ", ".join(f"{alias} {number}" for alias, number in model["aliases"].items())


def _origin(version: dict[str, Any]) -> str:
    if version["parent"] is None:
        return str(version["source"] or "")
    return f"{version['parent']}, {version['data'] or version['job']}"


def _accuracy(version: dict[str, Any]) -> str:
    reached = ((version["accuracy"] or {}).get("after") or {}).get("validation")
    return "" if reached is None else f"{reached:.1%}"
