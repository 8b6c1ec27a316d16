"""Compiles the forward pass and the loss: a block is CONV_FORWARD and L1BN_FORWARD; branches end in ADD_FORWARD."""

from __future__ import annotations

from strop.runtime.contract import STATISTICS, C
from strop.runtime.graph import IMAGES, GlobalAveragePool, MaxPool2d, Node, Residual
from strop.runtime.state import Block, feeds_relu
from strop.runtime.step import Step, Value, input_fields, output_fields

ACTIVATION_EXPONENT = 3  # NUMERICS.md 1.2: 4 saturates in long runs


def emit_forward(step: Step, fixed: frozenset[str], infer: bool, last: str | None = None) -> Value:
    """Emit the forward pass; blocks in `fixed` use running statistics. Return the logits, or what `last` gives."""
    value = step.outputs[IMAGES] = _input(step)
    for node in step.graph.nodes:
        value = step.read_by(node)
        if node.name in step.blocks:
            block = step.blocks[node.name]
            if block.norm is None:
                value = _logits(step, block, value, infer)
            else:
                value = _block_forward(step, block, value, block.node.name in fixed)
        elif isinstance(node.layer, MaxPool2d):
            value = _reshape(step, C.OP_MAX_POOL_FORWARD, node, value, step.pool(node))
        elif isinstance(node.layer, GlobalAveragePool):
            value = _reshape(step, C.OP_GLOBAL_AVERAGE_POOL_FORWARD, node, value, input_fields(node.input))
        elif step.transposes(node):
            value = _reshape(step, C.OP_FLATTEN, node, value, input_fields(node.input))
        elif isinstance(node.layer, Residual):
            value = _add(step, node)
        step.outputs[node.name] = value
        if node.name == last:
            break
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


def _block_forward(step: Step, block: Block, value: Value, fixed: bool) -> Value:
    node, norm = block.node, block.norm
    assert norm is not None
    channels = node.output[0]
    before = Value(
        step.out.feature_map(f"{node.name}.output", node.output),
        step.out.words(f"{node.name}.exponent", channels),
        node.output,
    )
    fields = step.convolution(node, C.FLAG_FIXED if fixed else 0)
    fields |= {"source_plane": step.out.plane(value.shape), "target_plane": step.out.plane(node.output)}
    fields |= step.state(
        weights=f"{node.name}.view", weight_exponent=f"{node.name}.view_exponent", site=f"{node.name}.pre_norm_site"
    )
    names = {"source": value.tensor, "source_exponent": value.exponent}
    step.out.emit(
        C.OP_CONV_FORWARD, node.name, fields, {**names, "target": before.tensor, "target_exponent": before.exponent}
    )
    after = Value(
        step.out.feature_map(f"{norm.name}.output", node.output),
        step.out.words(f"{norm.name}.exponent"),
        node.output,
    )
    statistics = step.out.words(f"{norm.name}.statistics", channels * STATISTICS.itemsize // 4)
    flags = C.FLAG_FIXED if fixed else {"running": C.FLAG_RUNNING, "frozen": C.FLAG_FIXED}.get(step.hyper.statistics, 0)
    step.out.emit(
        C.OP_L1BN_FORWARD,
        norm.name,
        norm_fields(step, block, flags)
        | step.state(
            gamma=f"{norm.name}.gamma",
            beta=f"{norm.name}.beta",
            running_mu=f"{norm.name}.running_mu",
            running_sigma=f"{norm.name}.running_sigma",
            running_steps=f"{norm.name}.running_steps",
        ),
        {
            "source": before.tensor,
            "source_exponent": before.exponent,
            "target": after.tensor,
            "target_exponent": after.exponent,
            "statistics": statistics,
        },
    )
    return after


def norm_fields(step: Step, block: Block, flags: int) -> dict[str, int]:
    """Return the fields that L1BN's command has in both directions, with `flags`."""
    plane = step.out.plane(block.node.output)
    planes = dict.fromkeys(("source_plane", "source_2_plane", "source_3_plane", "target_plane"), plane)
    activation = C.ACTIVATION_RELU if block.relu else C.ACTIVATION_NONE
    fields = {"activation": activation, "exponent": ACTIVATION_EXPONENT, "flags": flags}
    return planes | fields | output_fields(block.node.output)


def _logits(step: Step, block: Block, value: Value, infer: bool) -> Value:
    node = block.node
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


def _reshape(step: Step, opcode: int, node: Node, value: Value, fields: dict[str, int]) -> Value:
    after = Value(
        step.out.feature_map(f"{node.name}.output", node.output),
        step.out.words(f"{node.name}.exponent"),
        node.output,
    )
    fields |= {"source_plane": step.out.plane(node.input), "target_plane": step.out.plane(node.output)}
    step.out.emit(
        opcode,
        node.name,
        fields,
        {
            "source": value.tensor,
            "source_exponent": value.exponent,
            "target": after.tensor,
            "target_exponent": after.exponent,
        },
    )
    return after


def _add(step: Step, node: Node) -> Value:
    body, shortcut = (step.outputs[source] for source in node.sources)
    after = Value(
        step.out.feature_map(f"{node.name}.output", node.output),
        step.out.words(f"{node.name}.exponent"),
        node.output,
    )
    step.out.emit(
        C.OP_ADD_FORWARD,
        node.name,
        addition_fields(step, node) | {"exponent": ACTIVATION_EXPONENT},
        {
            "source": body.tensor,
            "source_exponent": body.exponent,
            "source_2": shortcut.tensor,
            "source_2_exponent": shortcut.exponent,
            "target": after.tensor,
            "target_exponent": after.exponent,
        },
    )
    return after


def addition_fields(step: Step, node: Node) -> dict[str, int]:
    """Return the fields that an addition's command has in both directions."""
    planes = dict.fromkeys(("source_plane", "source_2_plane", "target_plane"), step.out.plane(node.output))
    activation = C.ACTIVATION_RELU if feeds_relu(step.graph, node) else C.ACTIVATION_NONE
    return planes | output_fields(node.output) | {"activation": activation}


def emit_loss(step: Step, infer: bool) -> Value:
    """Emit the loss; in training, its gradient."""
    classes = step.graph.classes
    fields = {"channels_out": classes, "labels": step.slot.labels, "source_plane": step.slot.logits_plane}
    if infer:
        fields |= {"flags": C.FLAG_FIXED | C.FLAG_SOURCE_IN_SLOT}
        fields |= {"source": step.slot.logits, "source_exponent": step.slot.logits_exponent}
        step.out.emit(C.OP_SOFTMAX_CROSS_ENTROPY, "loss", fields, {})
        return Value("", "", step.graph.nodes[-1].output)
    shape = step.graph.nodes[-1].output
    error = Value(step.out.feature_map("loss.gradient", shape), step.out.words("loss.exponent"), shape)
    fields |= {"target_plane": step.out.plane(shape), "dither": step.dither}
    names = {"source": "logits", "source_exponent": "logits.exponent"}
    step.out.emit(
        C.OP_SOFTMAX_CROSS_ENTROPY,
        "loss",
        fields,
        {**names, "target": error.tensor, "target_exponent": error.exponent},
    )
    return error
