"""What a command reads and writes, by name or path; results are checked before work begins."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from strop.host import Model
from strop.host.atomic_file import why_not_writable
from strop.host.checked import not_a_source
from strop.host.cli.output import Output
from strop.host.data import Dataset, Labels, Layout, Split, load_dataset, shift_dataset
from strop.host.data.image_file import Mode
from strop.host.data.load import takes_size
from strop.host.pretrained import PRETRAINED, pretrained_path
from strop.runtime.errors import CheckpointError, DataError, InputError

Shape = tuple[int, int, int]
MODES: dict[int, Mode] = {1: "L", 3: "RGB"}  # by the channels of a network's images


def checkpoint_path(name: str, *others: str) -> Path:
    """Return the path of a checkpoint that is named by path or by a name of `strop.host.pretrained`.

    `others` are what the caller takes instead of a checkpoint, for the message.
    """
    if name in PRETRAINED:
        return pretrained_path(name)
    path = Path(name).expanduser()
    if not path.is_file():
        what = "is no file" if path.exists() else "does not exist"
        raise CheckpointError(f"checkpoint {name} {what}; allowed: a path, {', '.join((*PRETRAINED, *others))}")
    return path


@dataclass(frozen=True)
class Form:
    """How images are wanted: axes of an .npz file, CIFAR-100's labels, size of images, and the network."""

    layout: Layout | None = None
    labels: Labels | None = None
    size: tuple[int, int] | None = None
    network: Shape | None = None
    classes: tuple[str, ...] = ()


def form_of(model: Model, layout: Layout | None, labels: Labels | None = None) -> Form:
    """Return the form in which `model` takes images."""
    return Form(layout=layout, labels=labels, network=model.graph.input, classes=model.classes)


def load_split(spec: str, split: Split, form: Form) -> Dataset:
    """Return a split of a data set, for a network with labels in its order and a folder's images in its size."""
    shape, size, mode = form.network, form.size, None
    if shape is not None and takes_size(spec):
        if shape[0] not in MODES:
            raise InputError(f"{spec}: image files have 1 or 3 channels; the network takes {shape[0]}")
        size, mode = shape[1:], MODES[shape[0]]
    dataset = load_dataset(spec, split, layout=form.layout, size=size, mode=mode, labels=form.labels)
    return in_order(dataset, form.classes)


def in_order(dataset: Dataset, classes: tuple[str, ...]) -> Dataset:
    """Return the data set with its labels numbered as in `classes`, if those name them all; else as it is."""
    if dataset.classes == classes[: len(dataset.classes)] or not set(dataset.classes) <= set(classes):
        return dataset
    numbers = np.array([classes.index(name) for name in dataset.classes], np.int32)
    return Dataset(dataset.images, numbers[dataset.labels], classes, dataset.name)


def load_to_measure(spec: str, form: Form) -> Dataset:
    """Return the test split of a data set that is named for measuring, or the whole of one that has no splits."""
    return load_split_or_all(spec, "test", form)[0]


def load_split_or_all(spec: str, split: Split, form: Form) -> tuple[Dataset, bool]:
    """Return a split, or the whole of a data set that has none, and whether it is the whole."""
    try:
        return load_split(spec, split, form), False
    except DataError as error:
        try:
            return load_split(spec, "all", form), True
        except DataError:
            raise error from None


def load_measured(arguments: argparse.Namespace, model: Model) -> Dataset:
    """Return what --data, --split, --layout and --shift say, as `model` takes it."""
    form = form_of(model, arguments.layout, arguments.labels)
    if arguments.split is None:
        dataset = load_to_measure(arguments.data, form)
    else:
        dataset = load_split(arguments.data, arguments.split, form)
    return dataset if arguments.shift is None else shift_dataset(dataset, arguments.shift)


def load_validation(named: str | None, data: str, form: Form, output: Output) -> Dataset | None:
    """Return what --validation names; without it the test split of --data, or None (with a remark)."""
    if named == "none":
        return None
    if named is not None:
        return load_to_measure(named, form)
    try:
        return load_split(data, "test", form)
    except DataError as error:
        output.note(f"no validation: {error}")
        return None


def check_output(path: str, *, replace_with: str | None, sources: Sequence[str | Path] = ()) -> Path:
    """Return the path of a file that can be written, or raise InputError: before the work, not after it.

    `replace_with` is the option that allows to replace a file; None where any may be replaced. `sources` are what the
    file is made of, which nothing allows to replace.
    """
    target = not_a_source(Path(path).expanduser(), *sources)
    reason = why_not_writable(target)
    if reason is None and target.exists() and not target.is_file():
        reason = "it is no regular file; name another one"
    if reason is not None:
        raise InputError(f"cannot write {path}: {reason}")
    if replace_with is not None and target.exists():
        raise InputError(f"{path} exists; pass {replace_with} to replace it, or name another file")
    return target


def check_plot(path: str | None) -> Path | None:
    """Return the path of a plot that can be written, None for None, or raise InputError."""
    if path is None:
        return None
    target = check_output(path, replace_with=None)
    if target.suffix.lower() != ".png":
        raise InputError(f"{path}: plots are PNG files; end the name in .png")
    if not can_plot():
        raise InputError("--plot needs matplotlib: pip install matplotlib, or leave --plot out")
    return target


def can_plot() -> bool:
    """Return whether matplotlib is there."""
    return importlib.util.find_spec("matplotlib") is not None
