"""A network that a command describes: one of the zoo, or that of a checkpoint."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from strop.host import Checkpoint, read_checkpoint
from strop.host.cli.arguments import at_least
from strop.host.cli.sources import checkpoint_path
from strop.host.models import MODELS, build_model
from strop.runtime.graph import NetworkGraph
from strop.runtime.hyperparameters import Hyperparameters

DEFAULT_INPUT, DEFAULT_CLASSES, DEFAULT_BATCH = (1, 28, 28), 10, 128


@dataclass(frozen=True)
class Subject:
    """The network, mini-batch and hyperparameters to speak of, and the checkpoint that they are from, if any."""

    graph: NetworkGraph
    batch: int
    hyper: Hyperparameters
    path: Path | None = None
    checkpoint: Checkpoint | None = None


def add_subject(parser: argparse.ArgumentParser, batch_help: str) -> None:
    """Add what to describe."""
    parser.add_argument("subject", metavar="CKPT|NETWORK", help=f"a checkpoint, or {', '.join(MODELS)}")
    parser.add_argument("--batch", type=at_least(2), metavar="N", help=batch_help)
    parser.add_argument("--input", type=_shape, metavar="CxHxW", help="images of a NETWORK (default: 1x28x28)")
    parser.add_argument("--classes", type=at_least(2), metavar="N", help="outputs of a NETWORK (default: 10)")


def read_subject(arguments: argparse.Namespace) -> Subject:
    """Return what the command line names. Raises what reading a checkpoint raises."""
    if arguments.subject in MODELS:
        shape, classes = arguments.input or DEFAULT_INPUT, arguments.classes or DEFAULT_CLASSES
        graph = build_model(arguments.subject, shape, classes)
        return Subject(graph, arguments.batch or DEFAULT_BATCH, Hyperparameters())
    if arguments.input or arguments.classes:
        arguments.parser.error("--input and --classes are for a NETWORK; a checkpoint has its own")
    path = checkpoint_path(arguments.subject, *MODELS)
    found = read_checkpoint(path)
    return Subject(found.graph, arguments.batch or found.settings.batch, found.settings.hyper, path, found)


def _shape(text: str) -> tuple[int, int, int]:
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is no shape; write CHANNELSxHEIGHTxWIDTH, such as 1x28x28")
    return int(parts[0]), int(parts[1]), int(parts[2])
