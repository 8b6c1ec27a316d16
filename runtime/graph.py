"""A network as the compiler takes it: layers with an input shape, checked when it is made.

A *block* is what the kernel trains as one: a convolution or fully-connected layer with its L1BN and activation. The
network is declared with the field's layers (layers.py); `NetworkGraph` flattens them to nodes, each of which knows what
it reads, and infers every shape (graph_walk.py).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from strop.runtime.contract import C
from strop.runtime.errors import LimitError, NetworkError
from strop.runtime.graph_walk import IMAGES, Walk, are_whole
from strop.runtime.layers import (
    L1BN,
    LAYER_KINDS,
    NORMS,
    TABLES,
    WEIGHTED,
    AveragePool2d,
    Bias,
    Concatenate,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    GlobalAveragePool,
    HardSwish,
    Layer,
    LeakyReLU,
    Linear,
    MaxPool2d,
    ReLU,
    ReLU6,
    Residual,
    Sigmoid,
    SiLU,
    Tanh,
    Upsample,
    describe,
    described,
)
from strop.runtime.node import Node, Shape

__all__ = [
    "IMAGES",
    "L1BN",
    "LAYER_KINDS",
    "NORMS",
    "TABLES",
    "WEIGHTED",
    "AveragePool2d",
    "Bias",
    "Concatenate",
    "Conv2d",
    "ConvTranspose2d",
    "Flatten",
    "GlobalAveragePool",
    "HardSwish",
    "Layer",
    "LeakyReLU",
    "Linear",
    "MaxPool2d",
    "NetworkGraph",
    "Node",
    "ReLU",
    "ReLU6",
    "Residual",
    "Shape",
    "SiLU",
    "Sigmoid",
    "Tanh",
    "Upsample",
]


@dataclass(frozen=True)
class NetworkGraph:
    """Layers on an image of `input` = (channels, height, width), uint8.

    `border` pixels of black are put around each image by the input conversion (LeNet-5 takes 28x28 images as 32x32).
    A byte p of the input stands for (p - 128) * 2^-`input_exponent`; another exponent than that of images belongs to a
    network that was cut in the middle (runtime/cut.py). Raises `NetworkError` or `LimitError` where the chain cannot be
    built, naming the layer.
    """

    name: str
    input: Shape
    layers: tuple[Layer, ...]
    border: int = 0
    input_exponent: int = C.INPUT_EXPONENT
    nodes: tuple[Node, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", _infer(self))

    @property
    def classes(self) -> int:
        """Number of outputs of the last layer."""
        return self.nodes[-1].output[0]

    def node(self, name: str) -> Node:
        """Return the node of that name; raises `KeyError` if there is none."""
        return self._by_name[name]

    def grid_of(self, name: str) -> int:
        """Return the exponent of the activation that node `name`, or the input, gives; raises `KeyError` for others."""
        grid = self.input_exponent if name == IMAGES else self._by_name[name].grid
        if grid is None:
            raise KeyError(name)
        return grid

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    @property
    def weighted(self) -> tuple[Node, ...]:
        """The convolutions, transposed ones too, and fully-connected layers, in order."""
        return tuple(node for node in self.nodes if isinstance(node.layer, WEIGHTED))

    def readers(self, name: str) -> tuple[Node, ...]:
        """The nodes that read what node `name` gives, in order: one, or two where branches begin."""
        return self._readers.get(name, ())

    @cached_property
    def _readers(self) -> dict[str, tuple[Node, ...]]:
        found: dict[str, tuple[Node, ...]] = {}
        for node in self.nodes:
            for source in node.sources:
                found[source] = (*found.get(source, ()), node)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the declaration as plain data, for a checkpoint's manifest."""
        layers = [describe(layer) for layer in self.layers]
        data = {"name": self.name, "input": list(self.input), "border": self.border, "layers": layers}
        if self.input_exponent != C.INPUT_EXPONENT:  # so that the digests of all others stay what they were
            data["input_exponent"] = self.input_exponent
        return data

    @staticmethod
    def from_dict(data: dict[str, Any]) -> NetworkGraph:
        """Build the graph that `to_dict` described; raises `NetworkError` on anything else."""
        try:
            layers = tuple(described(entry) for entry in data["layers"])
            exponent = data.get("input_exponent", C.INPUT_EXPONENT)
            return NetworkGraph(str(data["name"]), tuple(data["input"]), layers, data["border"], exponent)
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            if isinstance(error, NetworkError):
                raise
            raise NetworkError(
                f"not a network description: {error!r}; allowed layer kinds: {', '.join(LAYER_KINDS)}"
            ) from error

    def digest(self) -> str:
        """Return sha256 (hex) of the declaration without its name: equal digests train to equal bytes."""
        data = self.to_dict()
        del data["name"]
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _infer(graph: NetworkGraph) -> tuple[Node, ...]:
    if not are_whole(graph.input, 3) or not are_whole((graph.border, graph.input_exponent), 2):
        raise NetworkError(
            f"{graph.name}: input {graph.input!r}, border {graph.border!r} and input_exponent "
            f"{graph.input_exponent!r} must be (channels, height, width) and two ints, all whole numbers"
        )
    if not 0 <= graph.input_exponent <= C.MAX_EXPONENT:
        raise LimitError(
            f"{graph.name}: input_exponent is {graph.input_exponent}; allowed: 0 to {C.MAX_EXPONENT}, and "
            f"{C.INPUT_EXPONENT} for images"
        )
    channels, height, width = graph.input
    if min(graph.input) < 1 or graph.border < 0:
        raise NetworkError(f"{graph.name}: input {graph.input} and border {graph.border} must be positive sizes")
    shape: Shape = (channels, height + 2 * graph.border, width + 2 * graph.border)
    if max(shape[1:]) > C.MAX_SIDE or channels > C.MAX_CHANNELS:
        raise LimitError(
            f"{graph.name}: input {shape}, border included, exceeds {C.MAX_CHANNELS} channels or {C.MAX_SIDE} a side"
        )
    walk = Walk(graph.name)
    _, (classes, _, _) = walk.chain(graph.name, graph.layers, IMAGES, shape, graph.input_exponent)
    if not walk.nodes or not isinstance(walk.nodes[-1].layer, Linear):
        raise NetworkError(f"{graph.name}: the last layer must be Linear, one output a class")
    if not 1 <= classes <= C.MAX_CLASSES:
        raise LimitError(f"{graph.name}: {classes} classes; allowed: 1 to {C.MAX_CLASSES}")
    return tuple(walk.nodes)
