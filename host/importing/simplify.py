"""Rewrites a graph of operations into one that computes the same with fewer obstacles for strop.

| what | becomes |
|---|---|
| two affines, one after the other | one |
| padding in front of a convolution, or of max pooling behind a ReLU | that layer's own padding |
| max pooling, then a rising activation or affine | the other order: the activation can be fused |
| flattening or upsampling, then an activation | the other order |
| concatenations that begin alike | one that goes on from the other (DenseNet) |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from strop.host.importing.operations import (
    INPUT,
    Activate,
    Affine,
    Convolve,
    Edges,
    Flat,
    Join,
    MaxPool,
    Operation,
    OperationGraph,
    Pad,
    Upsample,
)
from strop.runtime.graph import LeakyReLU, ReLU, ReLU6, Sigmoid, Tanh

RISING = (ReLU, LeakyReLU, ReLU6, Tanh, Sigmoid)
Rewrite = Callable[[dict[str, Operation], dict[str, list[Operation]]], bool]


def simplified(graph: OperationGraph) -> OperationGraph:
    """Return the graph after all rewrites; its output keeps its name."""
    operations = {operation.name: operation for operation in graph.operations}
    for rewrite in (_grow_joins, _merge_affines, _take_padding, _swap, _merge_affines):
        while rewrite(operations, _readers(operations)):
            pass
    return replace(graph, operations=_in_order(operations, graph.output))


def _readers(operations: dict[str, Operation]) -> dict[str, list[Operation]]:
    found: dict[str, list[Operation]] = {}
    for operation in operations.values():
        for name in operation.inputs:
            found.setdefault(name, []).append(operation)
    return found


def _in_order(operations: dict[str, Operation], output: str) -> tuple[Operation, ...]:
    """Return what `output` depends on, each operation after those that it reads."""
    order: dict[str, Operation] = {}
    stack = [output]
    while stack:
        operation = operations[stack[-1]]
        waiting = [name for name in operation.inputs if name != INPUT and name not in order]
        if waiting:
            stack += reversed(waiting)
        else:
            order[stack.pop()] = operation
    return tuple(order.values())


def _merge_affines(operations: dict[str, Operation], readers: dict[str, list[Operation]]) -> bool:
    """Merge pairs whose first affine nothing else reads: two readers are where a network branches."""
    changed = False
    for name in [operation.name for operation in operations.values() if isinstance(operation.what, Affine)]:
        last = operations.get(name)
        first = None if last is None else operations.get(last.inputs[0])
        if last is None or not isinstance(last.what, Affine) or first is None or not isinstance(first.what, Affine):
            continue
        if len(readers[first.name]) > 1:
            continue
        scale = last.what.scale * first.what.scale
        shift = last.what.scale * first.what.shift + last.what.shift
        operations[last.name] = replace(last, what=Affine(scale, shift), inputs=first.inputs)
        del operations[first.name]  # who reads what it read is now `last`: as many readers as before
        changed = True
    return changed


def _take_padding(operations: dict[str, Operation], readers: dict[str, list[Operation]]) -> bool:
    changed = False
    for operation in list(operations.values()):
        pad = operations.get(operation.inputs[0])
        if pad is None or not isinstance(pad.what, Pad):
            continue
        what, before = operation.what, operations.get(pad.inputs[0])
        positive = before is not None and isinstance(before.what, Activate)
        positive = positive and isinstance(before.what.layer, (ReLU, ReLU6)) if before is not None else False  # type: ignore[union-attr]
        if isinstance(what, Convolve) or (isinstance(what, MaxPool) and positive):
            padded = replace(what, padding=_added(what.padding, pad.what.padding))
            operations[operation.name] = replace(operation, what=padded, inputs=pad.inputs)
            changed = True
    return changed


def _added(a: Edges, b: Edges) -> Edges:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]


def _swap(operations: dict[str, Operation], readers: dict[str, list[Operation]]) -> bool:
    """Exchange one pair; its second operation then reads what the first read, and the first has the second's name."""
    for second in list(operations.values()):
        first = operations.get(second.inputs[0])
        if first is None or len(readers[first.name]) > 1 or not _commute(first, second):
            continue
        source = operations.get(first.inputs[0])
        inner = f"{second.name}'"
        shape = source.output if source is not None else first.output
        if source is None or (isinstance(first.what, Flat) and isinstance(second.what, Affine)):
            continue
        operations[inner] = replace(second, name=inner, inputs=first.inputs, output=shape)
        operations[second.name] = replace(first, name=second.name, inputs=(inner,))
        del operations[first.name]
        return True
    return False


def _commute(first: Operation, second: Operation) -> bool:
    rising = isinstance(second.what, Activate) and isinstance(second.what.layer, RISING)
    rising |= isinstance(second.what, Affine) and bool((second.what.scale > 0).all())
    if isinstance(first.what, MaxPool):
        return rising
    return isinstance(first.what, (Flat, Upsample)) and isinstance(second.what, (Activate, Affine))


def _grow_joins(operations: dict[str, Operation], readers: dict[str, list[Operation]]) -> bool:
    """Let a concatenation read a shorter one that it begins with."""
    joins = sorted((o for o in operations.values() if isinstance(o.what, Join)), key=lambda o: -len(o.inputs))
    for longer in joins:
        for shorter in joins:
            count = len(shorter.inputs)
            if 1 < count < len(longer.inputs) and longer.inputs[:count] == shorter.inputs:
                inputs = (shorter.name, *longer.inputs[count:])
                operations[longer.name] = replace(longer, inputs=inputs)
                return True
    return False
