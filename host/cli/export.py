"""`strop export`: a trained network as a file for other programs."""

from __future__ import annotations

import argparse

from strop.host import read_checkpoint
from strop.host.cli.arguments import Commands, add_command
from strop.host.cli.exit_codes import OK
from strop.host.cli.output import Output
from strop.host.cli.sources import check_output, checkpoint_path
from strop.host.export import FORMATS, export_checkpoint

EXAMPLE = """examples:
  strop export lenet5-fashion-mnist --format c-header -o lenet5.h
  strop export mine.safetensors --format safetensors -o weights.safetensors"""


def add_parser(commands: Commands) -> None:
    """Add `strop export`."""
    parser = add_command(commands, "export", "write a trained network for other programs", EXAMPLE, run)
    parser.add_argument("checkpoint", metavar="CKPT", help="a checkpoint, or lenet5-fashion-mnist")
    about = "; ".join(f"{name}: {format.about}" for name, format in FORMATS.items())
    parser.add_argument("--format", required=True, choices=tuple(FORMATS), help=about)
    parser.add_argument("-o", "--output", required=True, metavar="PATH", help="file to write")
    parser.add_argument("--force", action="store_true", help="replace --output if it exists")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Export and say what was written; return the exit code."""
    source = checkpoint_path(arguments.checkpoint)
    target = check_output(arguments.output, replace_with=None if arguments.force else "--force", sources=[source])
    checkpoint = read_checkpoint(source)
    written = export_checkpoint(checkpoint, arguments.format, target)
    size = written.stat().st_size
    output.facts(
        [
            ("network", f"{checkpoint.graph.name}, {len(checkpoint.classes)} classes, {checkpoint.steps:,} steps"),
            ("format", f"{arguments.format}: {FORMATS[arguments.format].about}"),
            ("written", f"{target}, {size:,} bytes"),
        ]
    )
    output.document(
        "strop.export/1",
        {
            "checkpoint": arguments.checkpoint,
            "network": checkpoint.graph.name,
            "format": arguments.format,
            "output": target,
            "file_bytes": size,
        },
    )
    return OK
