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
from strop.host.export.integer_network import STATISTICS_FRACTION, check_exportable, integer_network
from strop.host.export.torch_names import torch_names
from strop.host.version import strop_version
from strop.runtime.contract import C
from strop.runtime.graph import Conv2d, Node
from strop.runtime.state import Block, blocks_of

TORCH_EPSILON = 1e-5  # nn.BatchNorm2d's default
DTYPES = {"float32": "F32", "int8": "I8", "int32": "I32", "int64": "I64"}
Arrays = dict[str, NDArray[Any]]


def float_weights(checkpoint: Checkpoint) -> Iterator[bytes]:
    """Yield a file for `load_state_dict`: weights, biases, and L1BN as batch normalization.

    PyTorch divides by sqrt(running_var + eps), L1BN by its mean absolute deviation sigma; so running_var is sigma^2 -
    1e-5, 1e-5 being PyTorch's eps, and at least 0.
    """
    check_exportable(checkpoint.graph)
    names, state = torch_names(checkpoint.graph), checkpoint.state
    arrays: Arrays = {}
    for block in blocks_of(checkpoint.graph):
        own = names[block.node.name]
        arrays[f"{own}.weight"] = _shaped(block.node, _weights(checkpoint, block)).astype(np.float32)
        if block.norm is None:
            arrays[f"{own}.bias"] = _biases(checkpoint, block).astype(np.float32)
            continue
        norm, own = block.norm.name, names[block.norm.name]
        gamma, beta, mu, sigma = _normalization(state, norm)
        arrays[f"{own}.weight"], arrays[f"{own}.bias"] = gamma.astype(np.float32), beta.astype(np.float32)
        arrays[f"{own}.running_mean"] = mu.astype(np.float32)
        arrays[f"{own}.running_var"] = np.maximum(sigma**2 - TORCH_EPSILON, 0.0).astype(np.float32)
        arrays[f"{own}.num_batches_tracked"] = state[f"{norm}.running_steps"][0].astype(np.int64).reshape(())
    yield _file(checkpoint, arrays, {"batch_norm_eps": str(TORCH_EPSILON)})


def folded_weights(checkpoint: Checkpoint) -> Iterator[bytes]:
    """Yield a file of weights and biases for a network without batch normalization: W * gamma / sigma, and so on."""
    check_exportable(checkpoint.graph)
    names = torch_names(checkpoint.graph)
    arrays: Arrays = {}
    for block in blocks_of(checkpoint.graph):
        weights, own = _weights(checkpoint, block), names[block.node.name]
        if block.norm is None:
            bias = _biases(checkpoint, block)
        else:
            gamma, beta, mu, sigma = _normalization(checkpoint.state, block.norm.name)
            scale = gamma / sigma
            weights, bias = weights * scale[:, np.newaxis, np.newaxis, np.newaxis], beta - mu * scale
        arrays[f"{own}.weight"] = _shaped(block.node, weights).astype(np.float32)
        arrays[f"{own}.bias"] = bias.astype(np.float32)
    yield _file(checkpoint, arrays, {"folded": "true"})


def integer_weights(checkpoint: Checkpoint) -> Iterator[bytes]:
    """Yield a file of `IntegerLayer`s: weight int8, weight_exponent int32, and shift, multiplier, constant or bias.

    With each layer's input_exponent and output_exponent it is all that equal logits need (see integer_network.py).
    """
    network = integer_network(checkpoint)
    names = torch_names(checkpoint.graph)
    arrays: Arrays = {}
    for layer in network.layers.values():
        own = names[layer.node.name]
        arrays[f"{own}.weight"] = _shaped(layer.node, layer.weights)
        arrays[f"{own}.weight_exponent"] = layer.weight_exponents
        for name, value in (("input_exponent", layer.input_exponent), ("output_exponent", layer.output_exponent)):
            arrays[f"{own}.{name}"] = np.array(value, np.int32)
        if layer.biases is not None:
            arrays[f"{own}.bias"] = layer.biases
        if layer.multipliers is not None and layer.constants is not None:
            arrays[f"{own}.multiplier"], arrays[f"{own}.constant"] = layer.multipliers, layer.constants
            arrays[f"{own}.shift"], arrays[f"{own}.low"] = (
                np.array(layer.shift, np.int32),
                np.array(layer.low, np.int32),
            )
    yield _file(checkpoint, arrays, {"logits_exponent": str(network.logits_exponent)})


def _weights(checkpoint: Checkpoint, block: Block) -> NDArray[np.float64]:
    real = checkpoint.state[f"{block.node.name}.weight"] * 2.0**-C.WEIGHT_FRACTION
    return real if block.norm is not None else real[: len(checkpoint.classes)]  # spare outputs have no class


def _biases(checkpoint: Checkpoint, block: Block) -> NDArray[np.float64]:
    real: NDArray[np.float64] = checkpoint.state[f"{block.node.name}.bias"] * 2.0**-C.PARAMETER_FRACTION
    return real[: len(checkpoint.classes)]


def _normalization(state: Arrays, norm: str) -> tuple[NDArray[np.float64], ...]:
    """Return gamma, beta, and the running mean and deviation, as real numbers [K]."""
    gamma, beta = (state[f"{norm}.{name}"] * 2.0**-C.PARAMETER_FRACTION for name in ("gamma", "beta"))
    mu, sigma = (state[f"{norm}.running_{name}"] * 2.0**-STATISTICS_FRACTION for name in ("mu", "sigma"))
    return gamma, beta, mu, np.maximum(sigma, 2.0**-STATISTICS_FRACTION)


def _shaped(node: Node, weights: NDArray[Any]) -> NDArray[Any]:
    """Return weights as PyTorch has them: [K, C/groups, R, S], of a Linear layer [K, C]."""
    return weights if isinstance(node.layer, Conv2d) else weights.reshape(len(weights), -1)


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
