"""`strop finetune`: go on training a checkpoint on other data, and say what was won and what was forgotten."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from strop.host import Evaluation, Model, read_manifest
from strop.host.cli.arguments import (
    Commands,
    Defaults,
    add_command,
    add_data,
    add_device,
    add_results,
    add_training,
    names,
)
from strop.host.cli.exit_codes import OK
from strop.host.cli.extensions import REMOTE_GROUP, extensions
from strop.host.cli.output import Output
from strop.host.cli.sources import checkpoint_path, form_of, load_split, load_validation
from strop.host.cli.training import (
    Targets,
    before_and_after,
    check_targets,
    evaluation_document,
    fit_words,
    refuse_changes,
    train_with_progress,
    training_document,
    training_facts,
)  # fmt: skip
from strop.host.data import Dataset, shift_dataset
from strop.runtime.errors import InputError

DEFAULTS = Defaults(epochs=None, steps=300, batch=32, learning_rate=0.01, schedule="step")
EXAMPLE = """examples:
  strop finetune lenet5-fashion-mnist --data photos/ --output mine.safetensors --plot mine.png
  strop finetune mine.safetensors --data fashion-mnist --shift rotate90 --freeze conv1 --output new.safetensors
  strop finetune mine.safetensors --data photos/ --add-class scarf --output more.safetensors"""


def add_parser(commands: Commands) -> None:
    """Add `strop finetune`."""
    parser = add_command(commands, "finetune", "go on training a checkpoint on other data", EXAMPLE, run)
    parser.add_argument("checkpoint", metavar="CKPT", help="a checkpoint, or lenet5-fashion-mnist; it is not changed")
    add_data(parser)
    add_training(parser, DEFAULTS)
    parser.add_argument(
        "--freeze", dest="frozen", type=names, metavar="LAYERS", help="layers to keep as they are, such as conv1,conv2"
    )
    parser.add_argument(
        "--add-class",
        action="append",
        metavar="NAME",
        help="give an output to a new class of --data; may be repeated",
    )
    remotes = extensions(REMOTE_GROUP)
    add_results(parser, required=not remotes)
    add_device(parser)
    for remote in remotes:
        remote.add_options(parser)
    parser.set_defaults(remotes=remotes)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Fine-tune and report, here or where an option says; return the exit code."""
    for remote in arguments.remotes:
        if remote.wanted(arguments):
            code: int = remote.run(arguments, output)
            return code
    if arguments.output is None:
        arguments.parser.error("the following arguments are required: --output")
    source = checkpoint_path(arguments.checkpoint)
    targets = check_targets(arguments, source)
    with Model.load(source, device=arguments.device, threads=arguments.threads) as model:
        _finetune(model, targets, arguments, output)
    return OK


def _finetune(model: Model, targets: Targets, arguments: argparse.Namespace, output: Output) -> None:
    added = tuple(arguments.add_class or ())
    if arguments.resume:
        _refuse_other_classes(targets, model.classes, added)
    model = with_classes(model, added)
    form = form_of(model, arguments.layout, arguments.labels)
    dataset = load_split(arguments.data, "train", form)
    tests = _tests(load_validation(arguments.validation, arguments.data, form, output), arguments.shift)
    if arguments.shift:
        dataset = shift_dataset(dataset, arguments.shift)
    before = measure(model, tests)
    words = {**fit_words(arguments, DEFAULTS), "frozen": arguments.frozen or ()}
    if arguments.resume:
        model = Model.load(targets.output, graph=model.graph, device=model.device)
        refuse_changes(arguments, model)
    history = train_with_progress(
        model,
        dataset,
        next(iter(tests.values()), None),
        targets,
        title="fine-tuning",
        words=None if arguments.resume else words,
        checkpoint_every=arguments.checkpoint_every,
    )
    after = measure(model, tests)
    output.line()
    if tests:
        before_and_after(before, after, output)
        output.line()
    output.facts([("data", f"{dataset.name}, {len(dataset):,} images"), *training_facts(model, history, targets)])
    document = {
        "source": arguments.checkpoint,
        "data": dataset.name,
        "before": {name: evaluation_document(measured) for name, measured in before.items()},
        "after": {name: evaluation_document(measured) for name, measured in after.items()},
    }
    output.document("strop.finetune/1", {**document, **training_document(model, history, targets)})


def with_classes(model: Model, names: Sequence[str]) -> Model:
    """Return a model that has these classes too, on the same device: the same one if it has outputs to spare."""
    lacking = len(names) - model.spare_classes
    if lacking > 0:
        model = model.with_spare_classes(lacking, device=model.device)
    for name in names:
        model.add_class(name)
    return model


def _refuse_other_classes(targets: Targets, source: tuple[str, ...], added: tuple[str, ...]) -> None:
    """Raise InputError where the interrupted training added other classes to those of its source."""
    began = tuple(map(str, read_manifest(targets.output).get("classes", ())))
    if began[: len(source)] == source and began != source + added:  # all else is another network: told elsewhere
        raise InputError(
            f"--add-class is {', '.join(added) or 'not given'}, but this training began with "
            f"{', '.join(began[len(source) :]) or 'none'}; add the same classes as then"
        )


def measure(model: Model, tests: dict[str, Dataset]) -> dict[str, Evaluation]:
    """Return the evaluation on each data set."""
    return {name: model.evaluate(dataset) for name, dataset in tests.items()}


def _tests(validation: Dataset | None, shift: str | None) -> dict[str, Dataset]:
    """Return what to measure on, by its name for people; the data fine-tuned for comes first."""
    if validation is None:
        return {}
    if shift is None:
        return {validation.name: validation}
    return {f"{validation.name}, {shift}": shift_dataset(validation, shift), validation.name: validation}
