"""`strop import`: an ONNX file of another library as a checkpoint in int8. Modules of PyTorch have `import_torch`."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

import numpy as np

from strop.host.cli.arguments import Commands, add_command, add_data, add_device, at_least
from strop.host.cli.exit_codes import OK
from strop.host.cli.output import Output
from strop.host.cli.progress import LiveLine
from strop.host.cli.sources import Form, Shape, check_output, in_order, load_split_or_all
from strop.host.data import Dataset
from strop.host.importing import Imported, import_onnx
from strop.host.importing.importer import CALIBRATION_IMAGES
from strop.host.importing.onnx_reader import read_onnx
from strop.runtime.errors import InputError

EXAMPLE = """examples:
  strop import resnet.onnx --data fashion-mnist --mean 0.286 --std 0.353 -o resnet.safetensors
  strop import mlp.onnx --data digits.npz --scale 0.0625 --input-shape 1x8x8 -o mlp.safetensors --json"""


def add_parser(commands: Commands) -> None:
    """Add `strop import`."""
    parser = add_command(commands, "import", "make an int8 checkpoint of an ONNX file of another library", EXAMPLE, run)
    parser.add_argument("file", metavar="FILE", help="an .onnx file: a float network that classifies images")
    add_data(parser, shift=False)
    parser.add_argument("-o", "--output", required=True, metavar="CKPT", help="checkpoint to write (.safetensors)")
    parser.add_argument("--force", action="store_true", help="replace --output if it exists")
    group = parser.add_argument_group("images: the network takes (pixel * scale - mean) / std, pixels 0 to 255")
    group.add_argument("--mean", type=numbers, default=(0.0,), metavar="M,..", help="one number or one a channel")
    group.add_argument("--std", type=numbers, default=(1.0,), metavar="S,..", help="one number or one a channel")
    group.add_argument("--scale", type=float, default=1 / 255, metavar="X", help="of a pixel (default: 1/255)")
    group.add_argument("--input-shape", type=shape, metavar="CxHxW", help="where the file does not say it")
    group = parser.add_argument_group("import")
    group.add_argument("--value", metavar="NAME", help="the value in the file that is the logits (default: its output)")
    group.add_argument("--classes", metavar="A,B,..", help="names of the outputs, in order (default: those of --data)")
    group.add_argument(
        "--calibration",
        type=at_least(2),
        default=CALIBRATION_IMAGES,
        metavar="N",
        help=f"images of --data to calibrate with (default: {CALIBRATION_IMAGES})",
    )
    group.add_argument(
        "--statistics",
        choices=("auto", "float", "int8"),
        default="auto",
        help="what L1BN normalizes by: of the float network, of int8, or the better (default: auto)",
    )
    group.add_argument(
        "--border",
        choices=("exact", "nearest"),
        default="exact",
        help="exact: a small layer in front where padding would differ; nearest: pad with black or grey",
    )
    add_device(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Import, report and write; return the exit code."""
    file, replace_with = Path(arguments.file).expanduser(), None if arguments.force else "--force"
    target = check_output(arguments.output, replace_with=replace_with, sources=[file, arguments.data])
    operations, _, _ = read_onnx(file, input_shape=arguments.input_shape, output=arguments.value)
    calibration, test = _data(arguments, operations.input, output)
    with LiveLine(f"import {file.name}") as line:
        imported = import_onnx(
            file,
            calibration=np.asarray(calibration.images[:]),
            test=test,
            mean=arguments.mean,
            std=arguments.std,
            scale=arguments.scale,
            input_shape=arguments.input_shape,
            output=arguments.value,
            classes=test.classes,
            statistics=arguments.statistics,
            border=arguments.border,
            device=arguments.device,
            threads=arguments.threads,
            on_stage=lambda what, done, total: line.show(done, total, lambda: f"{what}  {done}/{total}"),
        )
    with imported.model as model:
        model.save(target)
        output.facts([*imported.report.lines(), ("written to", str(target)), ("device", model.device.description)])
        output.document("strop.import/1", {**_described(imported), "output": str(target), "data": test.name})
    return OK


def _described(imported: Imported) -> dict[str, object]:
    model = imported.model
    facts = {
        "network": model.graph.name,
        "input": model.graph.input,
        "classes": model.classes,
        "digest": model.digest(),
    }
    return {**asdict(imported.report), **facts}


def _data(arguments: argparse.Namespace, network: Shape, output: Output) -> tuple[Dataset, Dataset]:
    """Return images to calibrate with and others to measure on, of the network's size, labels as its outputs."""
    form = Form(layout=arguments.layout, labels=arguments.labels, network=network)
    test, is_whole = load_split_or_all(arguments.data, "test", form)
    if is_whole:
        found, test = _divided(test, arguments.calibration, output)
    else:
        found, _ = load_split_or_all(arguments.data, "train", form)
    if arguments.classes is not None:
        names = tuple(arguments.classes.split(","))
        unknown = sorted(set(found.classes) - set(names))
        if unknown:
            raise InputError(f"--classes does not name {', '.join(unknown)}, which {arguments.data} has")
        found, test = in_order(found, names), in_order(test, names)
    count = min(arguments.calibration, len(found))
    return (found if count == len(found) else found.take(count, 0)), test


def _divided(whole: Dataset, count: int, output: Output) -> tuple[Dataset, Dataset]:
    """Return `count` images of data without splits, at most half of them, and the others."""
    if len(whole) < 4:
        raise InputError(f"{whole.name} has {len(whole)} images and no splits; at least 4 are needed")
    parts = whole.split(min(count, len(whole) // 2), 0)
    output.note(f"no test split: {len(parts[0]):,} images calibrate, and the other {len(parts[1]):,} are measured on")
    return parts


def numbers(text: str) -> tuple[float, ...]:
    """A type of argument: numbers with commas between them."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers such as 0.485,0.456,0.406") from None


def shape(text: str) -> Shape:
    """A type of argument: channels x height x width."""
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is no shape such as 1x28x28")
    return int(parts[0]), int(parts[1]), int(parts[2])
