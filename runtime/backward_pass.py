"""Compiles the backward pass, from the loss down to the first trainable block.

A block is L1BN_BACKWARD, weight gradient, input gradient, SGD, in this order:
the input gradient needs the weights of the forward pass. The gradient of an addition goes to both branches; where they
began, the two that come back are added.
"""

from __future__ import annotations

import numpy as np

from strop.runtime.contract import C
from strop.runtime.forward_pass import addition_fields, norm_fields
from strop.runtime.graph import GlobalAveragePool, MaxPool2d, NetworkGraph, Node, Residual, Shape
from strop.runtime.state import Block
from strop.runtime.step import Step, Value, input_fields, output_fields
from strop.runtime.updates import update_vector, update_weights


def emit_backward(step: Step, error: Value, frozen: frozenset[str]) -> None:
    """Emit the backward pass and the updates, on each branch down to the first block that is not frozen."""
    trained = _depend_on_trained(step.graph, frozenset(step.blocks) - frozen)
    errors = {step.graph.nodes[-1].name: error}  # the gradients of layers' outputs
    for node in reversed(step.graph.nodes):
        if node.name not in trained:
            continue
        error = errors.pop(node.name)
        below = [source for source in node.sources if source in trained]
        if node.name in step.blocks:
            error = _block_backward(step, step.blocks[node.name], error, node.name in frozen, bool(below))
        elif isinstance(node.layer, MaxPool2d):
            before = step.read_by(node)
            fields = step.pool(node) | {"source_2_plane": step.out.plane(node.input)}
            error = _reshape_backward(step, C.OP_MAX_POOL_BACKWARD, node, error, fields, {"source_2": before.tensor})
        elif isinstance(node.layer, GlobalAveragePool):
            fields = input_fields(node.input) | {"dither": step.dither}
            error = _reshape_backward(step, C.OP_GLOBAL_AVERAGE_POOL_BACKWARD, node, error, fields, {})
        elif step.transposes(node):
            error = _reshape_backward(step, C.OP_UNFLATTEN, node, error, input_fields(node.input), {})
        elif isinstance(node.layer, Residual):
            names = {"source_2": step.outputs[node.name].tensor}
            error = _reshape_backward(step, C.OP_ADD_BACKWARD, node, error, addition_fields(step, node), names)
        for source in below:
            errors[source] = _sum(step, source, errors[source], error) if source in errors else error


def _depend_on_trained(graph: NetworkGraph, trained: frozenset[str]) -> set[str]:
    """Return the nodes whose output moves with the weights of `trained`: those that need a gradient."""
    found: set[str] = set()
    for node in graph.nodes:
        if node.name in trained or not found.isdisjoint(node.sources):
            found.add(node.name)
    return found


def _sum(step: Step, name: str, error: Value, other: Value) -> Value:
    """Emit the gradient of what `name` gives to two readers."""
    total = Value(
        step.out.feature_map(f"{name}.gradient", error.shape),
        step.out.words(f"{name}.gradient.exponent"),
        error.shape,
    )
    planes = dict.fromkeys(("source_plane", "source_2_plane", "target_plane"), step.out.plane(error.shape))
    names = {
        "source": error.tensor,
        "source_exponent": error.exponent,
        "source_2": other.tensor,
        "source_2_exponent": other.exponent,
        "target": total.tensor,
        "target_exponent": total.exponent,
    }
    step.out.emit(C.OP_ADD_GRADIENT, name, planes | output_fields(error.shape) | {"dither": step.dither}, names)
    return total


def _reshape_backward(
    step: Step, opcode: int, node: Node, error: Value, fields: dict[str, int], names: dict[str, str]
) -> Value:
    after = _gradient(step, node.name, node.input, 1)
    fields |= {"source_plane": step.out.plane(node.output), "target_plane": step.out.plane(node.input)}
    names |= {"source": error.tensor, "source_exponent": error.exponent}
    step.out.emit(opcode, node.name, fields, {**names, "target": after.tensor, "target_exponent": after.exponent})
    return after


def _gradient(step: Step, name: str, shape: Shape, exponents: int) -> Value:
    tensor = step.out.feature_map(f"{name}.input_gradient", shape)
    return Value(tensor, step.out.words(f"{name}.input_gradient.exponent", exponents), shape)


def _block_backward(step: Step, block: Block, error: Value, frozen: bool, go_on: bool) -> Value:
    node, norm = block.node, block.norm
    arriving = error
    if norm is not None:
        error = _norm_backward(step, block, error, frozen)
    if not frozen:
        _weight_gradient(step, block, error)
    below = _input_gradient(step, block, error) if go_on else error
    if not frozen:
        update_weights(step, node, per_channel=norm is not None and step.hyper.per_channel_weights)
        if norm is None:
            update_vector(step, node.name, f"{node.name}.bias", f"{node.name}.grad_bias", arriving.exponent)
        else:
            update_vector(step, norm.name, f"{norm.name}.gamma", f"{norm.name}.grad_gamma", arriving.exponent)
            update_vector(step, norm.name, f"{norm.name}.beta", f"{norm.name}.grad_beta", arriving.exponent)
    return below


def _norm_backward(step: Step, block: Block, error: Value, fixed: bool) -> Value:
    node, norm = block.node, block.norm
    assert norm is not None
    channels = node.output[0]
    before, after = f"{node.name}.output", f"{norm.name}.output"
    gradient = _gradient(step, norm.name, node.output, channels)
    flags = C.FLAG_FIXED if fixed else 0 if step.hyper.statistics == "batch" else C.FLAG_RUNNING
    fields = norm_fields(step, block, flags) | {"dither": step.dither}
    names = {
        "source": error.tensor,
        "source_exponent": error.exponent,
        "source_2": before,
        "source_2_exponent": f"{node.name}.exponent",
        "source_3": after,
        "statistics": f"{norm.name}.statistics",
        "target": gradient.tensor,
        "target_exponent": gradient.exponent,
    }
    if not fixed:
        names["grad_gamma"] = step.out.array(f"{norm.name}.grad_gamma", 4 * channels)
        names["grad_beta"] = step.out.array(f"{norm.name}.grad_beta", 4 * channels)
    step.out.emit(C.OP_L1BN_BACKWARD, norm.name, fields | step.state(site=f"{norm.name}.gradient_site"), names)
    return gradient


def _weight_gradient(step: Step, block: Block, error: Value) -> None:
    node = block.node
    source = step.read_by(node)
    fields = step.convolution(node)
    fields |= {"source_plane": step.out.plane(node.output), "source_2_plane": step.out.plane(source.shape)}
    names = {
        "source": error.tensor,
        "source_exponent": error.exponent,
        "source_2": source.tensor,
        "source_2_exponent": source.exponent,
        "target": step.out.array(f"{node.name}.grad_weight", 4 * int(np.prod(node.weight_shape))),
        "target_exponent": step.out.words(f"{node.name}.grad_weight.exponent", node.output[0]),
    }
    if block.norm is None:
        fields["flags"] |= C.FLAG_BIAS
        names["grad_beta"] = step.out.array(f"{node.name}.grad_bias", 4 * node.output[0])
    step.out.emit(C.OP_CONV_WEIGHT_GRADIENT, node.name, fields, names)


def _input_gradient(step: Step, block: Block, error: Value) -> Value:
    node = block.node
    conv = step.convolutions[node.name]
    below = _gradient(step, node.name, conv.input, 1)
    fields = step.convolution(node, C.FLAG_FLAT if conv.flat else 0) | {"dither": step.dither}
    fields |= {"source_plane": step.out.plane(node.output), "target_plane": step.out.plane(conv.input)}
    fields |= step.state(
        weights=f"{node.name}.view",
        weight_exponent=f"{node.name}.view_exponent",
        site=f"{node.name}.input_gradient_site",
    )
    names = {"source": error.tensor, "source_exponent": error.exponent}
    step.out.emit(
        C.OP_CONV_INPUT_GRADIENT,
        node.name,
        fields,
        {**names, "target": below.tensor, "target_exponent": below.exponent},
    )
    return below
