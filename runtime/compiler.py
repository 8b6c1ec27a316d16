"""The compiler: a network and its training step, or its inference, to a program.

Frozen blocks use their running statistics and do not change; what the others normalize by, `Hyperparameters.statistics`
says. Below the first trainable block nothing runs backward.
"""

from __future__ import annotations

from strop.runtime.backward_pass import emit_backward
from strop.runtime.contract import C
from strop.runtime.errors import InputError, LimitError
from strop.runtime.forward_pass import emit_forward
from strop.runtime.graph import NetworkGraph
from strop.runtime.hyperparameters import Hyperparameters
from strop.runtime.loss_pass import emit_inference_loss, emit_loss
from strop.runtime.planner import Placement
from strop.runtime.program import ArenaBase, Program
from strop.runtime.state import StateLayout, blocks_of
from strop.runtime.step import Step
from strop.runtime.updates import emit_views


def largest_batch(graph: NetworkGraph) -> int:
    """Return the most samples that a mini-batch may have, so that sums over a channel fit int32 (NUMERICS.md 1.9)."""
    sums = [C.MAX_REDUCTION // (node.output[1] * node.output[2]) for node in graph.weighted]
    return min(C.MAX_BATCH, *sums)


def _check_batch(graph: NetworkGraph, batch: int, least: int) -> None:
    if not least <= batch <= C.MAX_BATCH:
        raise LimitError(f"{graph.name}: a mini-batch of {batch}; allowed: {least} to {C.MAX_BATCH}")
    for node in graph.nodes:
        values = batch * node.output[1] * node.output[2]
        if node in graph.weighted and values > C.MAX_REDUCTION:
            most = largest_batch(graph)
            remedy = (
                f"take a mini-batch of at most {most}" if most >= least else "take smaller images or a larger stride"
            )
            raise LimitError(
                f"{graph.name}, layer {node.name}: a mini-batch of {batch} gives {values} values a channel, "
                f"more than the {C.MAX_REDUCTION} that an int32 sum holds; {remedy}"
            )


def compile_training(
    graph: NetworkGraph,
    layout: StateLayout,
    batch: int,
    base: ArenaBase,
    hyper: Hyperparameters,
    frozen: frozenset[str] = frozenset(),
    placed: dict[str, Placement] | None = None,
) -> Program:
    """Compile one training step on mini-batches of `batch`, at least `hyper.least_batch`.

    `frozen` names blocks by their convolution or Linear layer ("conv1"). `placed` are the `Program.tensors` of the same
    step for a larger mini-batch, whose room this one then takes. Raises `LimitError`, `InputError`, `MemoryPlanError`.
    """
    _check_batch(graph, batch, hyper.least_batch)
    names = [block.node.name for block in blocks_of(graph)]
    unknown = sorted(frozen - set(names))
    if unknown or frozen == set(names):
        what = (
            f"there is no layer {', '.join(unknown)}"
            if unknown
            else "every layer is frozen, so nothing would be trained"
        )
        raise InputError(f"frozen: {what}; layers that can be frozen: {', '.join(names)}")
    if hyper.elastic and not layout.elastic:
        raise InputError(
            f"{graph.name}: elastic training needs a layout with anchors: StateLayout(graph, elastic=True)"
        )
    if hyper.loss == "cross_entropy" and graph.classes < 2:
        raise InputError(
            f"{graph.name} has one output, which softmax cross-entropy cannot train; take loss='binary_cross_entropy' "
            "or 'squared_error', or two classes or more"
        )
    step = Step(graph, layout, batch, hyper)
    emit_forward(step, frozen, infer=False)
    emit_backward(step, emit_loss(step), frozen)
    return step.out.finish("train", step.slot, base, placed)


def compile_inference(
    graph: NetworkGraph,
    layout: StateLayout,
    batch: int,
    base: ArenaBase,
    placed: dict[str, Placement] | None = None,
) -> Program:
    """Compile inference on mini-batches of `batch`: logits into the slot, loss and correct answers into its head.

    `placed` and errors as in `compile_training`.
    """
    _check_batch(graph, batch, least=1)
    step = Step(graph, layout, batch, Hyperparameters())
    emit_forward(step, frozenset(step.blocks), infer=True)
    emit_inference_loss(step)
    return step.out.finish("infer", step.slot, base, placed)


def compile_features(
    graph: NetworkGraph,
    layout: StateLayout,
    batch: int,
    base: ArenaBase,
    last: str,
    placed: dict[str, Placement] | None = None,
) -> Program:
    """Compile the front of inference, up to layer `last` (of `cut_points`), whose feature map is the `result`.

    `placed` are the tensors of the whole inference, as in `compile_training`; errors as there.
    """
    _check_batch(graph, batch, least=1)
    step = Step(graph, layout, batch, Hyperparameters())
    value = emit_forward(step, frozenset(step.blocks), infer=True, last=last)
    return step.out.finish("features", step.slot, base, placed, result=value.tensor)


def compile_views(graph: NetworkGraph, layout: StateLayout, base: ArenaBase, hyper: Hyperparameters) -> Program:
    """Compile the making of all int8 weight views from the masters."""
    step = Step(graph, layout, 1, hyper)
    emit_views(step)
    return step.out.finish("views", step.slot, base)
