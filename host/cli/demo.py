"""`strop demo`: the whole idea in seconds. A pre-trained network meets images that have changed, and learns them."""

from __future__ import annotations

import argparse
from pathlib import Path

from strop.host import Model
from strop.host.cli.arguments import Commands, add_command, add_device, at_least
from strop.host.cli.exit_codes import OK
from strop.host.cli.finetune import measure
from strop.host.cli.output import Output
from strop.host.cli.sources import can_plot, check_output, check_plot
from strop.host.cli.training import (
    Targets,
    before_and_after,
    evaluation_document,
    train_with_progress,
    training_document,
    training_facts,
)  # fmt: skip
from strop.host.data import SHIFTS, load_fashion_mnist_subset, shift_dataset
from strop.host.pretrained import pretrained_path

STEPS, BATCH, LEARNING_RATE, SCHEDULE = 300, 32, 0.01, "step"
WHAT_CHANGED = {
    "invert": "photographic negatives",
    "rotate90": "images turned by a quarter",
    "noise": "noisy images",
    "contrast": "images at a third of their contrast",
}
EXAMPLE = """examples:
  strop demo
  strop demo --shift rotate90 --steps 600 --output-dir rotated"""


def add_parser(commands: Commands) -> None:
    """Add `strop demo`."""
    parser = add_command(commands, "demo", "fine-tune a pre-trained LeNet-5 for images that have changed", EXAMPLE, run)
    parser.add_argument("--shift", choices=tuple(SHIFTS), default="invert", help="what changes (default: invert)")
    parser.add_argument(
        "--steps", type=at_least(1), default=STEPS, metavar="N", help=f"mini-batches (default: {STEPS})"
    )
    parser.add_argument(
        "--output-dir", default="strop-demo", metavar="FOLDER", help="for results (default: strop-demo)"
    )
    add_device(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Show fine-tuning; return the exit code."""
    source = pretrained_path()
    targets = _targets(Path(arguments.output_dir).expanduser(), arguments.shift, output)
    with Model.load(source, device=arguments.device, threads=arguments.threads) as model:
        _show(model, targets, arguments, output)
    return OK


def _show(model: Model, targets: Targets, arguments: argparse.Namespace, output: Output) -> None:
    training, test = load_fashion_mnist_subset("train"), load_fashion_mnist_subset("test")
    shifted = shift_dataset(training, arguments.shift)
    changed = WHAT_CHANGED[arguments.shift]
    output.line(f"A LeNet-5 that was trained on Fashion-MNIST meets {changed}.", "bold")
    output.line(
        f"{arguments.steps} steps of {BATCH} images in int8, forward and backward, on the {model.device.name}.\n"
    )
    tests = {f"{changed} (1,000 test images)": shift_dataset(test, arguments.shift), "the originals of these": test}
    before = measure(model, tests)
    words = {"steps": arguments.steps, "batch": BATCH, "learning_rate": LEARNING_RATE, "schedule": SCHEDULE}
    history = train_with_progress(
        *(model, shifted, next(iter(tests.values())), targets),
        title="fine-tuning",
        words=words,
        go_on="strop evaluate takes it",
    )
    after = measure(model, tests)
    output.line()
    before_and_after(before, after, output)
    output.line("\nWhat is lost on the originals is forgetting: they were not trained on again.\n")
    output.facts(training_facts(model, history, targets))
    found = {
        key: {"before": evaluation_document(before[name]), "after": evaluation_document(after[name])}
        for key, name in zip(("shifted", "original"), tests, strict=True)
    }
    output.document("strop.demo/1", {"shift": arguments.shift, **found, **training_document(model, history, targets)})


def _targets(folder: Path, shift: str, output: Output) -> Targets:
    """Return where results go; the folder is made, and what an earlier demo left in it may be replaced."""
    if not folder.is_dir():
        check_output(str(folder), replace_with="another --output-dir")
        folder.mkdir()
    name = {"invert": "lenet5-inverted"}.get(shift, f"lenet5-{shift}")
    plot = None
    if can_plot():
        plot = check_plot(str(folder / "finetune.png"))
    else:
        output.note("no plot: matplotlib is not installed (pip install matplotlib)")
    return Targets(check_output(str(folder / f"{name}.safetensors"), replace_with=None), plot)
