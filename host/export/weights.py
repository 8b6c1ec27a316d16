"""A trained network's numbers as safetensors: real ones under PyTorch's names, folded ones, or the integers themselves.

In real numbers a network takes (pixel - 128) / 128, with a border of -127/128 where it has one; activations are those
of NUMERICS.md without rounding and without the limit of 127/8, so its answers are near strop's, not equal. The integers
give equal ones. What a reader must know beside the names is in the files' metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.host.checkpoint import Checkpoint, state_digest
from strop.host.export.integer_network import check_exportable, integer_network
from strop.host.export.torch_names import torch_names
from strop.host.version import strop_version
from strop.runtime.contract import C
from strop.runtime.graph import NetworkGraph
from strop.runtime.layers import L1BN, NORMS, Bias, ConvTranspose2d, Linear
from strop.runtime.node import Node
from strop.runtime.state import blocks_of

TORCH_EPSILON = 1e-5  # nn.BatchNorm2d's default
DTYPES = {"float32": "F32", "int8": "I8", "int32": "I32", "int64": "I64"}
Arrays = dict[str, NDArray[Any]]


def float_weights(checkpoint: Checkpoint) -> Iterator[bytes]:
    """Yield a file for `load_state_dict`: weights, biases, and L1BN as batch normalization.

    PyTorch divides by sqrt(running_var + eps), L1BN by its mean absolute deviation sigma; so running_var is sigma^2 -
    1e-5, 1e-5 being PyTorch's eps, and at least 0. A `Bias` is that of the layer before it.
    """
    graph, state = checkpoint.graph, checkpoint.state
    check_exportable(checkpoint)
    names = torch_names(graph)
    arrays: Arrays = {}
    for node in graph.weighted:
        arrays[f"{names[node.name]}.weight"] = _shaped(node, _weights(checkpoint, node))
    arrays[f"{names[graph.nodes[-1].name]}.bias"] = _biases(checkpoint)
    owners = _folded_into(graph)
    for node in graph.nodes:
        if isinstance(node.layer, L1BN):
            gamma, beta, mu, sigma = _normalization(state, node.name)
            variance = np.maximum(sigma**2 - TORCH_EPSILON, 0.0)
            values = {"weight": gamma, "bias": beta, "running_mean": mu, "running_var": variance}
            arrays |= {f"{names[node.name]}.{name}": value for name, value in values.items()}
            counted = state[f"{node.name}.running_steps"][0].astype(np.int64)
            arrays[f"{names[node.name]}.num_batches_tracked"] = counted.reshape(())
        elif isinstance(node.layer, Bias):
            owner = owners.get(node.name)
            arrays[f"{names[owner.name if owner else node.name]}.bias"] = _normalization(state, node.name)[1]
    yield _file(checkpoint, _single(arrays), {"batch_norm_eps": str(TORCH_EPSILON)})


def folded_weights(checkpoint: Checkpoint) -> Iterator[bytes]:
    """Yield a file of weights and biases for a network without batch normalization: W * gamma / sigma, and so on.

    A normalization that does not directly follow the one layer whose output it reads (as in DenseNet) stays one
    multiply-add a channel: its weight gamma / sigma and bias beta - mu * gamma / sigma.
    """
    graph = checkpoint.graph
    check_exportable(checkpoint)
    names = torch_names(graph)
    weights = {node.name: _weights(checkpoint, node) for node in graph.weighted}
    biases: Arrays = {names[graph.nodes[-1].name]: _biases(checkpoint)}
    scales: Arrays = {}
    owners = _folded_into(graph)
    for node in graph.nodes:
        if isinstance(node.layer, NORMS):
            gamma, beta, mu, sigma = _normalization(checkpoint.state, node.name)
            scale = gamma / sigma
            owner = owners.get(node.name)
            if owner is None:
                scales[f"{names[node.name]}.weight"] = scale
            else:
                weights[owner.name] = _scaled(owner, weights[owner.name], scale)
            biases[names[owner.name if owner else node.name]] = beta - mu * scale
    arrays = {f"{names[node.name]}.weight": _shaped(node, weights[node.name]) for node in graph.weighted}
    arrays |= scales | {f"{name}.bias": bias for name, bias in biases.items()}
    yield _file(checkpoint, _single(arrays), {"folded": "true"})


def integer_weights(checkpoint: Checkpoint) -> Iterator[bytes]:
    """Yield a file of what integer_network.py says: all that equal logits need.

    Of a layer weight int8, weight_exponent int32, input_exponent and shift, or bias int64; of a normalization
    multiplier and constant int32, low and output_exponent; of an activation by table that table.
    """
    network = integer_network(checkpoint)
    names = torch_names(checkpoint.graph)
    arrays: Arrays = {}
    for layer in network.layers.values():
        own = names[layer.node.name]
        arrays[f"{own}.weight"] = _shaped(layer.node, layer.weights)
        arrays[f"{own}.weight_exponent"] = layer.weight_exponents
        arrays[f"{own}.input_exponent"] = np.array(layer.input_exponent, np.int32)
        if layer.biases is None:
            arrays[f"{own}.shift"] = np.array(layer.shift, np.int32)
        else:
            arrays[f"{own}.bias"] = layer.biases
    for norm in network.norms.values():
        own = names[norm.node.name]
        arrays[f"{own}.multiplier"], arrays[f"{own}.constant"] = norm.multipliers, norm.constants
        for name, value in (("low", norm.low), ("output_exponent", norm.exponent)):
            arrays[f"{own}.{name}"] = np.array(value, np.int32)
    arrays |= {f"{name}.table": table for name, table in network.tables.items()}
    yield _file(checkpoint, arrays, {"logits_exponent": str(network.logits_exponent)})


def _folded_into(graph: NetworkGraph) -> dict[str, Node]:
    """Return, by a normalization's name, the layer with weights that it alone follows."""
    return {block.norm.name: block.node for block in blocks_of(graph) if block.norm is not None}


def _weights(checkpoint: Checkpoint, node: Node) -> NDArray[np.float64]:
    real = checkpoint.state[f"{node.name}.weight"] * 2.0**-C.WEIGHT_FRACTION
    last = node is checkpoint.graph.nodes[-1]
    return real[: len(checkpoint.classes)] if last else real  # spare outputs have no class


def _biases(checkpoint: Checkpoint) -> NDArray[np.float64]:
    last = checkpoint.graph.nodes[-1].name
    real: NDArray[np.float64] = checkpoint.state[f"{last}.bias"] * 2.0**-C.PARAMETER_FRACTION
    return real[: len(checkpoint.classes)]


def _normalization(state: Arrays, norm: str) -> tuple[NDArray[np.float64], ...]:
    """Return gamma, beta, and the running mean and deviation, as real numbers [K]."""
    gamma, beta = (state[f"{norm}.{name}"] * 2.0**-C.PARAMETER_FRACTION for name in ("gamma", "beta"))
    mu, sigma = (state[f"{norm}.running_{name}"] * 2.0**-C.RUNNING_FRACTION for name in ("mu", "sigma"))
    return gamma, beta, mu, np.maximum(sigma, 2.0**-C.RUNNING_FRACTION)


def _scaled(node: Node, weights: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights whose output channels are multiplied by `scale`."""
    if not isinstance(node.layer, ConvTranspose2d):
        return weights * scale[:, np.newaxis, np.newaxis, np.newaxis]
    groups = node.layer.groups  # [C_in, C_out/groups, R, S]: a group's rows make its own outputs
    apart = weights.reshape(groups, -1, *weights.shape[1:]) * scale.reshape(groups, 1, -1, 1, 1)
    return apart.reshape(weights.shape)


def _shaped(node: Node, weights: NDArray[Any]) -> NDArray[Any]:
    """Return weights as PyTorch has them: [K, C/groups, R, S], of a Linear layer [K, C]."""
    return weights.reshape(len(weights), -1) if isinstance(node.layer, Linear) else weights


def _single(arrays: Arrays) -> Arrays:
    """Return real numbers as float32."""
    return {name: a.astype(np.float32) if a.dtype == np.float64 else a for name, a in arrays.items()}


def _file(checkpoint: Checkpoint, arrays: Arrays, facts: dict[str, str]) -> bytes:
    """Return a safetensors file, the same bytes each time; the format's own writer shuffles metadata."""
    graph = checkpoint.graph
    border = f", with a border of {graph.border} pixels of -127/128" if graph.border else ""
    metadata = {
        "network": graph.name,
        "input": f"{list(graph.input)}, (pixel - 128) / {1 << graph.input_exponent}{border}",
        "classes": "\n".join(checkpoint.classes),
        "state_sha256": state_digest(checkpoint.state),
        "strop_version": strop_version(),
        "numerics_version": str(C.NUMERICS_VERSION),
        **facts,
    }
    entries: dict[str, Any] = {"__metadata__": metadata}
    parts: list[bytes] = []
    end = 0
    # largest items first, as the format's own writer aligns them
    for name, array in sorted(arrays.items(), key=lambda item: (-item[1].dtype.itemsize, item[0])):
        parts.append(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
        place = [end, end := end + array.nbytes]
        entries[name] = {"dtype": DTYPES[array.dtype.name], "shape": list(array.shape), "data_offsets": place}
    header = json.dumps(entries, sort_keys=True).encode()
    header += b" " * (-len(header) % 8)
    return b"".join((len(header).to_bytes(8, "little"), header, *parts))
