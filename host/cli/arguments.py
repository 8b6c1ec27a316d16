"""Options that several commands share, and the parser that reports a wrong command line as an exception."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, TypeVar, cast

from strop.host.cli.exit_codes import UsageError
from strop.host.data import AUGMENTATIONS, NAMED_DATASETS, SHIFTS

Auto = Literal["auto"]
Number = TypeVar("Number", int, float)
Commands = Any  # argparse keeps the class of add_subparsers' answer to itself

DATA_HELP = (
    f"{', '.join(NAMED_DATASETS)}, an .npz file, a folder of idx files, CIFAR, SVHN, LSUN or ImageNet as their authors "
    "offer them, or a folder of images by class"
)


@dataclass(frozen=True)
class Defaults:
    """What a command trains with where the command line says nothing. One of epochs and steps is None."""

    epochs: int | None
    steps: int | None
    batch: int
    learning_rate: float
    schedule: str
    momentum: float = 0.9
    weight_decay: float = 0.0
    augment: str | None = None
    seed: int = 0


class Parser(argparse.ArgumentParser):
    """A parser that raises `UsageError` and takes no abbreviations, which would tie the hands of later versions."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": _Help, **options})

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError`."""
        raise UsageError(message, self.format_usage().strip())


class _Help(argparse.RawDescriptionHelpFormatter):
    """Leaves epilogs as they are written: they are examples."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)


def add_command(commands: Commands, name: str, help: str, example: str, run: Callable[..., int]) -> Parser:
    """Add a command with the options that every command has; return its parser."""
    parser = cast(
        Parser, commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".", epilog=example)
    )
    parser.set_defaults(run=run, parser=parser)
    group = parser.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="print one JSON document on stdout and nothing else there")
    group.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add where to compute."""
    group = parser.add_argument_group("device")
    group.add_argument(
        "--device",
        default="auto",
        metavar="NAME",
        help="auto (the default), board, emulator, reference or emulated-board; equal bytes",
    )
    group.add_argument("--threads", type=at_least(1), metavar="N", help="threads of the emulator (default: all cores)")


def add_data(parser: argparse.ArgumentParser, *, required: bool = True, shift: bool = True) -> None:
    """Add what to compute on."""
    parser.add_argument("--data", required=required, metavar="D", help=DATA_HELP)
    parser.add_argument("--layout", choices=("NCHW", "NHWC"), help="order of axes in an .npz file")
    parser.add_argument("--labels", choices=("fine", "coarse"), help="classes of CIFAR-100 (default: fine)")
    if shift:
        parser.add_argument("--shift", choices=tuple(SHIFTS), help="apply this drift to the images of --data")


def add_measured_data(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add labelled images to measure or predict on."""
    add_data(parser, required=required)
    parser.add_argument("--split", choices=("train", "test", "all"), help="part of --data (default: test, or all)")


def add_training(parser: argparse.ArgumentParser, defaults: Defaults) -> None:
    """Add how to train. What is not given is None, so that --resume can tell what was."""
    group = parser.add_argument_group("training")
    length = f"{defaults.epochs} epoch" if defaults.epochs else f"{defaults.steps} steps"
    many = group.add_mutually_exclusive_group()
    many.add_argument("--epochs", type=at_least(1), metavar="N", help=f"passes over the data (default: {length})")
    many.add_argument("--steps", type=at_least(1), metavar="N", help="mini-batches, instead of epochs")
    group.add_argument(
        "--batch", type=_or_auto(at_least(2)), metavar="N", help=f"samples a step or auto (default: {defaults.batch})"
    )
    group.add_argument(
        "--lr",
        type=_or_auto(real),
        metavar="RATE",
        dest="learning_rate",
        help=f"learning rate, or auto (default: {defaults.learning_rate:g})",
    )
    group.add_argument(
        "--schedule",
        choices=("constant", "step", "paper", "cosine"),
        help=f"of the learning rate (default: {defaults.schedule})",
    )
    group.add_argument("--momentum", type=real, metavar="M", help=f"0 to 0.996 (default: {defaults.momentum})")
    group.add_argument(
        "--weight-decay", type=real, metavar="W", help=f"on weights (default: {defaults.weight_decay:g})"
    )
    group.add_argument(
        "--augment",
        choices=tuple(AUGMENTATIONS),
        help="vary the training images: pad by 4, crop at random, mirror (default: not)",
    )
    group.add_argument(
        "--seed", type=at_least(0), metavar="N", help=f"of sample order and first weights (default: {defaults.seed})"
    )
    group.add_argument(
        "--validation",
        metavar="D",
        help="data to measure on after each epoch, or none (default: the test part of --data)",
    )


def add_results(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add where results go."""
    group = parser.add_argument_group("results")
    group.add_argument("--output", required=required, metavar="CKPT", help="checkpoint to write (.safetensors)")
    group.add_argument("--plot", metavar="PNG", help="draw loss and accuracy into this file")
    group.add_argument("--checkpoint-every", type=at_least(1), metavar="N", help="write --output every N steps as well")
    group.add_argument("--resume", action="store_true", help="go on with the interrupted training in --output")
    group.add_argument("--force", action="store_true", help="replace --output if it exists")


def at_least(least: int) -> Callable[[str], int]:
    """Return a type of argument: whole numbers from `least` on."""

    def whole(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is not allowed; at least {least}")
        return value

    return whole


def real(text: str) -> float:
    """A type of argument: real numbers from 0 on. What else is not allowed, the training says."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0.0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not allowed; 0 or more, and finite")
    return value


def _or_auto(kind: Callable[[str], Number]) -> Callable[[str], Number | Auto]:
    return lambda text: "auto" if text == "auto" else kind(text)


def height_and_width(text: str) -> tuple[int, int]:
    """A type of argument: HEIGHTxWIDTH, such as 28x28."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write HEIGHTxWIDTH, such as 28x28")
    return int(parts[0]), int(parts[1])


def names(text: str) -> tuple[str, ...]:
    """A type of argument: names with commas between them."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        raise argparse.ArgumentTypeError("no names in it; write conv1,conv2")
    return found
