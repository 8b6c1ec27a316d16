"""`strop evaluate`: loss and accuracy of a checkpoint on labelled images."""

from __future__ import annotations

import argparse

from strop.host import Model
from strop.host.cli.arguments import Commands, add_command, add_device, add_measured_data
from strop.host.cli.exit_codes import OK
from strop.host.cli.output import Output
from strop.host.cli.sources import checkpoint_path, load_measured

EXAMPLE = """examples:
  strop evaluate lenet5-fashion-mnist --data fashion-mnist-subset
  strop evaluate mine.safetensors --data photos/ --shift invert --json"""


def add_parser(commands: Commands) -> None:
    """Add `strop evaluate`."""
    parser = add_command(commands, "evaluate", "measure a checkpoint on labelled images; changes nothing", EXAMPLE, run)
    parser.add_argument("checkpoint", metavar="CKPT", help="a checkpoint, or lenet5-fashion-mnist")
    add_measured_data(parser)
    add_device(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Evaluate and print; return the exit code."""
    model = Model.load(checkpoint_path(arguments.checkpoint), device=arguments.device, threads=arguments.threads)
    with model:
        dataset = load_measured(arguments, model)
        measured = model.evaluate(dataset)
        output.facts(
            [
                ("data", f"{dataset.name}, {measured.samples:,} images"),
                ("accuracy", f"{measured.accuracy:.2%}"),
                ("error", f"{measured.error:.2%}"),
                ("loss", f"{measured.loss:.4f} nats"),
                ("device", model.device.description),
            ]
        )
        output.document(
            "strop.evaluate/1",
            {
                "checkpoint": arguments.checkpoint,
                "data": dataset.name,
                "samples": measured.samples,
                "accuracy": measured.accuracy,
                "error": measured.error,
                "loss": measured.loss,
                "device": model.device.description,
            },
        )
    return OK
