"""Reads a PyTorch module as operations: torch.export traces it to aten operators, which are translated one by one."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.host.importing.builder import Builder, Traced, input_value
from strop.host.importing.errors import ModelImportError, Obstacle, Unsupported, UnsupportedNodes
from strop.host.importing.operations import OperationGraph
from strop.host.importing.torch_operators import OPERATORS, Aten
from strop.runtime.graph import Shape


def require_torch() -> Any:
    """Return the package torch. Raises `ModelImportError` where it is not installed."""
    try:
        import torch
        import torch.export
    except ImportError as error:
        raise ModelImportError(
            f"PyTorch modules need the package torch ({error}): pip install 'strop[torch]'"
        ) from error
    return torch


def read_torch(module: Any, example_input: Any, input_shape: Shape | None = None) -> tuple[OperationGraph, bool]:
    """Return the operations of an `nn.Module` in inference, and whether it takes flat samples.

    example_input: a float tensor [n, C, H, W] as the module takes it, or [n, features] with input_shape = (C, H, W).
    The module is left as it was. Raises `ModelImportError`, and `UnsupportedNodes` with all that has no counterpart.
    """
    torch = require_torch()
    if not isinstance(module, torch.nn.Module):
        raise ModelImportError(f"{type(module).__name__} is no torch.nn.Module")
    if not isinstance(example_input, torch.Tensor) or example_input.ndim not in (2, 4) or not len(example_input):
        raise ModelImportError("example_input must be a tensor [n, C, H, W] or [n, features], as the module takes it")
    found = tuple(int(size) for size in example_input.shape[1:])
    flat = len(found) == 1
    shape: Shape = (input_shape or (found[0], 1, 1)) if flat else (found[0], found[1], found[2])
    if int(np.prod(shape)) != int(np.prod(found)):
        raise ModelImportError(f"the module takes {found[0]} features; input_shape={input_shape} has another number")
    program = _exported(torch, module, example_input)
    reader = _Reader(torch, type(module).__name__, program, shape, flat, len(example_input))
    return reader.read(), flat


def _exported(torch: Any, module: Any, example_input: Any) -> Any:
    """Return the `ExportedProgram` of a module in eval mode; whether its parts train is put back as it was."""
    modes = {name: part.training for name, part in module.named_modules()}
    module.eval()
    try:
        with torch.no_grad():
            return torch.export.export(module, (example_input,))
    except Exception as error:
        raise ModelImportError(
            f"torch.export cannot trace {type(module).__name__}: {' '.join(str(error).split())[:400]}; a module "
            "without control flow that depends on values can be"
        ) from error
    finally:
        for name, part in module.named_modules():
            part.training = modes[name]


class _Reader:
    def __init__(self, torch: Any, name: str, program: Any, shape: Shape, flat: bool, samples: int) -> None:
        self.torch, self.program = torch, program
        self.name, self.builder = name, Builder(name, shape, samples)
        self.values: dict[str, Any] = {}
        self.obstacles: list[Obstacle] = []
        self.input = input_value(shape, 2 if flat else 4, False)

    def read(self) -> OperationGraph:
        self._place_inputs()
        for node in self.program.graph.nodes:
            if node.op == "call_function":
                self._translate(node)
        if self.obstacles:
            raise UnsupportedNodes(self.name, tuple(self.obstacles))
        output = self._output()
        try:
            return self.builder.finish(output)
        except Unsupported as reason:
            raise ModelImportError(f"{self.name}: {reason.why}; {reason.remedy}") from reason

    def _place_inputs(self) -> None:
        """Give parameters, buffers and constants their arrays, and the one user input its place."""
        kinds = self.torch.export.graph_signature.InputKind
        users = [s for s in self.program.graph_signature.input_specs if s.kind == kinds.USER_INPUT]
        if len(users) != 1:
            raise ModelImportError(f"{self.name} takes {len(users)} inputs; strop's networks take one, images")
        for spec in self.program.graph_signature.input_specs:
            if spec.kind == kinds.USER_INPUT:
                self.values[spec.arg.name] = self.input
                continue
            held = self.program.state_dict.get(spec.target)
            held = self.program.constants.get(spec.target) if held is None else held
            if not isinstance(held, self.torch.Tensor):
                raise ModelImportError(f"{self.name}: {spec.target} is no tensor")
            self.values[spec.arg.name] = _array(self.torch, held)

    def _output(self) -> Traced:
        node = next(node for node in self.program.graph.nodes if node.op == "output")
        given = [arg for arg in node.args[0] if hasattr(arg, "name")]
        if len(given) != 1:
            raise ModelImportError(f"{self.name} returns {len(given)} values; it must return the logits alone")
        found = self.values.get(given[0].name)
        if not isinstance(found, Traced):
            raise ModelImportError(f"{self.name}: what it returns does not depend on the images")
        return found

    def _translate(self, node: Any) -> None:
        label, op = _label(node), _operator(node)
        try:
            if node.target is operator.getitem:
                source = self.values.get(node.args[0].name)
                if node.args[1] != 0 or source is None:
                    raise Unsupported("it takes the second result of an operator", "use its first result alone")
                self.values[node.name] = source
                return
            if op not in OPERATORS:
                raise Unsupported("strop has no layer for it", _REMEDIES.get(op, _REMEDY))
            arguments = {k: self._known(v) for k, v in _named(node).items()}
            self.builder.at(label, op)
            self.values[node.name] = OPERATORS[op](Aten(self.builder, arguments, len(_batch(node))))
        except Unsupported as reason:
            self.obstacles.append(Obstacle(label, op, reason.why, reason.remedy))
            self.values[node.name] = _shaped(node)

    def _known(self, argument: Any) -> Any:
        if isinstance(argument, (list, tuple)):
            return [self._known(item) for item in argument]
        return self.values.get(argument.name) if hasattr(argument, "name") and hasattr(argument, "op") else argument


def _operator(node: Any) -> str:
    schema = getattr(node.target, "_schema", None)
    return str(getattr(node.target, "__name__", node.target)) if schema is None else schema.name.removeprefix("aten::")


def _named(node: Any) -> dict[str, Any]:
    """Return a node's arguments by their names in the operator's schema, defaults included."""
    schema = node.target._schema
    named = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}
    named.update(zip((a.name for a in schema.arguments), node.args, strict=False))
    return {**named, **node.kwargs}


def _label(node: Any) -> str:
    """Return the path of the module that a node belongs to, else its own name."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [entry[0] for entry in stack.values() if isinstance(entry, tuple) and entry[0]]
    return f"{paths[-1]} ({node.name})" if paths else str(node.name)


def _batch(node: Any) -> tuple[int, ...]:
    value = node.meta.get("val")
    return tuple(getattr(value, "shape", ()))


def _shaped(node: Any) -> Traced | None:
    """Return a stand-in for what an unsupported node gives, so that those behind it are looked at, too."""
    shape = tuple(int(size) for size in _batch(node))
    if len(shape) == 4:
        return Traced("?", (shape[1], shape[2], shape[3]))
    return Traced("?", (shape[1], 1, 1), rank=2) if len(shape) == 2 else None


def _array(torch: Any, tensor: Any) -> NDArray[Any]:
    tensor = tensor.detach().cpu()
    return np.asarray((tensor.to(torch.float64) if tensor.is_floating_point() else tensor).numpy())


_REMEDY = "replace it by layers that strop has"
_REMEDIES = {
    "layer_norm": "train the network with batch normalization instead",
    "group_norm": "train the network with batch normalization instead",
    "instance_norm": "train the network with batch normalization instead",
    "scaled_dot_product_attention": "strop trains convolutional networks; take one without attention",
    "gelu": "use ReLU, SiLU or HardSwish",
}
