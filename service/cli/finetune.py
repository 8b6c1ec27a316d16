"""`strop finetune --on URL`: the fine-tuning of the host's command, done by a service."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.host.cli.arguments import real
from strop.host.cli.exit_codes import OK
from strop.host.cli.output import Output
from strop.host.cli.progress import duration
from strop.host.cli.sources import Form, check_output, load_split, load_to_measure, load_validation
from strop.host.data import NAMED_DATASETS, Dataset
from strop.runtime.errors import InputError
from strop.service.cli.follow import follow
from strop.service.cli.remote import add_key_file, open_client, show_job
from strop.service.ids import PATTERN

if TYPE_CHECKING:
    from strop.service.client import Client

SAMPLES, PRODUCTION = "samples", "production"
WORDS = (
    "steps", "epochs", "batch", "learning_rate", "schedule", "momentum", "weight_decay", "seed", "shift",
    "checkpoint_every",
)  # fmt: skip
ONLY_REMOTE = (
    "follow", "dry_run", "idempotency_key", "key_file", "promote", "min_accuracy", "reference", "max_forgetting",
)  # fmt: skip
ONLY_LOCAL = {  # and what they are if not given
    "threads": None, "resume": False, "plot": None, "device": "auto", "add_class": None,
    "augment": None,
}  # fmt: skip


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what a fine-tuning by a service takes besides what one here takes."""
    group = parser.add_argument_group("service")
    group.add_argument("--on", metavar="URL", help="let a service do it; CKPT is then NAME, NAME@alias or NAME@number")
    add_key_file(group)
    group.add_argument(
        "--follow", action="store_true", help="show the progress until the end; then --output may be given"
    )
    group.add_argument("--dry-run", action="store_true", help="check and estimate, start nothing")
    group.add_argument("--promote", metavar="ALIAS", help="let this alias point at the new version")
    group.add_argument("--min-accuracy", type=real, metavar="A", help="promote only from this accuracy on, 0 to 1")
    group.add_argument("--reference", metavar="D", help="data of what must not be forgotten")
    group.add_argument(
        "--max-forgetting", type=real, metavar="A", help="promote only if no more is lost on --reference"
    )
    group.add_argument("--idempotency-key", metavar="TEXT", help="the same command twice starts one job")


def wanted(arguments: argparse.Namespace) -> bool:
    """Whether the service is to do it. What only one of the two can do is refused for the other."""
    if arguments.on is None:
        _refuse(arguments, dict.fromkeys(ONLY_REMOTE), "needs --on URL")
        return False
    _refuse(arguments, ONLY_LOCAL, "is for trainings on this machine; leave it out with --on")
    if arguments.output is not None and not arguments.follow:
        arguments.parser.error("--output needs --follow: the file is written when the job has ended")
    if arguments.follow and arguments.dry_run:
        arguments.parser.error("--dry-run starts nothing to --follow")
    return True


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Send the job; follow it if told to; return the exit code."""
    target = None
    if arguments.output is not None:
        target = check_output(arguments.output, replace_with=None if arguments.force else "--force")
    with open_client(arguments) as client:
        words = _words(client, arguments, output)
        if arguments.dry_run:
            _show_estimate(client.estimate(arguments.checkpoint, **words), output)
            return OK
        job = client.finetune(arguments.checkpoint, idempotency_key=arguments.idempotency_key, **words)
        if not arguments.follow:
            show_job(job.data, output)
            output.note(f"follow it with: strop jobs follow {job.id} --on {client.url}")
            return OK
        code = follow(client, job, output)
        if target is not None:
            client.model(job.result["model"]).download(job.result["version"], target)
            output.line(f"checkpoint: {target}")
        return code


def _words(client: Client, arguments: argparse.Namespace, output: Output) -> dict[str, Any]:
    """Return the request: what was given. Data that lies here is sent, and then has a name that the service knows."""
    words = {name: value for name in WORDS if (value := getattr(arguments, name)) is not None}
    if arguments.frozen:
        words["frozen"] = list(arguments.frozen)
    sources = _sources(client, arguments, output)
    gate = {name: getattr(arguments, name) for name in ("min_accuracy", "max_forgetting", "promote")}
    gate["reference"] = sources.pop("reference")
    gate = {name: value for name, value in gate.items() if value is not None}
    return {**words, **sources, **({"gate": gate} if gate else {})}


def _sources(client: Client, arguments: argparse.Namespace, output: Output) -> dict[str, str | None]:
    """Return data, validation and reference as the service knows them."""
    named = {name: getattr(arguments, name) for name in ("data", "validation", "reference")}
    if named["validation"] == "none":
        raise InputError(
            "--validation none is for trainings on this machine; a service measures where there is data to"
        )
    here = {name for name, spec in named.items() if spec is not None and not _known(spec)}
    if not here:
        return named
    form = _form(client, arguments)
    found = {**named, **{name: _sent(client, load_to_measure(named[name], form)) for name in here - {"data"}}}
    if "data" in here:
        found["data"] = _sent(client, load_split(named["data"], "train", form))
        test = (
            load_validation(named["validation"], named["data"], form, output) if named["validation"] is None else None
        )
        found["validation"] = found["validation"] if test is None else _sent(client, test)
    return found


def _sent(client: Client, dataset: Dataset) -> str:
    return str(client.upload(dataset)["id"])


def _known(spec: str) -> bool:
    """Whether the service has the data; a file or folder is on this machine."""
    if spec in NAMED_DATASETS or spec == SAMPLES or re.fullmatch(PATTERN, spec):
        return True
    if not Path(spec).expanduser().exists():
        allowed = f"{', '.join(NAMED_DATASETS)}, {SAMPLES}, the id of a data set of the service, or a path"
        raise InputError(f"there is no {spec}; allowed are {allowed}")
    return False


def _form(client: Client, arguments: argparse.Namespace) -> Form:
    """Return the form in which the service's model takes images."""
    name, _, which = arguments.checkpoint.partition("@")
    model = client.model(name)
    number = int(which) if which.isdecimal() else model.data["aliases"].get(which or PRODUCTION)
    if number is None:
        raise InputError(f"{name} has no alias {which!r}; it has {', '.join(model.data['aliases'])}")
    version = model.version(number)
    channels, height, width = version["shape"]
    return Form(
        layout=arguments.layout,
        labels=arguments.labels,
        network=(channels, height, width),
        classes=tuple(version["classes"]),
    )


def _show_estimate(estimate: dict[str, Any], output: Output) -> None:
    seconds = estimate["modelled_seconds"].items()
    output.facts(
        [
            ("data", f"{estimate['samples']:,} images"),
            ("steps", f"{estimate['steps']:,}"),
            ("peak memory", f"{estimate['memory_bytes'] / 2**20:,.2f} MiB of the device"),
            *((f"on {board}, modelled", duration(took)) for board, took in seconds),
        ]
    )
    output.document("strop.finetune-estimate/1", {"estimate": estimate})


def _refuse(arguments: argparse.Namespace, absent: dict[str, Any], why: str) -> None:
    for name, nothing in absent.items():
        value = getattr(arguments, name)
        if value != nothing and value is not False:
            arguments.parser.error(f"--{name.replace('_', '-')} {why}")
