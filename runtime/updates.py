"""Compiles the updates: elastic pull and SGD on weights and per-channel parameters, and the int8 views of weights."""

from __future__ import annotations

import numpy as np

from strop.runtime.contract import C
from strop.runtime.hyperparameters import batch_mantissa_and_shift, mantissa_and_shift
from strop.runtime.node import Node
from strop.runtime.step import Step


def _sgd_fields(step: Step, fraction: int, weight_decay: float) -> dict[str, int]:
    batch_mantissa, batch_shift = batch_mantissa_and_shift(step.out.batch)
    decay_mantissa, decay_shift = mantissa_and_shift(weight_decay, "weight_decay")
    return {
        "fraction_bits": fraction,
        "momentum_decay": step.hyper.momentum_decay,
        "weight_decay_mantissa": decay_mantissa,
        "weight_decay_shift": decay_shift,
        "batch_mantissa": batch_mantissa,
        "batch_shift": batch_shift,
    }


def _per_channel(step: Step, node: Node) -> bool:
    """Whether a layer's weights have an exponent a channel: not where a sum runs over rows, nor in the last layer."""
    apart = not step.blocks[node.name].last and not step.convolutions[node.name].transposed
    return apart and step.hyper.per_channel_weights


def update_weights(step: Step, node: Node) -> None:
    """Emit SGD on a layer's weights, and the int8 view that the next step uses."""
    _pull(step, node.name, f"{node.name}.weight")
    fields = _sgd_fields(step, C.WEIGHT_FRACTION, step.hyper.weight_decay) | step.convolutions[node.name].view_fields
    fields["flags"] |= C.FLAG_EXPONENT_PER_ROW | C.FLAG_VIEW | (C.FLAG_VIEW_PER_ROW if _per_channel(step, node) else 0)
    fields |= step.state(
        master=f"{node.name}.weight",
        momentum=f"{node.name}.weight.momentum",
        weights=f"{node.name}.view",
        weight_exponent=f"{node.name}.view_exponent",
    )
    gradient = f"{node.name}.grad_weight"
    step.out.emit(C.OP_SGD, node.name, fields, {"gradient": gradient, "gradient_exponent": f"{gradient}.exponent"})


def update_vector(step: Step, layer: str, parameter: str, gradient: str, exponent: str) -> None:
    """Emit SGD on a per-channel parameter: gamma, beta or bias."""
    _pull(step, layer, parameter)
    count = step.layout.tensors[parameter].shape[0]
    fields = _sgd_fields(step, C.PARAMETER_FRACTION, 0.0) | {"rows": 1, "columns": count}
    fields |= step.state(master=parameter, momentum=f"{parameter}.momentum")
    step.out.emit(C.OP_SGD, layer, fields, {"gradient": gradient, "gradient_exponent": exponent})


def _pull(step: Step, layer: str, parameter: str) -> None:
    """Emit the elastic pull on a parameter, if there is one, before its SGD."""
    if not step.hyper.elastic:
        return
    fields = {"rows": 1, "columns": int(np.prod(step.layout.tensors[parameter].shape))}
    fields |= step.state(
        master=parameter,
        anchor=f"{parameter}.anchor",
        importance=f"{parameter}.importance",
    )
    step.out.emit(C.OP_ELASTIC_PULL, layer, fields, {})


def emit_views(step: Step) -> None:
    """Emit the int8 views of all masters, as after a state was loaded."""
    for block in step.blocks.values():
        node = block.node
        fields = step.convolutions[node.name].view_fields
        fields["flags"] |= C.FLAG_VIEW_PER_ROW if _per_channel(step, node) else 0
        fields |= step.state(
            master=f"{node.name}.weight",
            weights=f"{node.name}.view",
            weight_exponent=f"{node.name}.view_exponent",
        )
        step.out.emit(C.OP_WEIGHT_VIEW, node.name, fields, {})
