"""`strop info`: a network layer by layer, what training it takes, and what a checkpoint holds."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from strop.host import Checkpoint, read_checkpoint, read_manifest, state_digest
from strop.host.cli.arguments import Commands, add_command, at_least
from strop.host.cli.exit_codes import OK
from strop.host.cli.output import Output
from strop.host.cli.sources import checkpoint_path
from strop.host.models import MODELS, build_model
from strop.runtime.graph import NetworkGraph
from strop.runtime.planner import align
from strop.runtime.session import MemoryReport, plan_memory
from strop.runtime.state import StateLayout

DEFAULT_INPUT, DEFAULT_CLASSES, DEFAULT_BATCH = (1, 28, 28), 10, 128
TRAINED = (".weight", ".bias", ".gamma", ".beta")
EXAMPLE = """examples:
  strop info lenet5 --batch 32
  strop info vgg-small --input 3x32x32 --classes 10
  strop info lenet5-fashion-mnist"""


def add_parser(commands: Commands) -> None:
    """Add `strop info`."""
    parser = add_command(commands, "info", "describe a network or a checkpoint", EXAMPLE, run)
    parser.add_argument("subject", metavar="CKPT|NETWORK", help=f"a checkpoint, or {', '.join(MODELS)}")
    parser.add_argument("--batch", type=at_least(2), metavar="N", help="mini-batch to plan memory for")
    parser.add_argument("--input", type=_shape, metavar="CxHxW", help="images of a NETWORK (default: 1x28x28)")
    parser.add_argument("--classes", type=at_least(2), metavar="N", help="outputs of a NETWORK (default: 10)")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Describe; return the exit code."""
    if arguments.subject in MODELS:
        shape, classes = arguments.input or DEFAULT_INPUT, arguments.classes or DEFAULT_CLASSES
        graph = build_model(arguments.subject, shape, classes)
        batch = arguments.batch or DEFAULT_BATCH
        document = _network(graph, batch, plan_memory(graph, batch), output)
        output.document("strop.info/1", {"subject": arguments.subject, **document, "checkpoint": None})
        return OK
    if arguments.input or arguments.classes:
        arguments.parser.error("--input and --classes are for a NETWORK; a checkpoint has its own")
    path = checkpoint_path(arguments.subject, *MODELS)
    found = read_checkpoint(path)
    batch = arguments.batch or found.settings.batch
    document = _network(found.graph, batch, plan_memory(found.graph, batch, found.settings.hyper), output)
    content = _checkpoint(path, found)
    output.line()
    output.facts(_checkpoint_facts(path, content))
    output.document("strop.info/1", {"subject": arguments.subject, **document, "checkpoint": content})
    return OK


def _network(graph: NetworkGraph, batch: int, memory: MemoryReport, output: Output) -> dict[str, Any]:
    """Print a network and its memory; return both as plain data."""
    layout = StateLayout(graph)
    layers: list[dict[str, Any]] = []
    for node in graph.nodes:
        tensors = [tensor for tensor in layout.tensors.values() if tensor.name.startswith(f"{node.name}.")]
        trained = [t for t in tensors if t.name.endswith(TRAINED)]
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
    output.line(f"{graph.name}: images of {_by(graph.input)}{border}, {graph.classes} classes", "bold")
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
        "digest": state_digest(found.state),
        **{name: manifest[name] for name in ("format_version", "numerics_version", "strop_version")},
        "settings": found.settings.described(),
        "fit": None
        if cursor is None
        else {"data": str(cursor.dataset), "done": cursor.done, **cursor.hyperparameters()},
        "history": history and history.facts(),
    }


def _checkpoint_facts(path: Path, content: dict[str, Any]) -> list[tuple[str, object]]:
    facts: list[tuple[str, object]] = [
        ("checkpoint", f"{path}, {content['file_bytes']:,} bytes"),
        ("training steps", f"{content['steps']:,}"),
        ("state", f"sha256 {content['digest']}"),
        ("versions", "numerics {numerics_version}, format {format_version}, strop {strop_version}".format_map(content)),
        ("classes", ", ".join(content["classes"])),
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


def _shape(text: str) -> tuple[int, int, int]:
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is no shape; write CHANNELSxHEIGHTxWIDTH, such as 1x28x28")
    return int(parts[0]), int(parts[1]), int(parts[2])
