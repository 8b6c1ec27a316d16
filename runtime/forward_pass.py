"""Compiles the forward pass: a block is CONV_FORWARD and L1BN_FORWARD; branches end in ADD_FORWARD or a joint map."""

from __future__ import annotations

from strop.runtime.contract import STATISTICS, C
from strop.runtime.graph import IMAGES
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
from strop.runtime.state import feeds_relu
from strop.runtime.step import Step, Value, input_fields, output_fields


def emit_forward(step: Step, fixed: frozenset[str], infer: bool, last: str | None = None) -> Value:
    """Emit the forward pass; blocks in `fixed` use running statistics. Return the logits, or what `last` gives."""
    value = step.outputs[IMAGES] = _input(step)
    for node in step.graph.nodes:
        value = step.outputs[node.name] = _forward(step, node, fixed, infer)
        if node.name == last:
            break
    return value


def _forward(step: Step, node: Node, fixed: frozenset[str], infer: bool) -> Value:
    """Emit one layer; return what it gives, or what it reads where it needs no command."""
    layer, value = node.layer, step.read_by(node)
    if node.name in step.blocks:
        if step.blocks[node.name].last:
            return _logits(step, node, value, infer)
        return _convolution(step, node, value, node.name in fixed)
    if isinstance(layer, NORMS):
        return _normalize(step, node, value, step.owners[node.name] in fixed)
    if isinstance(layer, MaxPool2d):
        return _map(step, C.OP_MAX_POOL_FORWARD, node, value, step.pool(node))
    if isinstance(layer, AveragePool2d):
        fields = step.pool(node) | {"flags": value.row_flag}
        return _map(step, C.OP_AVERAGE_POOL_FORWARD, node, value, fields)
    if isinstance(layer, GlobalAveragePool):
        fields = input_fields(node.input) | {"exponent": layer.gain}
        return _map(step, C.OP_GLOBAL_AVERAGE_POOL_FORWARD, node, value, fields)
    if isinstance(layer, Upsample):
        return _map(step, C.OP_UPSAMPLE_FORWARD, node, value, upsample_fields(node))
    if isinstance(layer, TABLES):
        fields = table_fields(step, node) | {"exponent": layer.exponent}
        return _map(step, C.OP_ACTIVATION_FORWARD, node, value, fields)
    if step.transposes(node):
        return _map(step, C.OP_FLATTEN, node, value, input_fields(node.input))
    if isinstance(layer, Residual):
        return _add(step, node, layer.exponent)
    if isinstance(layer, Concatenate):
        return step.outputs[node.name]  # its parts are written by what makes them
    return value


def _input(step: Step) -> Value:
    channels, height, width = step.graph.input
    border = step.graph.border
    shape = (channels, height + 2 * border, width + 2 * border)
    fields = input_fields(step.graph.input) | output_fields(shape) | {"pad_top": border, "pad_left": border}
    fields |= {"source": step.slot.images, "flags": C.FLAG_SOURCE_IN_SLOT}
    reader = step.convolutions.get(step.graph.nodes[0].name)
    exponent = step.out.words("input.exponent")
    if reader is not None and reader.pixels:
        value = Value(step.out.pixel_map("input", reader.input), exponent, reader.input)
        fields |= {"flags": C.FLAG_SOURCE_IN_SLOT | C.FLAG_PIXELS, "columns": reader.columns}
    else:
        value = Value(step.out.feature_map("input", shape), exponent, shape)
    fields |= {"target_plane": step.out.plane(value.shape), "exponent": step.graph.input_exponent}
    step.out.emit(C.OP_INPUT, "input", fields, {"target": value.tensor, "target_exponent": value.exponent})
    return value


def _convolution(step: Step, node: Node, value: Value, fixed: bool) -> Value:
    after = step.output(node)
    transposed = step.convolutions[node.name].transposed
    fields = step.convolution(node, C.FLAG_FIXED if fixed else 0)
    fields |= {"source_plane": step.out.plane(value.shape), "target_plane": step.out.plane(after.shape)}
    fields |= step.state(
        weights=f"{node.name}.view", weight_exponent=f"{node.name}.view_exponent", site=f"{node.name}.pre_norm_site"
    )
    step.out.emit(
        C.OP_CONV_INPUT_GRADIENT if transposed else C.OP_CONV_FORWARD, node.name, fields, _between(value, after)
    )
    return after


def _normalize(step: Step, node: Node, value: Value, fixed: bool) -> Value:
    after = step.output(node)
    statistics = step.out.words(f"{node.name}.statistics", node.output[0] * STATISTICS.itemsize // 4)
    flags = {"running": C.FLAG_RUNNING, "frozen": C.FLAG_FIXED}.get(step.hyper.statistics, 0)
    if fixed or isinstance(node.layer, Bias):
        flags = C.FLAG_FIXED
    step.out.emit(
        C.OP_L1BN_FORWARD,
        node.name,
        norm_fields(step, node, flags)
        | step.state(
            gamma=f"{node.name}.gamma",
            beta=f"{node.name}.beta",
            running_mu=f"{node.name}.running_mu",
            running_sigma=f"{node.name}.running_sigma",
            running_steps=f"{node.name}.running_steps",
        ),
        {**_between(value, after), "statistics": statistics},
    )
    return after


def norm_fields(step: Step, node: Node, flags: int) -> dict[str, int]:
    """Return the fields that a normalization's command has in both directions, with `flags`."""
    assert isinstance(node.layer, NORMS)
    plane = step.out.plane(node.output)
    planes = dict.fromkeys(("source_plane", "source_2_plane", "source_3_plane", "target_plane"), plane)
    activation = C.ACTIVATION_RELU if feeds_relu(step.graph, node) else C.ACTIVATION_NONE
    fields = {"activation": activation, "exponent": node.layer.exponent, "flags": flags}
    return planes | fields | output_fields(node.output)


def table_fields(step: Step, node: Node) -> dict[str, int]:
    """Return the fields that the command of an activation by table has in both directions."""
    return output_fields(node.output) | step.state(table=f"{node.name}.table")


def upsample_fields(node: Node) -> dict[str, int]:
    """Return the fields that an upsampling's command has in both directions."""
    assert isinstance(node.layer, Upsample)
    scale = dict(zip(("stride_h", "stride_w"), node.layer.scale, strict=True))
    return input_fields(node.input) | output_fields(node.output) | scale


def _logits(step: Step, node: Node, value: Value, infer: bool) -> Value:
    fields = step.convolution(node, C.FLAG_LOGITS)
    fields |= {"source_plane": step.out.plane(value.shape), "target_plane": step.slot.logits_plane}
    fields |= step.state(
        weights=f"{node.name}.view", weight_exponent=f"{node.name}.view_exponent", beta=f"{node.name}.bias"
    )
    names = {"source": value.tensor, "source_exponent": value.exponent}
    if infer:
        fields["flags"] |= C.FLAG_TARGET_IN_SLOT
        fields |= {"target": step.slot.logits, "target_exponent": step.slot.logits_exponent}
    else:
        names["target"] = step.out.array("logits", node.output[0] * step.slot.logits_plane)
        names["target_exponent"] = step.out.words("logits.exponent")
    step.out.emit(C.OP_CONV_FORWARD, node.name, fields, names)
    return Value("logits", "logits.exponent", node.output)


def _map(step: Step, opcode: int, node: Node, value: Value, fields: dict[str, int]) -> Value:
    after = step.output(node)
    fields |= {"source_plane": step.out.plane(node.input), "target_plane": step.out.plane(node.output)}
    step.out.emit(opcode, node.name, fields, _between(value, after))
    return after


def _between(value: Value, after: Value) -> dict[str, str]:
    return {
        "source": value.tensor,
        "source_exponent": value.exponent,
        "target": after.tensor,
        "target_exponent": after.exponent,
    }


def _add(step: Step, node: Node, exponent: int) -> Value:
    body, shortcut = (step.outputs[source] for source in node.sources)
    after = step.output(node)
    names = {"source_2": shortcut.tensor, "source_2_exponent": shortcut.exponent}
    fields = addition_fields(step, node) | {"exponent": exponent}
    step.out.emit(C.OP_ADD_FORWARD, node.name, fields, _between(body, after) | names)
    return after


def addition_fields(step: Step, node: Node) -> dict[str, int]:
    """Return the fields that an addition's command has in both directions."""
    planes = dict.fromkeys(("source_plane", "source_2_plane", "target_plane"), step.out.plane(node.output))
    activation = C.ACTIVATION_RELU if feeds_relu(step.graph, node) else C.ACTIVATION_NONE
    return planes | output_fields(node.output) | {"activation": activation}
