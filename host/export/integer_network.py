"""A trained network as integers that inference needs and no more: NUMERICS.md 1.3 with running statistics, folded.

L1BN in inference is one multiply-add a value. Multiplier and constant follow from gamma, beta and the running
statistics alone, so they are made here once, by steps 5 and 6, and what is left for whoever runs the network is

    acc = sum of int8 products
    x8  = sat(rsh(acc, shift))                                       a layer with weights
    y8  = clamp((x8 * multiplier + constant) >> 12, low, 127)        a normalization, or a bias (NUMERICS.md 1.18)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.host.checkpoint import Checkpoint
from strop.runtime.activation_table import activation_table
from strop.runtime.contract import SITE, C
from strop.runtime.errors import InputError, NetworkError
from strop.runtime.graph import NetworkGraph
from strop.runtime.layers import (
    NORMS,
    TABLES,
    WEIGHTED,
    AveragePool2d,
    Concatenate,
    ConvTranspose2d,
    Flatten,
    GlobalAveragePool,
    MaxPool2d,
    ReLU,
    Residual,
    Upsample,
)
from strop.runtime.node import Node
from strop.runtime.state import feeds_relu

PRE_NORM_FRACTION = 6  # F of NUMERICS.md 1.3
NORM_SHIFT = 12  # S
MOST_MULTIPLIER, MOST_CONSTANT, MOST_STATISTIC = (1 << 17) - 1, 1 << 30, 32767
KINDS = (
    *(*WEIGHTED, *NORMS, ReLU, *TABLES),
    *(MaxPool2d, AveragePool2d, GlobalAveragePool, Upsample, Flatten, Residual, Concatenate),
)

Integers = NDArray[np.int64]
State = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class IntegerLayer:
    """A convolution, transposed convolution or Linear layer. It reads a map of exponent `input_exponent`.

    weights int8 [K, C/groups, R, S] (transposed: [C_in, C_out/groups, R, S]), of real value weights *
    2^-weight_exponents, of which there is one a row. Its output x8 follows by `shift`. The last layer has biases
    int64 [K] instead: logits = acc + biases, saturated to +-(2^31 - 1).
    """

    node: Node
    weights: NDArray[np.int8]
    weight_exponents: NDArray[np.int32]
    input_exponent: int
    shift: int = 0
    biases: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class IntegerNorm:
    """An L1BN, or a bias a channel: multipliers and constants int32 [C]; low is 0 where a ReLU follows, else -127.

    The output has `exponent`.
    """

    node: Node
    multipliers: NDArray[np.int32]
    constants: NDArray[np.int32]
    low: int
    exponent: int


@dataclass(frozen=True)
class IntegerNetwork:
    """Layers, normalizations and tables of activations (int8 [256], of x at x + 128) by their names in the graph.

    The last layer's spare outputs are left out. A logit's real value is logit * 2^-logits_exponent.
    """

    graph: NetworkGraph
    classes: tuple[str, ...]
    layers: dict[str, IntegerLayer]
    norms: dict[str, IntegerNorm]
    tables: dict[str, NDArray[np.int8]]
    logits_exponent: int


def integer_network(checkpoint: Checkpoint) -> IntegerNetwork:
    """Return a checkpoint's network in integers.

    Raises `InputError` where a layer was never trained, `NetworkError` for a kind of layer that is not known here.
    """
    graph, state = checkpoint.graph, checkpoint.state
    check_exportable(graph)
    layers: dict[str, IntegerLayer] = {}
    norms: dict[str, IntegerNorm] = {}
    tables: dict[str, NDArray[np.int8]] = {}
    exponents: dict[str, Integers] = {}  # a channel, of maps that are no activations
    for node in graph.nodes:
        name = node.name
        if isinstance(node.layer, WEIGHTED):
            layers[name] = layer = _layer(checkpoint, node)
            exponents[name] = _pre_norm_exponents(layer)
        elif isinstance(node.layer, NORMS):
            multipliers, constants = _normalization(state, node, exponents[node.sources[0]])
            norms[name] = IntegerNorm(node, multipliers, constants, low_of(graph, node), node.layer.exponent)
        elif isinstance(node.layer, TABLES):
            words = activation_table(node.layer, graph.grid_of(node.sources[0]))
            tables[name] = (words & 0xFF).astype(np.uint8).view(np.int8)
        elif node.grid is None:  # parts of a joint map, and what is pooled before its normalization
            exponents[name] = np.concatenate([exponents[source] for source in node.sources])
    return IntegerNetwork(graph, checkpoint.classes, layers, norms, tables, int(exponents[graph.nodes[-1].name][0]))


def check_exportable(graph: NetworkGraph) -> None:
    """Raise `NetworkError` where a layer is of a kind that exports do not know."""
    for node in graph.nodes:
        if not isinstance(node.layer, KINDS):
            raise NetworkError(
                f"{graph.name}, layer {node.name}: {node.layer.kind} cannot be exported; allowed: "
                f"{', '.join(kind.kind for kind in KINDS)}"
            )


def _layer(checkpoint: Checkpoint, node: Node) -> IntegerLayer:
    graph, state = checkpoint.graph, checkpoint.state
    last = node is graph.nodes[-1]
    per_row = checkpoint.settings.hyper.per_channel_weights
    per_row = per_row and not last and not isinstance(node.layer, ConvTranspose2d)  # else a sum runs over rows
    weights, ew = _weight_view(state[f"{node.name}.weight"].astype(np.int64), per_row)
    source = graph.grid_of(node.sources[0])
    if last:
        bias = rsh(state[f"{node.name}.bias"].astype(np.int64), C.PARAMETER_FRACTION - source - int(ew[0]))
        rows = slice(len(checkpoint.classes))  # the outputs that have a class
        return IntegerLayer(node, weights[rows], ew[rows], source, biases=bias[rows])
    site = np.ascontiguousarray(state[f"{node.name}.pre_norm_site"]).view(SITE)[0]
    if not site["set"]:
        raise InputError(f"{node.name} was never trained and has no shift to infer with: train the network first")
    return IntegerLayer(node, weights, ew, source, int(site["used"]))


def _pre_norm_exponents(layer: IntegerLayer) -> Integers:
    """Return the exponent of each output channel."""
    ew = layer.weight_exponents.astype(np.int64)
    if isinstance(layer.node.layer, ConvTranspose2d):
        ew = np.full(layer.node.output[0], ew[0])
    return layer.input_exponent + ew - layer.shift


def _weight_view(master: Integers, per_row: bool) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    """Return w8, of the masters' shape, and ew [K] (NUMERICS.md 1.8)."""
    largest = np.abs(master).reshape(len(master), -1).max(axis=1)
    if not per_row:
        largest = np.full_like(largest, largest.max())
    shifts = np.array([max(0, int(value).bit_length() - 7) for value in largest], np.int64)
    view = np.clip(rsh(master, shifts.reshape(-1, 1, 1, 1)), -127, 127)
    return view.astype(np.int8), (C.WEIGHT_FRACTION - shifts).astype(np.int32)


def _normalization(state: State, node: Node, ex: Integers) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return M and C of each channel (NUMERICS.md 1.3, "Inference and frozen layers" and steps 5 and 6)."""
    assert isinstance(node.layer, NORMS)
    ey = node.layer.exponent
    gamma, beta, mu_run, sg_run = (
        state[f"{node.name}.{name}"].astype(np.int64) for name in ("gamma", "beta", "running_mu", "running_sigma")
    )
    drop = C.RUNNING_FRACTION - PRE_NORM_FRACTION - ex
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


def low_of(graph: NetworkGraph, node: Node) -> int:
    """Return the least value that a normalization or a residual sum gives: 0 where a ReLU follows."""
    return 0 if feeds_relu(graph, node) else -127
