"""Compiles the backward pass, from the loss down to the first trainable block.

A block is L1BN_BACKWARD, weight gradient, input gradient, SGD, in this order:
the input gradient needs the weights of the forward pass.
"""

from __future__ import annotations

import numpy as np

from strop.runtime.contract import C
from strop.runtime.forward_pass import norm_fields
from strop.runtime.graph import GlobalAveragePool, MaxPool2d, Node, Shape
from strop.runtime.state import Block
from strop.runtime.step import Step, Value, input_fields
from strop.runtime.updates import update_vector, update_weights


def emit_backward(step: Step, error: Value, frozen: frozenset[str]) -> None:
    """Emit the backward pass and the updates, down to the first block that is not frozen."""
    last = min(i for i, node in enumerate(step.graph.nodes) if node.name in step.blocks and node.name not in frozen)
    for index in range(len(step.graph.nodes) - 1, last - 1, -1):
        node = step.graph.nodes[index]
        if node.name in step.blocks:
            error = _block_backward(step, step.blocks[node.name], error, node.name in frozen, index > last)
        elif isinstance(node.layer, MaxPool2d):
            before = step.inputs[node.name]
            fields = step.pool(node) | {"source_2_plane": step.out.plane(node.input)}
            error = _reshape_backward(step, C.OP_MAX_POOL_BACKWARD, node, error, fields, {"source_2": before.tensor})
        elif isinstance(node.layer, GlobalAveragePool):
            fields = input_fields(node.input) | {"dither": step.dither}
            error = _reshape_backward(step, C.OP_GLOBAL_AVERAGE_POOL_BACKWARD, node, error, fields, {})
        elif step.transposes(node):
            error = _reshape_backward(step, C.OP_UNFLATTEN, node, error, input_fields(node.input), {})


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
    fields = norm_fields(step, block, fixed) | {"dither": step.dither}
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
    source = step.inputs[node.name]
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
