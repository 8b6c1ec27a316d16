"""Output rows and their classes: a network may have more rows than a model has named classes; the others are spare.

A spare row has weights and momenta of 0 and a bias of `SPARE_BIAS`. That makes it inert by arithmetic (hls/NUMERICS.md
1.6 to 1.8): its logit is so low that its probability is 0 exactly, so its logit error is 0, no update moves it, and it
adds nothing to the input gradient. What is trained beside spare rows has the bytes that it has without them.

When that holds: in each sample some named logit is at least 178/16 = 11.125 nats above the spare rows' (EXP is 0 from
there). Theirs is -1024 nats where the logits' exponent e is at most 21, else -(2^31 - 1) * 2^-e: logits are saturated.
Behind an L1BN e is at most 27, with a last layer of zeros, and theirs -16 nats at most. Not so where the last layer
reads the images themselves: e is up to 31 there, so its largest weight has to be at least 2^-14 (first weights are).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.host.checked import whole
from strop.runtime.errors import InputError
from strop.runtime.graph import Linear, NetworkGraph

SPARE_BIAS = -(1 << 30)  # LSB 2^-20: -1024 nats

State = dict[str, NDArray[Any]]


def numbered(count: int) -> tuple[str, ...]:
    """Return the names "0", "1", ... of classes that have no others."""
    return tuple(map(str, range(count)))


def named_classes(graph: NetworkGraph, classes: Any, state: State) -> tuple[str, ...]:
    """Return the names of the first rows; without `classes` (None) all rows, numbered.

    Raises `InputError` unless they are different names, no more than rows, and just the other rows are spare.
    """
    names = numbered(graph.classes) if classes is None else tuple(classes)
    if isinstance(classes, str) or not 1 <= len(set(names)) == len(names) <= graph.classes:
        raise InputError(f"classes are {classes!r}; {graph.name} takes 1 to {graph.classes} different names")
    check_rows(graph, state, len(names))
    return names


def check_rows(graph: NetworkGraph, state: State, named: int) -> None:
    """Raise `InputError` unless the `named` first rows can be those of classes, and all others are spare.

    A class with a spare row would be learned, by weights that outweigh its bias. All rows share one exponent (NUMERICS
    1.8), so the others would become coarse and their classes be forgotten.
    """
    weight, bias = (state[f"{_last(graph)}.{part}"] for part in ("weight", "bias"))
    # half of it, because a row that was not quite inert (see above) may have moved a little
    trained = np.flatnonzero(bias[named:] > SPARE_BIAS // 2)
    if trained.size:
        raise InputError(
            f"{named} classes are named, but {graph.name} has {graph.classes} output rows, and row "
            f"{named + int(trained[0])} is not spare: name all classes"
        )
    spare = np.flatnonzero((bias[:named] == SPARE_BIAS) & ~weight[:named].any(axis=(1, 2, 3)))
    if spare.size:
        raise InputError(
            f"{named} classes are named, but row {int(spare[0])} of {graph.name} is spare in this state, and would "
            "be learned at the others' cost: name the classes in front of it, and let model.add_class(name) name more"
        )


def with_spare_rows(graph: NetworkGraph, state: State, count: int) -> tuple[NetworkGraph, State]:
    """Return the network with `count` more output rows, all spare, and its state; what was there is copied.

    Raises `InputError` for no whole number, `LimitError` for more rows than a network can have.
    """
    larger = wider(graph, count)
    found = {name: array.copy() for name, array in state.items()}
    for name in _rows_of(graph):
        added = np.zeros((count, *state[name].shape[1:]), state[name].dtype)
        found[name] = np.concatenate([state[name], added])
    found[f"{_last(graph)}.bias"][graph.classes :] = SPARE_BIAS
    return larger, found


def wider(graph: NetworkGraph, count: int) -> NetworkGraph:
    """Return the network with `count` more output rows. Raises as `with_spare_rows`."""
    rows = graph.classes + whole("spare_classes", count, 0)
    return replace(graph, layers=(*graph.layers[:-1], Linear(rows)))  # the last layer of every network


def with_named_row(graph: NetworkGraph, state: State, row: int) -> State:
    """Return the state in which `row`, the first spare one, is that of a class: zeros, and the smallest named bias.

    With that bias the new class wins only where every other class's logit is below it: untrained, it says nothing of an
    image, so it must not take the images of classes that are known.
    """
    found = dict(state)
    for name in _rows_of(graph):
        found[name] = state[name].copy()
        found[name][row] = 0
    bias = f"{_last(graph)}.bias"
    found[bias][row] = state[bias][:row].min()
    return found


def with_named_rows(graph: NetworkGraph, state: State, count: int) -> State:
    """Return the state in which each of the first `count` rows is that of a class: an earlier one, for classes now."""
    for row in range(count):
        if state[f"{_last(graph)}.bias"][row] == SPARE_BIAS:
            state = with_named_row(graph, state, row)
    return state


def new_class(name: Any, classes: tuple[str, ...], graph: NetworkGraph) -> str:
    """Return the name of one more class of a model. Raises `InputError` where it can have none of that name."""
    if not isinstance(name, str) or not name:
        raise InputError(f"the new class is {name!r}; its name is a string, and not empty")
    if name in classes:
        raise InputError(f"there is a class {name!r} already, with the label {classes.index(name)}; pass another name")
    if len(classes) == graph.classes:
        raise InputError(
            f"{graph.name} has {graph.classes} output rows, and each has a class: model.with_spare_classes(n) makes a "
            f"model with n more, to which {name!r} can be added (in the shell: strop finetune --add-class)"
        )
    return name


def _last(graph: NetworkGraph) -> str:
    return graph.nodes[-1].name


def _rows_of(graph: NetworkGraph) -> list[str]:
    """The arrays of the state that have a row a class."""
    return [f"{_last(graph)}.{part}{kind}" for part in ("weight", "bias") for kind in ("", ".momentum")]
