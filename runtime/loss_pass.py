"""Compiles the loss, and in training its gradient."""

from __future__ import annotations

from strop.runtime.contract import C
from strop.runtime.step import Step, Value

OPCODES = {
    "cross_entropy": C.OP_SOFTMAX_CROSS_ENTROPY,
    "binary_cross_entropy": C.OP_SIGMOID_CROSS_ENTROPY,
    "squared_error": C.OP_SQUARED_ERROR,
}


def emit_inference_loss(step: Step) -> None:
    """Emit loss and correct answers by labels, into the slot's head."""
    fields = {"channels_out": step.graph.classes, "labels": step.slot.labels, "source_plane": step.slot.logits_plane}
    fields |= {"flags": C.FLAG_FIXED | C.FLAG_SOURCE_IN_SLOT}
    fields |= {"source": step.slot.logits, "source_exponent": step.slot.logits_exponent}
    step.out.emit(C.OP_SOFTMAX_CROSS_ENTROPY, "loss", fields, {})


def emit_loss(step: Step) -> Value:
    """Emit the loss of a training step; return its gradient."""
    shape = step.graph.nodes[-1].output
    error = Value(step.out.feature_map("loss.gradient", shape), step.out.words("loss.exponent"), shape)
    fields = {"channels_out": step.graph.classes, "labels": step.slot.labels, "source_plane": step.slot.logits_plane}
    fields |= {"target_plane": step.out.plane(shape), "dither": step.dither}
    if step.hyper.has_targets:  # they take the room that logits have in inference
        fields |= {"source_2": step.slot.logits, "source_2_plane": step.slot.logits_plane}
    if step.hyper.soft_targets and step.hyper.loss == "cross_entropy":
        fields |= {"flags": C.FLAG_SOFT}
    names = {"source": "logits", "source_exponent": "logits.exponent"}
    names |= {"target": error.tensor, "target_exponent": error.exponent}
    step.out.emit(OPCODES[step.hyper.loss], "loss", fields, names)
    return error
