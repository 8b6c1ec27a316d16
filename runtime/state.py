"""A network's state: everything that a step changes and a checkpoint must hold, by name, and where it lies.

The layout depends on the graph alone, so programs for any mini-batch size and any set of frozen layers share it.
Anchors of the elastic pull, where wanted, lie behind all that: no offset before them moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.runtime.contract import SITE, C
from strop.runtime.errors import CheckpointMismatch
from strop.runtime.graph import NetworkGraph
from strop.runtime.layers import L1BN, NORMS, TABLES, WEIGHTED, ReLU, Table
from strop.runtime.node import Node
from strop.runtime.planner import align
from strop.runtime.weight_view import convolution_of

BIAS_SCALE_LOG2 = 6  # NUMERICS.md 1.18


@dataclass(frozen=True)
class StateTensor:
    """One array of the state. `derived` ones are in no checkpoint.

    Those are int8 views and their exponents, which the device makes from the others; tables of activations and what the
    elastic pull needs, which the host loads.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    derived: bool

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return int(np.prod(self.shape)) * self.dtype.itemsize


@dataclass(frozen=True)
class Block:
    """A convolution or fully-connected layer with its normalization, L1BN or Bias, where that alone reads it.

    Elsewhere `norm` is None: the last layer has a bias, and what is concatenated or pooled first is normalized there.
    """

    node: Node
    norm: Node | None
    relu: bool
    first: bool
    last: bool


def blocks_of(graph: NetworkGraph) -> tuple[Block, ...]:
    """Return the graph's trainable blocks in order."""
    found: list[Block] = []
    for node in graph.weighted:
        readers = graph.readers(node.name)
        norm = readers[0] if len(readers) == 1 and isinstance(readers[0].layer, NORMS) else None
        relu = norm is not None and feeds_relu(graph, norm)
        found.append(Block(node, norm, relu, first=not found, last=node is graph.nodes[-1]))
    return tuple(found)


def norm_owners(graph: NetworkGraph) -> dict[str, str]:
    """Return by each L1BN's or Bias's name the layer that it is frozen with: of its block, or the next with weights."""
    owners = {block.norm.name: block.node.name for block in blocks_of(graph) if block.norm is not None}
    for index, node in enumerate(graph.nodes):
        if isinstance(node.layer, NORMS) and node.name not in owners:
            reached = {node.name}
            for later in graph.nodes[index + 1 :]:
                if reached.isdisjoint(later.sources):
                    continue
                if isinstance(later.layer, WEIGHTED):
                    owners[node.name] = later.name
                    break
                reached.add(later.name)
    return owners


def feeds_relu(graph: NetworkGraph, node: Node) -> bool:
    """Whether a ReLU follows `node`, into which it is fused."""
    return any(isinstance(reader.layer, ReLU) for reader in graph.readers(node.name))


class StateLayout:
    """Where each state array of `graph` lies: offsets from the start of the arena.

    `parameters` names what SGD trains: weights, gamma, beta, bias; `tables` activations that are tables, and
    the exponent of what they read. With `elastic` each parameter has `<name>.anchor`, int32, and `<name>.importance`,
    uint8, of its shape.
    """

    def __init__(self, graph: NetworkGraph, elastic: bool = False) -> None:
        self.elastic = elastic
        self.tensors: dict[str, StateTensor] = {}
        self.nbytes = 0
        self._biases: list[str] = []
        self._add("dither", (1,), np.uint32)
        blocks = {block.node.name: block for block in blocks_of(graph)}
        self.tables: dict[str, tuple[Table, int]] = {}
        for node in graph.nodes:
            if node.name in blocks:
                self._add_block(graph, blocks[node.name])
            elif isinstance(node.layer, NORMS):
                self._add_norm(node)
            elif isinstance(node.layer, TABLES):
                self.tables[f"{node.name}.table"] = (node.layer, graph.grid_of(node.sources[0]))
                self._add(f"{node.name}.table", (C.TABLE_WORDS,), derived=True)
        self.parameters = tuple(name for name in self.tensors if f"{name}.momentum" in self.tensors)
        for name in self.parameters if elastic else ():
            self._add(f"{name}.anchor", self.tensors[name].shape, derived=True)
            self._add(f"{name}.importance", self.tensors[name].shape, np.uint8, derived=True)

    def _add_block(self, graph: NetworkGraph, block: Block) -> None:
        name, shape = block.node.name, block.node.weight_shape
        self._add(f"{name}.weight", shape)
        self._add(f"{name}.weight.momentum", shape)
        self._add(f"{name}.view", convolution_of(graph, block.node).view_shape, np.int8, derived=True)
        self._add(f"{name}.view_exponent", shape[:1], derived=True)
        if not block.first:
            self._add(f"{name}.input_gradient_site", (SITE.itemsize // 4,))
        if block.last:
            self._add_pair(f"{name}.bias", shape[:1])
        else:
            self._add(f"{name}.pre_norm_site", (SITE.itemsize // 4,))

    def _add_norm(self, node: Node) -> None:
        name, channels = node.name, node.output[:1]
        if isinstance(node.layer, L1BN):
            self._add_pair(f"{name}.gamma", channels)
        else:
            self._add(f"{name}.gamma", channels)
            self._biases.append(name)
        self._add_pair(f"{name}.beta", channels)
        self._add(f"{name}.running_mu", channels)
        self._add(f"{name}.running_sigma", channels)
        self._add(f"{name}.running_steps", (1,), np.uint32)
        self._add(f"{name}.gradient_site", (SITE.itemsize // 4,))

    def _add_pair(self, name: str, shape: tuple[int, ...]) -> None:
        self._add(name, shape)
        self._add(f"{name}.momentum", shape)

    def _add(self, name: str, shape: tuple[int, ...], dtype: Any = np.int32, derived: bool = False) -> None:
        tensor = StateTensor(name, shape, np.dtype(dtype), self.nbytes, derived)
        self.tensors[name] = tensor
        self.nbytes += align(tensor.nbytes)

    def offset(self, name: str) -> int:
        """Arena offset of a state array."""
        return self.tensors[name].offset

    @property
    def stored(self) -> list[StateTensor]:
        """The arrays that a checkpoint holds, in layout order."""
        return [tensor for tensor in self.tensors.values() if not tensor.derived]

    def check(self, state: dict[str, NDArray[Any]]) -> None:
        """Raise `CheckpointMismatch` unless `state` holds exactly the stored arrays, with their shapes and dtypes."""
        expected = {tensor.name: tensor for tensor in self.stored}
        missing, unknown = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
        if missing or unknown:
            raise CheckpointMismatch(
                f"the state is of another network: missing {missing or 'nothing'}, unknown {unknown or 'nothing'}"
            )
        for name, tensor in expected.items():
            array = state[name]
            if array.shape != tensor.shape or array.dtype != tensor.dtype:
                raise CheckpointMismatch(
                    f"{name} is {array.dtype}{list(array.shape)}, expected {tensor.dtype}{list(tensor.shape)}"
                )
            if name.endswith("_site"):
                site = np.ascontiguousarray(array).view(SITE)[0]
                if not (
                    0 <= site["next"] <= C.MAX_SHIFT and 0 <= site["used"] <= C.MAX_SHIFT and site["set"] in (0, 1)
                ):
                    raise CheckpointMismatch(f"{name} holds {array.tolist()}; a shift is 0 to {C.MAX_SHIFT}")
            elif tensor.dtype == np.int32 and array.size and int(array.min()) == -(2**31):
                raise CheckpointMismatch(f"{name} holds -2^31, which no step of this arithmetic produces")

    def initial(self) -> dict[str, NDArray[Any]]:
        """Return a state of zeros, gamma 1 and a dither counter of 1: what a network's weights are put into."""
        state: dict[str, NDArray[Any]] = {t.name: np.zeros(t.shape, t.dtype) for t in self.stored}
        state["dither"][0] = 1
        for name, array in state.items():
            if name.endswith(".gamma"):
                array[...] = 1 << C.PARAMETER_FRACTION
        for name in self._biases:  # (x - 0) * gamma / sigma is x (NUMERICS.md 1.18)
            state[f"{name}.gamma"][...] = 1 << (C.PARAMETER_FRACTION - BIAS_SCALE_LOG2)
            state[f"{name}.running_sigma"][...] = 1 << (C.RUNNING_FRACTION - BIAS_SCALE_LOG2)
        return state
