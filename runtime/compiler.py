"""The compiler: a network and its training step, or its inference, to a program.

Forward: each block is CONV_FORWARD and L1BN_FORWARD. Backward, from the loss down to the first trainable block: L1BN_BACKWARD,
weight gradient, input gradient, SGD. Frozen blocks use their running statistics and do not change; below the first trainable
block nothing runs backward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from strop.runtime.contract import COMMAND, STATISTICS, C
from strop.runtime.errors import InputError, LimitError
from strop.runtime.graph import Conv2d, Flatten, GlobalAveragePool, MaxPool2d, NetworkGraph, Node, Shape
from strop.runtime.hyperparameters import Hyperparameters, batch_mantissa_and_shift, mantissa_and_shift
from strop.runtime.planner import Tenant, align, place
from strop.runtime.program import ArenaBase, Program, SlotLayout
from strop.runtime.state import Block, StateLayout, blocks_of

ACTIVATION_EXPONENT = 3  # NUMERICS.md 1.2: 4 saturates in long runs


@dataclass(frozen=True)
class _Value:
    """A feature map while compiling: the names of its tensor and of its exponent words, and its shape."""

    tensor: str
    exponent: str
    shape: Shape


class _Emitter:
    """Collects commands with tensors by name, then places the tensors and fills the offsets in."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.layers: list[str] = []
        self._commands: list[tuple[dict[str, int], dict[str, str]]] = []
        self._tensors: dict[str, int] = {}
        self._words: dict[str, int] = {}

    def feature_map(self, name: str, shape: Shape) -> str:
        """Declare an int8 tensor [C][N][H][W]."""
        self._tensors[name] = shape[0] * self.plane(shape)
        return name

    def plane(self, shape: Shape) -> int:
        return align(self.batch * shape[1] * shape[2])

    def array(self, name: str, nbytes: int) -> str:
        """Declare any other tensor that lives between commands of one step."""
        self._tensors[name] = nbytes
        return name

    def words(self, name: str, count: int = 1) -> str:
        """Declare exponent words; they live as long as the program."""
        self._words[name] = count
        return name

    def emit(self, opcode: int, layer: str, fields: dict[str, int], names: dict[str, str]) -> None:
        """Append a command; `names` maps offset fields to tensors and words declared here."""
        if layer not in self.layers:
            self.layers.append(layer)
        base = {"opcode": opcode, "layer": self.layers.index(layer), "batch": self.batch, "groups": 1}
        ones = dict.fromkeys(("kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w"), 1)
        self._commands.append(({**ones, **base, **fields}, names))

    def finish(self, kind: str, slot: SlotLayout, base: ArenaBase) -> Program:
        """Place everything and return the program."""
        offsets: dict[str, int] = {}
        at = 0
        for name, count in self._words.items():
            offsets[name] = base.workspace + at
            at += align(4 * count)
        used = {name: [i for i, (_, names) in enumerate(self._commands) if name in names.values()] for name in self._tensors}
        tenants = [Tenant(name, n, used[name][0], used[name][-1]) for name, n in self._tensors.items()]
        placements, peak = place(tenants)
        offsets.update({name: base.workspace + at + placement.offset for name, placement in placements.items()})
        commands = np.zeros(len(self._commands), COMMAND)
        for record, (fields, names) in zip(commands, self._commands):
            for field, value in fields.items():
                record[field] = value
            for field, name in names.items():
                record[field] = offsets[name]
        return Program(kind, self.batch, commands, tuple(self.layers), slot, placements, at + peak)


class _Compiler:
    def __init__(self, graph: NetworkGraph, layout: StateLayout, batch: int, base: ArenaBase, hyper: Hyperparameters) -> None:
        self.graph, self.layout, self.hyper, self.base = graph, layout, hyper, base
        self.out = _Emitter(batch)
        self.slot = SlotLayout.of(batch, int(np.prod(graph.input)), graph.classes)
        self.blocks = {block.node.name: block for block in blocks_of(graph)}
        self.inputs: dict[str, _Value] = {}
        self.outputs: dict[str, _Value] = {}
        self.dither = layout.offset("dither")

    # -- shapes and shared fields ---------------------------------------------------------------------------------
    def _window(self, node: Node) -> dict[str, int]:
        fields = _input_fields(node.input) | _output_fields(node.output)
        if isinstance(node.layer, (Conv2d, MaxPool2d)):
            fields |= dict(zip(("kernel_h", "kernel_w"), node.layer.kernel))
            fields |= dict(zip(("stride_h", "stride_w"), node.layer.stride))
            fields |= dict(zip(("pad_top", "pad_left"), node.layer.padding))
        if isinstance(node.layer, Conv2d):
            fields["groups"] = node.layer.groups
        return fields

    def _state(self, **names: str) -> dict[str, int]:
        return {field: self.layout.offset(name) for field, name in names.items()}

    # -- forward --------------------------------------------------------------------------------------------------
    def forward(self, fixed: frozenset[str], infer: bool) -> _Value:
        """Emit the forward pass; blocks in `fixed` use running statistics. Returns the logits."""
        value = self._input()
        for node in self.graph.nodes:
            self.inputs[node.name] = value
            if node.name in self.blocks:
                block = self.blocks[node.name]
                if block.norm is None:
                    value = self._logits(block, value, infer)
                else:
                    value = self._block_forward(block, value, block.node.name in fixed)
            elif isinstance(node.layer, MaxPool2d):
                value = self._reshape(C.OP_MAX_POOL_FORWARD, node, value, self._window(node))
            elif isinstance(node.layer, GlobalAveragePool):
                value = self._reshape(C.OP_GLOBAL_AVERAGE_POOL_FORWARD, node, value, _input_fields(node.input))
            elif isinstance(node.layer, Flatten) and node.input[1] * node.input[2] > 1:
                value = self._reshape(C.OP_FLATTEN, node, value, _input_fields(node.input))
            self.outputs[node.name] = value
        return value

    def _input(self) -> _Value:
        channels, height, width = self.graph.input
        border = self.graph.border
        shape = (channels, height + 2 * border, width + 2 * border)
        value = _Value(self.out.feature_map("input", shape), self.out.words("input.exponent"), shape)
        fields = _input_fields(self.graph.input) | _output_fields(shape) | {"pad_top": border, "pad_left": border}
        fields |= {"source": self.slot.images, "flags": C.FLAG_SOURCE_IN_SLOT, "target_plane": self.out.plane(shape)}
        self.out.emit(C.OP_INPUT, "input", fields, {"target": value.tensor, "target_exponent": value.exponent})
        return value

    def _block_forward(self, block: Block, value: _Value, fixed: bool) -> _Value:
        node, norm = block.node, block.norm
        assert norm is not None
        channels = node.output[0]
        flags = C.FLAG_FIXED if fixed else 0
        before = _Value(
            self.out.feature_map(f"{node.name}.output", node.output),
            self.out.words(f"{node.name}.exponent", channels),
            node.output,
        )
        fields = self._window(node) | {"flags": flags}
        fields |= {"source_plane": self.out.plane(node.input), "target_plane": self.out.plane(node.output)}
        fields |= self._state(
            weights=f"{node.name}.view", weight_exponent=f"{node.name}.view_exponent", site=f"{node.name}.pre_norm_site"
        )
        names = {"source": value.tensor, "source_exponent": value.exponent}
        self.out.emit(
            C.OP_CONV_FORWARD, node.name, fields, {**names, "target": before.tensor, "target_exponent": before.exponent}
        )
        after = _Value(
            self.out.feature_map(f"{norm.name}.output", node.output), self.out.words(f"{norm.name}.exponent"), node.output
        )
        statistics = self.out.words(f"{norm.name}.statistics", channels * STATISTICS.itemsize // 4)
        self.out.emit(
            C.OP_L1BN_FORWARD,
            norm.name,
            self._norm_fields(block, fixed)
            | self._state(
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

    def _norm_fields(self, block: Block, fixed: bool) -> dict[str, int]:
        plane = self.out.plane(block.node.output)
        planes = dict.fromkeys(("source_plane", "source_2_plane", "source_3_plane", "target_plane"), plane)
        activation = C.ACTIVATION_RELU if block.relu else C.ACTIVATION_NONE
        fields = {"activation": activation, "exponent": ACTIVATION_EXPONENT, "flags": C.FLAG_FIXED if fixed else 0}
        return planes | fields | _output_fields(block.node.output)

    def _logits(self, block: Block, value: _Value, infer: bool) -> _Value:
        node = block.node
        fields = self._window(node) | {"flags": C.FLAG_LOGITS}
        fields |= {"source_plane": self.out.plane(node.input), "target_plane": self.slot.logits_plane}
        fields |= self._state(
            weights=f"{node.name}.view", weight_exponent=f"{node.name}.view_exponent", beta=f"{node.name}.bias"
        )
        names = {"source": value.tensor, "source_exponent": value.exponent}
        if infer:
            fields["flags"] |= C.FLAG_TARGET_IN_SLOT
            fields |= {"target": self.slot.logits, "target_exponent": self.slot.logits_exponent}
        else:
            names["target"] = self.out.array("logits", node.output[0] * self.slot.logits_plane)
            names["target_exponent"] = self.out.words("logits.exponent")
        self.out.emit(C.OP_CONV_FORWARD, node.name, fields, names)
        return _Value("logits", "logits.exponent", node.output)

    def _reshape(self, opcode: int, node: Node, value: _Value, fields: dict[str, int]) -> _Value:
        after = _Value(
            self.out.feature_map(f"{node.name}.output", node.output), self.out.words(f"{node.name}.exponent"), node.output
        )
        fields |= {"source_plane": self.out.plane(node.input), "target_plane": self.out.plane(node.output)}
        self.out.emit(
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

    def loss(self, infer: bool) -> _Value:
        """Emit the loss; in training, its gradient."""
        classes = self.graph.classes
        fields = {"channels_out": classes, "labels": self.slot.labels, "source_plane": self.slot.logits_plane}
        if infer:
            fields |= {"flags": C.FLAG_FIXED | C.FLAG_SOURCE_IN_SLOT}
            fields |= {"source": self.slot.logits, "source_exponent": self.slot.logits_exponent}
            self.out.emit(C.OP_SOFTMAX_CROSS_ENTROPY, "loss", fields, {})
            return _Value("", "", self.graph.nodes[-1].output)
        shape = self.graph.nodes[-1].output
        error = _Value(self.out.feature_map("loss.gradient", shape), self.out.words("loss.exponent"), shape)
        fields |= {"target_plane": self.out.plane(shape), "dither": self.dither}
        names = {"source": "logits", "source_exponent": "logits.exponent"}
        self.out.emit(
            C.OP_SOFTMAX_CROSS_ENTROPY,
            "loss",
            fields,
            {**names, "target": error.tensor, "target_exponent": error.exponent},
        )
        return error

    # -- backward -------------------------------------------------------------------------------------------------
    def backward(self, error: _Value, frozen: frozenset[str]) -> None:
        """Emit the backward pass and the updates, down to the first block that is not frozen."""
        last = min(i for i, node in enumerate(self.graph.nodes) if node.name in self.blocks and node.name not in frozen)
        for index in range(len(self.graph.nodes) - 1, last - 1, -1):
            node = self.graph.nodes[index]
            if node.name in self.blocks:
                error = self._block_backward(self.blocks[node.name], error, node.name in frozen, index > last)
            elif isinstance(node.layer, MaxPool2d):
                before = self.inputs[node.name]
                fields = self._window(node) | {"source_2_plane": self.out.plane(node.input)}
                error = self._reshape_backward(
                    C.OP_MAX_POOL_BACKWARD, node, error, fields, {"source_2": before.tensor}
                )
            elif isinstance(node.layer, GlobalAveragePool):
                fields = _input_fields(node.input) | {"dither": self.dither}
                error = self._reshape_backward(C.OP_GLOBAL_AVERAGE_POOL_BACKWARD, node, error, fields, {})
            elif isinstance(node.layer, Flatten) and node.input[1] * node.input[2] > 1:
                error = self._reshape_backward(C.OP_UNFLATTEN, node, error, _input_fields(node.input), {})

    def _reshape_backward(
        self, opcode: int, node: Node, error: _Value, fields: dict[str, int], names: dict[str, str]
    ) -> _Value:
        after = self._gradient(node.name, node.input, 1)
        fields |= {"source_plane": self.out.plane(node.output), "target_plane": self.out.plane(node.input)}
        names |= {"source": error.tensor, "source_exponent": error.exponent}
        self.out.emit(opcode, node.name, fields, {**names, "target": after.tensor, "target_exponent": after.exponent})
        return after

    def _gradient(self, name: str, shape: Shape, exponents: int) -> _Value:
        tensor = self.out.feature_map(f"{name}.input_gradient", shape)
        return _Value(tensor, self.out.words(f"{name}.input_gradient.exponent", exponents), shape)

    def _block_backward(self, block: Block, error: _Value, frozen: bool, go_on: bool) -> _Value:
        node, norm = block.node, block.norm
        arriving = error
        if norm is not None:
            error = self._norm_backward(block, error, frozen)
        if not frozen:
            self._weight_gradient(block, error)
        below = self._input_gradient(block, error) if go_on else error
        if not frozen:
            self._update_weights(node, per_channel=norm is not None and self.hyper.per_channel_weights)
            if norm is None:
                self._update_vector(node.name, f"{node.name}.bias", f"{node.name}.grad_bias", arriving.exponent)
            else:
                self._update_vector(norm.name, f"{norm.name}.gamma", f"{norm.name}.grad_gamma", arriving.exponent)
                self._update_vector(norm.name, f"{norm.name}.beta", f"{norm.name}.grad_beta", arriving.exponent)
        return below

    def _norm_backward(self, block: Block, error: _Value, fixed: bool) -> _Value:
        node, norm = block.node, block.norm
        assert norm is not None
        channels = node.output[0]
        before, after = f"{node.name}.output", f"{norm.name}.output"
        gradient = self._gradient(norm.name, node.output, channels)
        fields = self._norm_fields(block, fixed) | {"dither": self.dither}
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
            names["grad_gamma"] = self.out.array(f"{norm.name}.grad_gamma", 4 * channels)
            names["grad_beta"] = self.out.array(f"{norm.name}.grad_beta", 4 * channels)
        self.out.emit(
            C.OP_L1BN_BACKWARD, norm.name, fields | self._state(site=f"{norm.name}.gradient_site"), names
        )
        return gradient

    def _weight_gradient(self, block: Block, error: _Value) -> None:
        node = block.node
        source = self.inputs[node.name]
        fields = self._window(node)
        fields |= {"source_plane": self.out.plane(node.output), "source_2_plane": self.out.plane(node.input)}
        names = {
            "source": error.tensor,
            "source_exponent": error.exponent,
            "source_2": source.tensor,
            "source_2_exponent": source.exponent,
            "target": self.out.array(f"{node.name}.grad_weight", 4 * int(np.prod(node.weight_shape))),
            "target_exponent": self.out.words(f"{node.name}.grad_weight.exponent", node.output[0]),
        }
        if block.norm is None:
            fields["flags"] = C.FLAG_BIAS
            names["grad_beta"] = self.out.array(f"{node.name}.grad_bias", 4 * node.output[0])
        self.out.emit(C.OP_CONV_WEIGHT_GRADIENT, node.name, fields, names)

    def _input_gradient(self, block: Block, error: _Value) -> _Value:
        node = block.node
        below = self._gradient(node.name, node.input, 1)
        fields = self._window(node) | {"dither": self.dither}
        fields |= {"source_plane": self.out.plane(node.output), "target_plane": self.out.plane(node.input)}
        fields |= self._state(
            weights=f"{node.name}.view",
            weight_exponent=f"{node.name}.view_exponent",
            site=f"{node.name}.input_gradient_site",
        )
        names = {"source": error.tensor, "source_exponent": error.exponent}
        self.out.emit(
            C.OP_CONV_INPUT_GRADIENT,
            node.name,
            fields,
            {**names, "target": below.tensor, "target_exponent": below.exponent},
        )
        return below

    # -- updates --------------------------------------------------------------------------------------------------
    def _sgd_fields(self, fraction: int, weight_decay: float) -> dict[str, int]:
        batch_mantissa, batch_shift = batch_mantissa_and_shift(self.out.batch)
        decay_mantissa, decay_shift = mantissa_and_shift(weight_decay, "weight_decay")
        return {
            "fraction_bits": fraction,
            "momentum_decay": self.hyper.momentum_decay,
            "weight_decay_mantissa": decay_mantissa,
            "weight_decay_shift": decay_shift,
            "batch_mantissa": batch_mantissa,
            "batch_shift": batch_shift,
        }

    def _update_weights(self, node: Node, per_channel: bool) -> None:
        flags = C.FLAG_EXPONENT_PER_ROW | C.FLAG_VIEW | (C.FLAG_VIEW_PER_ROW if per_channel else 0)
        fields = self._sgd_fields(C.WEIGHT_FRACTION, self.hyper.weight_decay)
        fields |= {"flags": flags, **_weight_rows(node)}
        fields |= self._state(
            master=f"{node.name}.weight",
            momentum=f"{node.name}.weight.momentum",
            weights=f"{node.name}.view",
            weight_exponent=f"{node.name}.view_exponent",
        )
        gradient = f"{node.name}.grad_weight"
        self.out.emit(
            C.OP_SGD, node.name, fields, {"gradient": gradient, "gradient_exponent": f"{gradient}.exponent"}
        )

    def _update_vector(self, layer: str, parameter: str, gradient: str, exponent: str) -> None:
        count = self.layout.tensors[parameter].shape[0]
        fields = self._sgd_fields(C.PARAMETER_FRACTION, 0.0) | {"rows": 1, "columns": count}
        fields |= self._state(master=parameter, momentum=f"{parameter}.momentum")
        self.out.emit(C.OP_SGD, layer, fields, {"gradient": gradient, "gradient_exponent": exponent})

    def views(self) -> None:
        """Emit the int8 views of all masters, as after a state was loaded."""
        for block in self.blocks.values():
            node = block.node
            per_channel = block.norm is not None and self.hyper.per_channel_weights
            fields = {"flags": C.FLAG_VIEW_PER_ROW if per_channel else 0, **_weight_rows(node)}
            fields |= self._state(
                master=f"{node.name}.weight",
                weights=f"{node.name}.view",
                weight_exponent=f"{node.name}.view_exponent",
            )
            self.out.emit(C.OP_WEIGHT_VIEW, node.name, fields, {})


def _input_fields(shape: Shape) -> dict[str, int]:
    return {"channels_in": shape[0], "height_in": shape[1], "width_in": shape[2]}


def _output_fields(shape: Shape) -> dict[str, int]:
    return {"channels_out": shape[0], "height_out": shape[1], "width_out": shape[2]}


def _weight_rows(node: Node) -> dict[str, int]:
    k, *rest = node.weight_shape
    return {"rows": k, "columns": int(np.prod(rest))}


def _check_batch(graph: NetworkGraph, batch: int, least: int) -> None:
    if not least <= batch <= C.MAX_BATCH:
        raise LimitError(f"{graph.name}: a mini-batch of {batch}; allowed: {least} to {C.MAX_BATCH}")
    for node in graph.nodes:
        values = batch * node.output[1] * node.output[2]
        if node in graph.weighted and values > C.MAX_REDUCTION:
            most = C.MAX_REDUCTION // (node.output[1] * node.output[2])
            raise LimitError(
                f"{graph.name}, layer {node.name}: a mini-batch of {batch} gives {values} values a channel, more than the "
                f"{C.MAX_REDUCTION} that an int32 sum holds; take a mini-batch of at most {most}"
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
        what = f"there is no layer {', '.join(unknown)}" if unknown else "every layer is frozen, so nothing would be trained"
        raise InputError(f"frozen: {what}; layers that can be frozen: {', '.join(names)}")
    compiler = _Compiler(graph, layout, batch, base, hyper)
    compiler.forward(frozen, infer=False)
    compiler.backward(compiler.loss(infer=False), frozen)
    return compiler.out.finish("train", compiler.slot, base)


def compile_inference(graph: NetworkGraph, layout: StateLayout, batch: int, base: ArenaBase) -> Program:
    """Compile inference on mini-batches of `batch`: logits into the slot, loss and correct answers into its head."""
    _check_batch(graph, batch, least=1)
    compiler = _Compiler(graph, layout, batch, base, Hyperparameters())
    compiler.forward(frozenset(compiler.blocks), infer=True)
    compiler.loss(infer=True)
    return compiler.out.finish("infer", compiler.slot, base)


def compile_views(graph: NetworkGraph, layout: StateLayout, base: ArenaBase, hyper: Hyperparameters) -> Program:
    """Compile the making of all int8 weight views from the masters."""
    compiler = _Compiler(graph, layout, 1, base, hyper)
    compiler.views()
    return compiler.out.finish("views", compiler.slot, base)


