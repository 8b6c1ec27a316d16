"""Compiles the backward pass, from the loss down to the first trainable block.

A block is L1BN_BACKWARD, weight gradient, input gradient, SGD, in this order: the input gradient needs the weights of
the forward pass. The gradient of an addition goes to both branches, that of a concatenation in parts to each; where a
map was read twice, the gradients that come back are added.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from strop.runtime.contract import C
from strop.runtime.forward_pass import addition_fields, norm_fields, table_fields, upsample_fields
from strop.runtime.graph import NetworkGraph
from strop.runtime.layers import (
    NORMS,
    TABLES,
    AveragePool2d,
    Bias,
    Concatenate,
    GlobalAveragePool,
    MaxPool2d,
    Residual,
    Upsample,
)
from strop.runtime.node import Node
from strop.runtime.step import Step, Value, input_fields, output_fields
from strop.runtime.updates import update_vector, update_weights


def emit_backward(step: Step, error: Value, frozen: frozenset[str]) -> None:
    """Emit the backward pass and the updates, on each branch down to the first block that is not frozen."""
    norms = {norm for norm, owner in step.owners.items() if owner not in frozen}
    trained = _depend_on_trained(step.graph, (step.blocks.keys() - frozen) | norms)
    errors = {step.graph.nodes[-1].name: error}  # the gradients of layers' outputs
    for node in reversed(step.graph.nodes):
        if node.name not in trained:
            continue
        error = errors.pop(node.name)
        below = [source for source in node.sources if source in trained]
        if isinstance(node.layer, Concatenate):
            arriving = _parts(step, node, error)
        else:
            error = _backward(step, node, error, frozen, bool(below))
            arriving = dict.fromkeys(below, error)
        for source in below:
            error = arriving[source]
            errors[source] = _sum(step, source, errors[source], error) if source in errors else error


def _depend_on_trained(graph: NetworkGraph, trained: set[str]) -> set[str]:
    """Return the nodes whose output moves with what `trained` learn: those that need a gradient."""
    found: set[str] = set()
    for node in graph.nodes:
        if node.name in trained or not found.isdisjoint(node.sources):
            found.add(node.name)
    return found


def _backward(step: Step, node: Node, error: Value, frozen: frozenset[str], go_on: bool) -> Value:
    """Emit one layer's backward pass; return the gradient of what it reads, or `error` where no command is needed."""
    layer = node.layer
    if node.name in step.blocks:
        return _block_backward(step, node, error, node.name in frozen, go_on)
    if isinstance(layer, NORMS):
        return _norm_backward(step, node, error, step.owners[node.name] in frozen)
    if isinstance(layer, MaxPool2d):
        fields = step.pool(node) | {"source_2_plane": step.out.plane(node.input)}
        names = {"source_2": step.read_by(node).tensor}
        return _map_backward(step, C.OP_MAX_POOL_BACKWARD, node, error, fields, names)
    if isinstance(layer, AveragePool2d):
        fields = step.pool(node) | {"dither": step.dither, "flags": error.row_flag}
        return _map_backward(step, C.OP_AVERAGE_POOL_BACKWARD, node, error, fields)
    if isinstance(layer, GlobalAveragePool):
        fields = input_fields(node.input) | {"dither": step.dither}
        return _map_backward(step, C.OP_GLOBAL_AVERAGE_POOL_BACKWARD, node, error, fields)
    if isinstance(layer, Upsample):
        fields = upsample_fields(node) | {"dither": step.dither}
        return _map_backward(step, C.OP_UPSAMPLE_BACKWARD, node, error, fields)
    if isinstance(layer, TABLES):
        fields = table_fields(step, node) | {"source_2_plane": step.out.plane(node.input), "dither": step.dither}
        names = {"source_2": step.read_by(node).tensor}
        return _map_backward(step, C.OP_ACTIVATION_BACKWARD, node, error, fields, names)
    if step.transposes(node):
        return _map_backward(step, C.OP_UNFLATTEN, node, error, input_fields(node.input))
    if isinstance(layer, Residual):
        names = {"source_2": step.outputs[node.name].tensor}
        return _map_backward(step, C.OP_ADD_BACKWARD, node, error, addition_fields(step, node), names)
    return error


def _parts(step: Step, node: Node, error: Value) -> dict[str, Value]:
    """Return each part of a concatenation's gradient by the layer that it belongs to."""
    found: dict[str, Value] = {}
    channel = 0
    for index, source in enumerate(node.sources):
        count = step.graph.node(source).output[0]
        name = f"{node.name}.gradient_{index + 1}"
        found[source] = step.channels(error, name, channel, count, f"{name}.exponent")
        channel += count
    return found


def _sum(step: Step, name: str, error: Value, other: Value) -> Value:
    """Emit the gradient of what `name` gives to two readers."""
    step.sums[name] = step.sums.get(name, 0) + 1
    sum_name = f"{name}.gradient" if step.sums[name] == 1 else f"{name}.gradient_{step.sums[name]}"
    tensor = step.out.feature_map(sum_name, error.shape)
    words = step.out.words(f"{sum_name}.exponent", error.shape[0] if error.per_channel else 1)
    total = replace(error, tensor=tensor, exponent=words)
    planes = dict.fromkeys(("source_plane", "source_2_plane", "target_plane"), step.out.plane(error.shape))
    names = {
        "source": error.tensor,
        "source_exponent": error.exponent,
        "source_2": other.tensor,
        "source_2_exponent": other.exponent,
        "target": total.tensor,
        "target_exponent": total.exponent,
    }
    fields = planes | output_fields(error.shape) | {"dither": step.dither, "flags": error.row_flag}
    step.out.emit(C.OP_ADD_GRADIENT, name, fields, names)
    return total


def _map_backward(
    step: Step, opcode: int, node: Node, error: Value, fields: dict[str, int], names: dict[str, str] | None = None
) -> Value:
    after = _gradient(step, node, step.read_by(node))
    fields |= {"source_plane": step.out.plane(node.output), "target_plane": step.out.plane(node.input)}
    named = {"source": error.tensor, "source_exponent": error.exponent, **(names or {})}
    named |= {"target": after.tensor, "target_exponent": after.exponent}
    step.out.emit(opcode, node.name, fields, named)
    return after


def _gradient(step: Step, node: Node, before: Value) -> Value:
    """Declare the gradient of `before`, which a layer reads."""
    tensor = step.out.feature_map(f"{node.name}.input_gradient", before.shape)
    words = step.out.words(f"{node.name}.input_gradient.exponent", before.shape[0] if before.per_channel else 1)
    return replace(before, tensor=tensor, exponent=words)


def _block_backward(step: Step, node: Node, error: Value, frozen: bool, go_on: bool) -> Value:
    if not frozen:
        _weight_gradient(step, node, error)
    below = _input_gradient(step, node, error) if go_on else error
    if not frozen:
        update_weights(step, node)
        if step.blocks[node.name].last:
            update_vector(step, node.name, f"{node.name}.bias", f"{node.name}.grad_bias", error.exponent)
    return below


def _norm_backward(step: Step, node: Node, error: Value, fixed: bool) -> Value:
    before, after = step.read_by(node), step.outputs[node.name]
    gradient = _gradient(step, node, before)
    constant = isinstance(node.layer, Bias) or step.hyper.statistics != "batch"
    flags = C.FLAG_FIXED if fixed else C.FLAG_RUNNING if constant else 0
    fields = norm_fields(step, node, flags) | {"dither": step.dither}
    names = {
        "source": error.tensor,
        "source_exponent": error.exponent,
        "source_2": before.tensor,
        "source_2_exponent": before.exponent,
        "source_3": after.tensor,
        "statistics": f"{node.name}.statistics",
        "target": gradient.tensor,
        "target_exponent": gradient.exponent,
    }
    if not fixed:
        names["grad_gamma"] = step.out.array(f"{node.name}.grad_gamma", 4 * node.output[0])
        names["grad_beta"] = step.out.array(f"{node.name}.grad_beta", 4 * node.output[0])
    step.out.emit(C.OP_L1BN_BACKWARD, node.name, fields | step.state(site=f"{node.name}.gradient_site"), names)
    for parameter in () if fixed else ("gamma", "beta"):
        if f"{node.name}.{parameter}" in step.layout.parameters:
            gradients = f"{node.name}.grad_{parameter}"
            update_vector(step, node.name, f"{node.name}.{parameter}", gradients, error.exponent)
    return gradient


def _weight_gradient(step: Step, node: Node, error: Value) -> None:
    source = step.read_by(node)
    fields = step.convolution(node)
    one, two = (source, error) if step.convolutions[node.name].transposed else (error, source)
    fields |= {"source_plane": step.out.plane(one.shape), "source_2_plane": step.out.plane(two.shape)}
    names = {
        "source": one.tensor,
        "source_exponent": one.exponent,
        "source_2": two.tensor,
        "source_2_exponent": two.exponent,
        "target": step.out.array(f"{node.name}.grad_weight", 4 * int(np.prod(node.weight_shape))),
        "target_exponent": step.out.words(f"{node.name}.grad_weight.exponent", node.weight_shape[0]),
    }
    if step.blocks[node.name].last:
        fields["flags"] |= C.FLAG_BIAS
        names["grad_beta"] = step.out.array(f"{node.name}.grad_bias", 4 * node.output[0])
    step.out.emit(C.OP_CONV_WEIGHT_GRADIENT, node.name, fields, names)


def _input_gradient(step: Step, node: Node, error: Value) -> Value:
    conv = step.convolutions[node.name]
    shape = conv.output if conv.transposed else conv.input
    below = _gradient(step, node, replace(step.read_by(node), shape=shape))
    fields = step.convolution(node, C.FLAG_FLAT if conv.flat else 0) | {"dither": step.dither}
    fields |= {"source_plane": step.out.plane(error.shape), "target_plane": step.out.plane(shape)}
    fields |= step.state(
        weights=f"{node.name}.view",
        weight_exponent=f"{node.name}.view_exponent",
        site=f"{node.name}.input_gradient_site",
    )
    names = {"source": error.tensor, "source_exponent": error.exponent}
    names |= {"target": below.tensor, "target_exponent": below.exponent}
    step.out.emit(C.OP_CONV_FORWARD if conv.transposed else C.OP_CONV_INPUT_GRADIENT, node.name, fields, names)
    return below
