"""`strop predict`: a class and its probability for image files or for a data set."""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from strop.host import Model
from strop.host.cli.arguments import Commands, add_command, add_device, add_measured_data
from strop.host.cli.exit_codes import OK
from strop.host.cli.output import Output
from strop.host.cli.sources import checkpoint_path, load_measured
from strop.host.data import load_image

EXAMPLE = """examples:
  strop predict mine.safetensors shoe.jpg bag.png
  strop predict lenet5-fashion-mnist --data fashion-mnist-subset --json"""


def add_parser(commands: Commands) -> None:
    """Add `strop predict`."""
    parser = add_command(commands, "predict", "say what images show; changes nothing", EXAMPLE, run)
    parser.add_argument("checkpoint", metavar="CKPT", help="a checkpoint, or lenet5-fashion-mnist")
    parser.add_argument("images", nargs="*", metavar="IMAGE", help="files, brought to the network's size; needs Pillow")
    add_measured_data(parser, required=False)
    add_device(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Predict and print; return the exit code."""
    if bool(arguments.images) == (arguments.data is not None):
        arguments.parser.error("pass image files or --data, one of the two")
    if arguments.images and (arguments.shift or arguments.split or arguments.layout or arguments.labels):
        arguments.parser.error("--shift, --split, --layout and --labels are for --data")
    model = Model.load(checkpoint_path(arguments.checkpoint), device=arguments.device, threads=arguments.threads)
    with model:
        names, images, truths = _inputs(arguments, model)
        found = model.predict(images)
        labels = found.labels.tolist()
        rows = []
        for index, (name, label) in enumerate(zip(names, labels, strict=True)):
            probability = float(found.probabilities[index, label])
            rows.append((name, model.classes[label], f"{probability:.1%}", *truths[index : index + 1]))
        output.table(("image", "class", ">probability", *(["labelled"] if truths else [])), rows)
        output.document(
            "strop.predict/1",
            {
                "checkpoint": arguments.checkpoint,
                "classes": model.classes,
                "predictions": [
                    {
                        "image": name,
                        "label": label,
                        "class": model.classes[label],
                        "probability": found.probabilities[index, label],
                        "probabilities": found.probabilities[index],
                        **({"labelled": truths[index]} if truths else {}),
                    }
                    for index, (name, label) in enumerate(zip(names, labels, strict=True))
                ],
                "device": model.device.description,
            },
        )
    return OK


def _inputs(arguments: argparse.Namespace, model: Model) -> tuple[list[str], NDArray[np.uint8], list[str]]:
    """Return names, images uint8 [n, C, H, W], and what their labels say (nothing for files)."""
    if arguments.data is None:
        return arguments.images, np.stack([load_image(path, model.graph.input) for path in arguments.images]), []
    dataset = load_measured(arguments, model)
    names = [str(index) for index in range(len(dataset))]
    return names, dataset.images, [model.classes[label] for label in dataset.labels.tolist()]
