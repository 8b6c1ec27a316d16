"""Whether samples fit a model: the images' shape, and what the labels mean."""

from __future__ import annotations

from strop.host.data.dataset import Dataset
from strop.runtime.errors import InputError
from strop.runtime.graph import NetworkGraph


def numbered(count: int) -> tuple[str, ...]:
    """Return the names "0", "1", ... of classes that have no others."""
    return tuple(map(str, range(count)))


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
            f"{what} {dataset.name} has {len(theirs)} classes ({_listed(theirs)}), the network {len(classes)} "
            f"({_listed(classes)}): strop cannot yet give a trained network more outputs, so leave out the samples of "
            f"the others, or make a network for {len(theirs)} classes and train it"
        )
    if not (unnamed or theirs == classes[: len(theirs)]):
        raise InputError(
            f"{what} {dataset.name} has the classes {_listed(theirs)}; the model has {_listed(classes)}: labels must "
            "mean the same in both, so put them into the model's order"
        )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
