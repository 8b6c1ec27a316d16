"""`strop train`: a network of the zoo from first weights, or on from an interruption."""

from __future__ import annotations

import argparse
from dataclasses import replace

from strop.host import Model, read_checkpoint
from strop.host.classes import wider
from strop.host.cli.arguments import (
    Commands,
    Defaults,
    add_command,
    add_data,
    add_device,
    add_results,
    add_training,
    at_least,
    height_and_width,
)  # fmt: skip
from strop.host.cli.exit_codes import OK
from strop.host.cli.output import Output
from strop.host.cli.sources import Form, load_split, load_validation
from strop.host.cli.training import (
    Targets,
    check_targets,
    epoch_table,
    fit_words,
    refuse_changes,
    train_with_progress,
    training_document,
    training_facts,
)  # fmt: skip
from strop.host.data import Dataset, shift_dataset
from strop.host.models import MODELS, build_model
from strop.runtime.errors import InputError

DEFAULTS = Defaults(epochs=1, steps=None, batch=128, learning_rate=0.1, schedule="constant")
EXAMPLE = """examples:
  strop train lenet5 --data fashion-mnist-subset --output lenet5.safetensors
  strop train vgg-small --data fashion-mnist --epochs 3 --schedule step --output vgg.safetensors --plot vgg.png"""


def add_parser(commands: Commands) -> None:
    """Add `strop train`."""
    parser = add_command(commands, "train", "train a network from first weights", EXAMPLE, run)
    parser.add_argument("network", metavar="NETWORK", help=", ".join(MODELS))
    add_data(parser)
    parser.add_argument(
        "--image-size", type=height_and_width, metavar="HxW", help="size of images that are decoded from files"
    )
    parser.add_argument(
        "--spare-classes", type=at_least(0), metavar="N", help="more outputs, for classes that come later (default: 0)"
    )
    add_training(parser, DEFAULTS)
    add_results(parser)
    add_device(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Train and report; return the exit code."""
    targets = check_targets(arguments)
    form = Form(layout=arguments.layout, labels=arguments.labels, size=arguments.image_size)
    dataset = load_split(arguments.data, "train", form)
    form = replace(form, classes=dataset.classes)
    validation = load_validation(arguments.validation, arguments.data, form, output)
    if arguments.shift:
        dataset = shift_dataset(dataset, arguments.shift)
        validation = validation and shift_dataset(validation, arguments.shift)
    where = {"device": arguments.device, "threads": arguments.threads}
    if arguments.resume:
        spare = _spare_classes(targets, arguments)
        declared = wider(build_model(arguments.network, dataset.image_shape, len(dataset.classes)), spare)
        model = Model.load(targets.output, graph=declared, **where)
        refuse_changes(arguments, model)
    else:
        seed = DEFAULTS.seed if arguments.seed is None else arguments.seed
        spare = arguments.spare_classes or 0
        shape, classes = dataset.image_shape, dataset.classes
        model = Model.create(arguments.network, input=shape, classes=classes, spare_classes=spare, seed=seed, **where)
    with model:
        _train(model, dataset, validation, targets, arguments, output)
    return OK


def _spare_classes(targets: Targets, arguments: argparse.Namespace) -> int:
    """Return how many spare outputs the interrupted training has. Raises InputError where others are asked for."""
    found = read_checkpoint(targets.output)
    spare = found.graph.classes - len(found.classes)
    if arguments.spare_classes not in (None, spare):
        raise InputError(
            f"--spare-classes is {arguments.spare_classes}, but this training began with {spare}; leave "
            "--spare-classes out"
        )
    return spare


def _train(
    model: Model,
    dataset: Dataset,
    validation: Dataset | None,
    targets: Targets,
    arguments: argparse.Namespace,
    output: Output,
) -> None:
    history = train_with_progress(
        model,
        dataset,
        validation,
        targets,
        title=model.graph.name,
        words=None if arguments.resume else fit_words(arguments, DEFAULTS),
        checkpoint_every=arguments.checkpoint_every,
    )
    output.line()
    epoch_table(history, output)
    output.line()
    output.facts([("data", f"{dataset.name}, {len(dataset):,} images"), *training_facts(model, history, targets)])
    output.document("strop.train/1", {"data": dataset.name, **training_document(model, history, targets)})
