"""What `strop train`, `strop finetune` and `strop demo` share: a fit with progress, and its report."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.host import Evaluation, History, Model, read_manifest
from strop.host.cli.arguments import Defaults
from strop.host.cli.output import Output
from strop.host.cli.progress import ProgressDisplay, duration
from strop.host.cli.sources import check_output, check_plot
from strop.host.data import Dataset
from strop.runtime.errors import CheckpointError, InputError

RESUMED = {  # what a training goes on with, and the option that says it
    "epochs": "--epochs",
    "steps": "--steps",
    "batch": "--batch",
    "learning_rate": "--lr",
    "schedule": "--schedule",
    "momentum": "--momentum",
    "weight_decay": "--weight-decay",
    "augment": "--augment",
    "seed": "--seed",
    "frozen": "--freeze",
    "checkpoint_every": "--checkpoint-every",
}


@dataclass(frozen=True)
class Targets:
    """The files that a training writes; that they can be written has been tried."""

    output: Path
    plot: Path | None


def check_targets(arguments: argparse.Namespace, source: Path | None = None) -> Targets:
    """Return where results go. Raises InputError where something could not be written or would be lost."""
    if arguments.resume:
        output = check_output(arguments.output, replace_with=None)
        if not output.exists():
            raise CheckpointError(f"{arguments.output} does not exist: nothing to resume; leave --resume out to begin")
    else:
        output = check_output(arguments.output, replace_with=None if arguments.force else "--force")
    plot = check_plot(arguments.plot)
    if plot is not None and plot.resolve() in (output.resolve(), source and source.resolve()):
        raise InputError(f"--plot {plot} is a checkpoint of this command; name another file")
    return Targets(output, plot)


def fit_words(arguments: argparse.Namespace, defaults: Defaults) -> dict[str, Any]:
    """Return the keyword arguments of `Model.fit` that the command line and its defaults make."""
    words = {
        name: given if (given := getattr(arguments, name)) is not None else getattr(defaults, name)
        for name in ("batch", "learning_rate", "schedule", "momentum", "weight_decay", "augment", "seed")
    }
    if arguments.epochs is None and arguments.steps is None:
        return {**words, "epochs": defaults.epochs, "steps": defaults.steps}
    return {**words, "epochs": arguments.epochs, "steps": arguments.steps}


def train_with_progress(
    model: Model,
    dataset: Dataset,
    validation: Dataset | None,
    targets: Targets,
    *,
    title: str,
    words: dict[str, Any] | None,
    checkpoint_every: int | None = None,
    go_on: str = "the same command with --resume goes on",
) -> History:
    """Fit with `words`, or resume if they are None; write the targets; return the history.

    Ctrl-C becomes a KeyboardInterrupt that says what was kept and how to go on.
    """
    try:
        with ProgressDisplay(title) as display:
            if words is None:
                history = model.resume(dataset, validation=validation, checkpoint=targets.output, on_step=display)
            else:
                history = model.fit(
                    dataset,
                    **words,
                    validation=validation,
                    checkpoint=targets.output,
                    checkpoint_every=checkpoint_every,
                    on_step=display,
                )
    except KeyboardInterrupt:
        kept = "nothing was kept" if not _holds(targets.output, model) else f"kept in {targets.output}: {go_on}"
        raise KeyboardInterrupt(f"interrupted with {model.steps:,} training steps in the network; {kept}") from None
    if targets.plot is not None:
        history.plot(targets.plot)
    return history


def _holds(path: Path, model: Model) -> bool:
    """Return whether the file holds the model as it is now: a second Ctrl-C may have come before it was written."""
    try:
        return bool(read_manifest(path).get("state_digest") == model.digest())
    except CheckpointError:
        return False


def refuse_changes(arguments: argparse.Namespace, model: Model) -> None:
    """Raise InputError where the command line asks for another training than the one that --resume goes on with."""
    if model.cursor is None:
        return  # resume() says so
    were = {**model.cursor.hyperparameters(), **model.cursor.requested}
    were |= {"frozen": tuple(model.cursor.settings.frozen), "checkpoint_every": model.cursor.checkpoint_every}
    were["augment"] = model.cursor.augment
    for name, option in RESUMED.items():
        asked = getattr(arguments, name, None)
        if asked is not None and (set(asked) != set(were[name]) if name == "frozen" else asked != were[name]):
            raise InputError(f"{option} is {asked}, but this training began with {were[name]}; leave {option} out")


def training_facts(model: Model, history: History, targets: Targets) -> list[tuple[str, object]]:
    """Return what a person wants to know after a training."""
    facts: list[tuple[str, object]] = [
        *(("note", f"{name} is {history.hyperparameters[name]}: {why}") for name, why in history.reasons.items()),
        ("device", history.device),
        ("steps", f"{len(history.steps):,} of {history.hyperparameters['batch']} images"),
        ("time", f"{duration(history.seconds)} ({history.images_per_second:,.0f} images/s while training)"),
        ("peak memory", f"{history.memory.peak / 2**20:,.2f} MiB of the device"),
        ("state", f"sha256 {model.digest()[:16]}, {model.steps:,} steps in all"),
        ("checkpoint", targets.output),
    ]
    if history.modelled:
        speeds = (f"{name} {1e3 * seconds:,.1f} ms" for name, seconds in history.modelled.items())
        facts.insert(-2, ("a step, modelled", ", ".join(speeds)))
    return facts + ([("plot", targets.plot)] if targets.plot else [])


def training_document(model: Model, history: History, targets: Targets) -> dict[str, Any]:
    """Return the part of a JSON document that tells of a training."""
    return {
        "network": model.graph.name,
        "classes": model.classes,
        "spare_classes": model.spare_classes,
        "output": targets.output,
        "plot": targets.plot,
        "device": history.device,
        "digest": model.digest(),
        "steps_in_all": model.steps,
        "images_per_second": history.images_per_second,
        "peak_memory_bytes": history.memory.peak,
        "history": history.to_dict(),
    }


def evaluation_document(measured: Evaluation) -> dict[str, Any]:
    """Return an evaluation as plain data."""
    return {
        "accuracy": measured.accuracy,
        "error": measured.error,
        "loss": measured.loss,
        "samples": measured.samples,
    }


def epoch_table(history: History, output: Output) -> None:
    """Print a row for each epoch."""
    head = ["epoch", ">steps", ">loss", ">accuracy"]
    validated = any(record.validation is not None for record in history.epochs)
    if validated:
        head += [">validation loss", ">validation accuracy"]
    rows = []
    for record in history.epochs:
        row = [str(record.epoch), f"{record.steps:,}", f"{record.loss:.4f}", f"{record.accuracy:.2%}"]
        if validated:
            known = record.validation is not None
            row += [f"{record.validation_loss:.4f}", f"{record.validation_accuracy:.2%}"] if known else ["", ""]
        rows.append(row)
    output.table(head, rows)


def before_and_after(before: dict[str, Evaluation], after: dict[str, Evaluation], output: Output) -> None:
    """Print accuracy on each data set before and after a training."""
    rows = []
    for name, was in before.items():
        change = 100 * (after[name].accuracy - was.accuracy)
        rows.append((name, f"{was.accuracy:.1%}", f"{after[name].accuracy:.1%}", f"{change:+.1f} points"))
    output.table(("accuracy on", ">before", ">after", ">change"), rows)
