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
    L1BN,
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
from strop.runtime.reference.arithmetic import rsh
from strop.runtime.reference.l1bn import constant, from_running, multiplier
from strop.runtime.reference.sgd import weight_view
from strop.runtime.state import feeds_relu

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
    check_exportable(checkpoint)
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


def check_exportable(checkpoint: Checkpoint) -> None:
    """Raise `InputError` where a layer was never trained, `NetworkError` where one is of a kind that is not known here.

    A layer that was never trained has no shift, and an L1BN no statistics. The last layer has neither.
    """
    graph, state = checkpoint.graph, checkpoint.state
    for node in graph.nodes:
        if not isinstance(node.layer, KINDS):
            raise NetworkError(
                f"{graph.name}, layer {node.name}: {node.layer.kind} cannot be exported; allowed: "
                f"{', '.join(kind.kind for kind in KINDS)}"
            )
    sites = [node.name for node in graph.weighted[:-1] if not _site(state, node)["set"]]
    norms = [n.name for n in graph.nodes if isinstance(n.layer, L1BN) and not state[f"{n.name}.running_steps"][0]]
    if sites or norms:
        raise InputError(
            f"{graph.name}: {', '.join(sites + norms)} was never trained and has nothing to infer with: train it first"
        )


def _site(state: State, node: Node) -> Any:
    """Return the shift of a layer with weights and what controls it; the last layer has none."""
    return np.ascontiguousarray(state[f"{node.name}.pre_norm_site"]).view(SITE)[0]


def _layer(checkpoint: Checkpoint, node: Node) -> IntegerLayer:
    graph, state = checkpoint.graph, checkpoint.state
    last = node is graph.nodes[-1]
    per_row = checkpoint.settings.hyper.per_channel_weights
    per_row = per_row and not last and not isinstance(node.layer, ConvTranspose2d)  # else a sum runs over rows
    master = state[f"{node.name}.weight"].astype(np.int64)
    view, exponents = weight_view(master.reshape(len(master), -1), per_row)
    weights, ew = view.reshape(master.shape).astype(np.int8), exponents.astype(np.int32)
    source = graph.grid_of(node.sources[0])
    if last:
        bias = rsh(state[f"{node.name}.bias"].astype(np.int64), C.PARAMETER_FRACTION - source - int(ew[0]))
        rows = slice(len(checkpoint.classes))  # the outputs that have a class
        return IntegerLayer(node, weights[rows], ew[rows], source, biases=bias[rows])
    return IntegerLayer(node, weights, ew, source, int(_site(state, node)["used"]))


def _pre_norm_exponents(layer: IntegerLayer) -> Integers:
    """Return the exponent of each output channel."""
    ew = layer.weight_exponents.astype(np.int64)
    if isinstance(layer.node.layer, ConvTranspose2d):
        ew = np.full(layer.node.output[0], ew[0])
    return layer.input_exponent + ew - layer.shift


def _normalization(state: State, node: Node, ex: Integers) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return M and C of each channel (NUMERICS.md 1.3, "Inference and frozen layers" and steps 5 and 6)."""
    assert isinstance(node.layer, NORMS)
    ey = node.layer.exponent
    gamma, beta, mu_run, sg_run = (
        state[f"{node.name}.{name}"].astype(np.int64) for name in ("gamma", "beta", "running_mu", "running_sigma")
    )
    mu, sigma = from_running(mu_run, sg_run, ex)
    m = multiplier(gamma, sigma, ey)
    return m.astype(np.int32), constant(beta, mu, m, ey).astype(np.int32)


def low_of(graph: NetworkGraph, node: Node) -> int:
    """Return the least value that a normalization or a residual sum gives: 0 where a ReLU follows."""
    return 0 if feeds_relu(graph, node) else -127
