"""Whether samples fit a model: the images' shape, and what the labels mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from strop.host.classes import numbered
from strop.host.data.dataset import Dataset
from strop.runtime.errors import InputError
from strop.runtime.graph import NetworkGraph
from strop.runtime.session import Minibatch


def check_samples(dataset: Dataset, graph: NetworkGraph, classes: tuple[str, ...], what: str) -> None:
    """Raise `InputError` unless a model of `graph` with `classes` can take `dataset`, which the message calls `what`.

    Labels must mean the same in both: equal names in equal places, or numbers for names in one of them. The data set
    may lack the last classes.
    """
    if dataset.image_shape != graph.input:
        raise InputError(
            f"{what} {dataset.name} has images of {dataset.image_shape}; {graph.name} takes {graph.input}: resize "
            "them, or make a model for them"
        )
    theirs = dataset.classes
    unnamed = theirs == numbered(len(theirs)) or classes == numbered(len(classes))
    if len(theirs) > len(classes):
        raise InputError(
            f"{what} {dataset.name} has {len(theirs)} classes ({_listed(theirs)}), the model {len(classes)} "
            f"({_listed(classes)}): leave out the samples of the others, or name them in the model: "
            f"{_how_to_add(graph.classes - len(classes))} (in the shell: strop finetune --add-class NAME)"
        )
    if not (unnamed or theirs == classes[: len(theirs)]):
        raise InputError(
            f"{what} {dataset.name} has the classes {_listed(theirs)}; the model has {_listed(classes)}: labels must "
            "mean the same in both, so put them into the model's order"
        )


def known_labels(minibatches: Iterable[Minibatch], classes: tuple[str, ...]) -> Iterator[Minibatch]:
    """Yield the mini-batches as they come. Raises `InputError` at a label that no class has: a spare row is not one."""
    for minibatch in minibatches:
        largest = int(minibatch.labels.max(initial=0))
        if largest >= len(classes):
            raise InputError(
                f"a mini-batch has the label {largest}; the model has {len(classes)} classes, 0 to {len(classes) - 1}: "
                "model.add_class(name) names one more"
            )
        yield minibatch


def _how_to_add(spare: int) -> str:
    if spare:
        return f"model.add_class(name) takes one of its {spare} spare outputs"
    return "model.with_spare_classes(n) makes a model with n more outputs, and its add_class(name) takes one of them"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
