"""`strop info`: a network layer by layer, what training it takes, and what a checkpoint holds."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from strop.host import Checkpoint, read_manifest, state_digest
from strop.host.cli.arguments import Commands, add_command
from strop.host.cli.exit_codes import OK
from strop.host.cli.output import Output
from strop.host.cli.subject import add_subject, read_subject
from strop.runtime.arena_plan import MemoryReport, plan_memory
from strop.runtime.graph import NetworkGraph
from strop.runtime.planner import align
from strop.runtime.state import StateLayout

EXAMPLE = """examples:
  strop info lenet5 --batch 32
  strop info vgg-small --input 3x32x32 --classes 10
  strop info lenet5-fashion-mnist"""


def add_parser(commands: Commands) -> None:
    """Add `strop info`."""
    parser = add_command(commands, "info", "describe a network or a checkpoint", EXAMPLE, run)
    add_subject(parser, "mini-batch to plan memory for")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Describe; return the exit code."""
    subject = read_subject(arguments)
    named = subject.graph.classes if subject.checkpoint is None else len(subject.checkpoint.classes)
    memory = plan_memory(subject.graph, subject.batch, subject.hyper)
    document = _network(subject.graph, named, subject.batch, memory, output)
    content = None
    if subject.checkpoint is not None and subject.path is not None:
        content = _checkpoint(subject.path, subject.checkpoint)
        output.line()
        output.facts(_checkpoint_facts(subject.path, content))
    output.document("strop.info/1", {"subject": arguments.subject, **document, "checkpoint": content})
    return OK


def _network(graph: NetworkGraph, named: int, batch: int, memory: MemoryReport, output: Output) -> dict[str, Any]:
    """Print a network, of whose outputs `named` have a class, and its memory; return both as plain data."""
    layout = StateLayout(graph)
    layers: list[dict[str, Any]] = []
    for node in graph.nodes:
        tensors = [tensor for tensor in layout.tensors.values() if tensor.name.startswith(f"{node.name}.")]
        trained = [t for t in tensors if t.name in layout.parameters]
        layers.append(
            {
                "name": node.name,
                "kind": node.layer.kind,
                "output": node.output,
                "parameters": sum(t.nbytes // t.dtype.itemsize for t in trained),
                "state_bytes": sum(align(t.nbytes) for t in tensors),
            }
        )
    parameters = sum(layer["parameters"] for layer in layers)
    border = f", with a border of {graph.border}" if graph.border else ""
    spare = graph.classes - named
    classes = f"{named} classes" + (f" and {spare} spare outputs" if spare else "")
    output.line(f"{graph.name}: images of {_by(graph.input)}{border}, {classes}", "bold")
    output.line()
    rows = [[y["name"], y["kind"], _by(y["output"]), f"{y['parameters']:,}", f"{y['state_bytes']:,}"] for y in layers]
    other = layout.nbytes - sum(layer["state_bytes"] for layer in layers)
    rows += [["", "dither counter", "", "", f"{other:,}"], ["total", "", "", f"{parameters:,}", f"{layout.nbytes:,}"]]
    output.table(("layer", "kind", ">output", ">parameters", ">state bytes"), rows, last_is_total=True)
    output.line()
    output.facts([(f"memory to train with mini-batches of {batch}", memory)])
    return {
        "network": graph.name,
        "network_digest": graph.digest(),
        "input": graph.input,
        "border": graph.border,
        "classes": graph.classes,
        "layers": layers,
        "parameters": parameters,
        "state_bytes": layout.nbytes,
        "memory": {"batch": batch, "peak": memory.peak, **asdict(memory)},
    }


def _checkpoint(path: Path, found: Checkpoint) -> dict[str, Any]:
    """Return what a checkpoint says beside its network, as plain data."""
    manifest = read_manifest(path)
    cursor, history = found.cursor, found.history
    return {
        "path": path,
        "file_bytes": path.stat().st_size,
        "steps": found.steps,
        "classes": found.classes,
        "spare_classes": found.graph.classes - len(found.classes),
        "digest": state_digest(found.state),
        **{name: manifest[name] for name in ("format_version", "numerics_version", "strop_version")},
        "settings": found.settings.described(),
        "fit": None
        if cursor is None
        else {"data": str(cursor.dataset), "done": cursor.done, **cursor.hyperparameters()},
        "history": history and history.facts(),
    }


def _checkpoint_facts(path: Path, content: dict[str, Any]) -> list[tuple[str, object]]:
    spare = content["spare_classes"]
    facts: list[tuple[str, object]] = [
        ("checkpoint", f"{path}, {content['file_bytes']:,} bytes"),
        ("training steps", f"{content['steps']:,}"),
        ("state", f"sha256 {content['digest']}"),
        ("versions", "numerics {numerics_version}, format {format_version}, strop {strop_version}".format_map(content)),
        ("classes", ", ".join(content["classes"])),
        *([("spare outputs", f"{spare}, for strop finetune --add-class")] if spare else []),
        ("hyperparameters", _words(content["settings"])),
    ]
    fit = content["fit"]
    if fit is not None:
        state = "finished" if fit["done"] == fit["steps"] else "interrupted: --resume goes on"
        facts += [
            ("last fit", f"{fit['done']:,} of {fit['steps']:,} steps, {state}"),
            ("on data", fit["data"]),
            ("with", _words({name: fit[name] for name in ("learning_rate", "schedule", "seed", "epochs")})),
        ]
    return facts


def _words(values: dict[str, Any]) -> str:
    parts = []
    for name, value in values.items():
        if isinstance(value, dict):
            value = value.get("kind", value)
        if isinstance(value, list):
            value = ", ".join(map(str, value)) or "none"
        parts.append(f"{name.replace('_', ' ')} {value}")
    return "; ".join(parts)


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
