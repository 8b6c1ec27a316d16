"""A trained network as integers that inference needs and no more: NUMERICS.md 1.3 with running statistics, folded.

L1BN in inference is one multiply-add a value. Multiplier and constant follow from gamma, beta and the running
statistics alone, so they are made here once, by steps 5 and 6, and what is left for whoever runs the network is

    acc = sum of int8 products
    x8  = sat(rsh(acc, shift))
    y8  = clamp((x8 * multiplier + constant) >> 12, low, 127)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.host.checkpoint import Checkpoint
from strop.runtime.contract import SITE, C
from strop.runtime.errors import InputError, NetworkError
from strop.runtime.forward_pass import ACTIVATION_EXPONENT
from strop.runtime.graph import (
    L1BN,
    Conv2d,
    Flatten,
    GlobalAveragePool,
    Linear,
    MaxPool2d,
    NetworkGraph,
    Node,
    ReLU,
    Residual,
)
from strop.runtime.state import Block, blocks_of, feeds_relu

STATISTICS_FRACTION = 16  # of running mu and sigma
PRE_NORM_FRACTION = 6  # F of NUMERICS.md 1.3
NORM_SHIFT = 12  # S
MOST_MULTIPLIER, MOST_CONSTANT, MOST_STATISTIC = (1 << 17) - 1, 1 << 30, 32767
KINDS = (Conv2d, Linear, L1BN, ReLU, MaxPool2d, GlobalAveragePool, Flatten, Residual)

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class IntegerLayer:
    """A convolution or Linear layer with its L1BN and activation, or the last Linear layer with its bias.

    weights int8 [K, C/groups, R, S], of real value weights * 2^-weight_exponents[k]; they read a map of exponent
    `input_exponent`. With L1BN: shift, multipliers int32 [K], constants int32 [K], and low (0 for ReLU, else -127); the
    output has `output_exponent`. Without: biases int64 [K], and logits = acc + biases, saturated to +-(2^31 - 1).
    """

    node: Node
    weights: NDArray[np.int8]
    weight_exponents: NDArray[np.int32]
    input_exponent: int
    output_exponent: int
    shift: int = 0
    multipliers: NDArray[np.int32] | None = None
    constants: NDArray[np.int32] | None = None
    low: int = 0
    biases: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class IntegerNetwork:
    """The layers by their names in the graph, and the exponent of each node's output; spare outputs are left out."""

    graph: NetworkGraph
    classes: tuple[str, ...]
    layers: dict[str, IntegerLayer]
    exponents: dict[str, int]

    @property
    def logits_exponent(self) -> int:
        """A logit's real value is logit * 2^-logits_exponent."""
        return self.exponents[self.graph.nodes[-1].name]


def integer_network(checkpoint: Checkpoint) -> IntegerNetwork:
    """Return a checkpoint's network in integers.

    Raises `InputError` where a layer was never trained, `NetworkError` for a kind of layer that is not known here.
    """
    graph, state = checkpoint.graph, checkpoint.state
    check_exportable(graph)
    per_row = checkpoint.settings.hyper.per_channel_weights
    blocks = {block.node.name: block for block in blocks_of(graph)}
    exponents = {"input": graph.input_exponent}
    layers: dict[str, IntegerLayer] = {}
    for node in graph.nodes:
        source = exponents[node.sources[0]]
        exponents[node.name] = source
        if node.name in blocks:
            layer = _layer(blocks[node.name], state, source, per_row, len(checkpoint.classes))
            layers[node.name], exponents[node.name] = layer, layer.output_exponent
        elif isinstance(node.layer, Residual):
            exponents[node.name] = ACTIVATION_EXPONENT
    return IntegerNetwork(graph, checkpoint.classes, layers, exponents)


def check_exportable(graph: NetworkGraph) -> None:
    """Raise `NetworkError` where a layer is of a kind that exports do not know."""
    for node in graph.nodes:
        if not isinstance(node.layer, KINDS):
            known = ", ".join(kind.kind for kind in KINDS)
            raise NetworkError(
                f"{graph.name}, layer {node.name}: {node.layer.kind} cannot be exported; allowed: {known}"
            )


def _layer(block: Block, state: dict[str, NDArray[Any]], source: int, per_row: bool, classes: int) -> IntegerLayer:
    node, norm = block.node, block.norm
    master = state[f"{node.name}.weight"].astype(np.int64)
    weights, ew = _weight_view(master, per_row and norm is not None)
    if norm is None:
        e = source + int(ew[0])
        bias = rsh(state[f"{node.name}.bias"].astype(np.int64), C.PARAMETER_FRACTION - e)
        rows = slice(classes)  # the outputs that have a class
        return IntegerLayer(node, weights[rows], ew[rows], source, e, biases=bias[rows])
    site = np.ascontiguousarray(state[f"{node.name}.pre_norm_site"]).view(SITE)[0]
    if not site["set"]:
        raise InputError(f"{node.name} was never trained and has no shift to infer with: train the network first")
    shift = int(site["used"])
    multipliers, constants = _normalization(state, norm.name, source + ew.astype(np.int64) - shift)
    return IntegerLayer(
        *(node, weights, ew, source, ACTIVATION_EXPONENT),
        shift=shift,
        multipliers=multipliers,
        constants=constants,
        low=0 if block.relu else -127,
    )


def _weight_view(master: Integers, per_row: bool) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    """Return w8, of the masters' shape, and ew [K] (NUMERICS.md 1.8)."""
    largest = np.abs(master).reshape(len(master), -1).max(axis=1)
    if not per_row:
        largest = np.full_like(largest, largest.max())
    shifts = np.array([max(0, int(value).bit_length() - 7) for value in largest], np.int64)
    view = np.clip(rsh(master, shifts.reshape(-1, 1, 1, 1)), -127, 127)
    return view.astype(np.int8), (C.WEIGHT_FRACTION - shifts).astype(np.int32)


def _normalization(
    state: dict[str, NDArray[Any]], norm: str, ex: Integers
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return M and C of each channel (NUMERICS.md 1.3, "Inference and frozen layers" and steps 5 and 6)."""
    gamma, beta, mu_run, sg_run = (
        state[f"{norm}.{name}"].astype(np.int64) for name in ("gamma", "beta", "running_mu", "running_sigma")
    )
    ey = ACTIVATION_EXPONENT
    drop = STATISTICS_FRACTION - PRE_NORM_FRACTION - ex
    mu = np.clip(rsh(mu_run, drop), -MOST_STATISTIC, MOST_STATISTIC)
    sg = np.clip(rsh(sg_run, drop), 1, MOST_STATISTIC)
    g12 = rsh(gamma, 8)
    m = np.clip(rdiv(g12 << (PRE_NORM_FRACTION + ey + NORM_SHIFT - 12), sg), -MOST_MULTIPLIER, MOST_MULTIPLIER)
    c = rsh(beta, C.PARAMETER_FRACTION - ey - NORM_SHIFT) - rsh(mu * m, PRE_NORM_FRACTION) + (1 << (NORM_SHIFT - 1))
    return m.astype(np.int32), np.clip(c, -MOST_CONSTANT, MOST_CONSTANT).astype(np.int32)


def rsh(x: Integers, s: int | Integers) -> Integers:
    """Return x * 2^-s, rounded half up; s clipped to -16 to 62 (NUMERICS.md 1.1)."""
    shift = np.clip(np.asarray(s, np.int64), -16, 62)
    right = np.maximum(shift, 1)
    # `(x + half) >> s` without a sum that could leave 64 bits: the half is the bit below
    rounded = (x >> right) + ((x >> (right - 1)) & 1)
    result: Integers = np.where(shift > 0, rounded, x << np.maximum(-shift, 0))
    return result


def rdiv(a: Integers, b: Integers) -> Integers:
    """Return a / b for b > 0, rounded half up (NUMERICS.md 1.1)."""
    return (2 * a + b) // (2 * b)


def value_of(graph: NetworkGraph, name: str) -> str:
    """Return the node whose values `name` gives: L1BN and ReLU are part of what they follow, Flatten moves none."""
    nodes = {node.name: node for node in graph.nodes}
    while name in nodes and isinstance(nodes[name].layer, (L1BN, ReLU, Flatten)):
        name = nodes[name].sources[0]
    return name


def low_of(graph: NetworkGraph, node: Node) -> int:
    """Return the least value that a residual sum gives: 0 where a ReLU follows."""
    return 0 if feeds_relu(graph, node) else -127
