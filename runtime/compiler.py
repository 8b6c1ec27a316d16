"""The compiler: a network and its training step, or its inference, to a program.

Frozen blocks use their running statistics and do not change; below the first trainable block nothing runs backward.
"""

from __future__ import annotations

from strop.runtime.backward_pass import emit_backward
from strop.runtime.contract import C
from strop.runtime.errors import InputError, LimitError
from strop.runtime.forward_pass import emit_forward, emit_loss
from strop.runtime.graph import NetworkGraph
from strop.runtime.hyperparameters import Hyperparameters
from strop.runtime.program import ArenaBase, Program
from strop.runtime.state import StateLayout, blocks_of
from strop.runtime.step import Step
from strop.runtime.updates import emit_views


def _check_batch(graph: NetworkGraph, batch: int, least: int) -> None:
    if not least <= batch <= C.MAX_BATCH:
        raise LimitError(f"{graph.name}: a mini-batch of {batch}; allowed: {least} to {C.MAX_BATCH}")
    for node in graph.nodes:
        values = batch * node.output[1] * node.output[2]
        if node in graph.weighted and values > C.MAX_REDUCTION:
            most = C.MAX_REDUCTION // (node.output[1] * node.output[2])
            raise LimitError(
                f"{graph.name}, layer {node.name}: a mini-batch of {batch} gives {values} values a channel, "
                f"more than the {C.MAX_REDUCTION} that an int32 sum holds; take a mini-batch of at most {most}"
            )


def compile_training(
    graph: NetworkGraph,
    layout: StateLayout,
    batch: int,
    base: ArenaBase,
    hyper: Hyperparameters,
    frozen: frozenset[str] = frozenset(),
) -> Program:
    """Compile one training step on mini-batches of `batch` (at least 2: L1BN needs a deviation).

    `frozen` names blocks by their convolution or Linear layer ("conv1"). Raises `LimitError`, `InputError`.
    """
    _check_batch(graph, batch, least=2)
    names = [block.node.name for block in blocks_of(graph)]
    unknown = sorted(frozen - set(names))
    if unknown or frozen == set(names):
        what = (
            f"there is no layer {', '.join(unknown)}"
            if unknown
            else "every layer is frozen, so nothing would be trained"
        )
        raise InputError(f"frozen: {what}; layers that can be frozen: {', '.join(names)}")
    step = Step(graph, layout, batch, base, hyper)
    emit_forward(step, frozen, infer=False)
    emit_backward(step, emit_loss(step, infer=False), frozen)
    return step.out.finish("train", step.slot, base)


def compile_inference(graph: NetworkGraph, layout: StateLayout, batch: int, base: ArenaBase) -> Program:
    """Compile inference on mini-batches of `batch`: logits into the slot, loss and correct answers into its head."""
    _check_batch(graph, batch, least=1)
    step = Step(graph, layout, batch, base, Hyperparameters())
    emit_forward(step, frozenset(step.blocks), infer=True)
    emit_loss(step, infer=True)
    return step.out.finish("infer", step.slot, base)


def compile_views(graph: NetworkGraph, layout: StateLayout, base: ArenaBase, hyper: Hyperparameters) -> Program:
    """Compile the making of all int8 weight views from the masters."""
    step = Step(graph, layout, 1, base, hyper)
    emit_views(step)
    return step.out.finish("views", step.slot, base)
