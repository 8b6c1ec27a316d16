"""Between strop's state, integers in fixed point (hls/NUMERICS.md 1.2), and a float twin's parameters and statistics.

Equation numbers are those of S. Wu et al., "L1-Norm Batch Normalization for Efficient Training of Deep Neural
Networks", IEEE TNNLS 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from strop.host.models import to_fixed
from strop.host.pytorch.float_twin import FloatTwin
from strop.host.pytorch.l1_batch_norm import L2_OVER_L1, L1BatchNorm2d
from strop.host.pytorch.twin_layers import ChannelBias
from strop.host.quantization.float_network import FloatNetwork
from strop.runtime.contract import C
from strop.runtime.errors import InputError
from strop.runtime.layers import L1BN, Bias
from strop.runtime.state import StateLayout

# Momenta have the fraction bits of their parameter.
FRACTION_BITS = {
    "weight": C.WEIGHT_FRACTION,
    **dict.fromkeys(("gamma", "beta", "bias"), C.PARAMETER_FRACTION),
    **dict.fromkeys(("running_mu", "running_sigma"), C.RUNNING_FRACTION),
}
_MOST_STEPS = 2**32 - 1


def real_state(state: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
    """Return the real values of a strop state: parameters, their momenta, running statistics; nothing else.

    Running statistics of a layer never trained ("running_steps" 0) are left out, so that the first step sets them.
    """
    real: dict[str, NDArray[np.float64]] = {}
    for name, array in state.items():
        layer, _, rest = name.partition(".")
        field = rest.removesuffix(".momentum")
        untrained = field.startswith("running_") and not np.any(state.get(f"{layer}.running_steps", np.ones(1)))
        if field in FRACTION_BITS and not untrained:
            real[name] = array.astype(np.float64) * 2.0 ** -FRACTION_BITS[field]
    return real


def to_l2(state: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Carry an L1BN state over to L2 by Theorem 1: for normal values sigma_L2 = sqrt(pi/2) sigma_L1; gamma too.

    The gradient of gamma_L2 is smaller by the same factor, and so is its momentum.
    """
    factors = {"gamma": L2_OVER_L1, "running_sigma": L2_OVER_L1, "gamma.momentum": 1 / L2_OVER_L1}
    return {name: array * factors.get(name.partition(".")[2], 1.0) for name, array in state.items()}


def state_from_twin(twin: FloatTwin) -> dict[str, NDArray[Any]]:
    """Return the strop state of a float twin, for `Model.load_state` of a model of its graph: a way in from PyTorch.

    Weights, gamma, beta and bias are rounded to their fixed point, running statistics too; of an L2 twin gamma and
    sigma become L1BN's by Theorem 1 (15, 16): convert it and calibrate (`convert_l1bn`) where that is too coarse.
    Momenta are 0, the dither counter is that of a fresh state, and `running_steps` counts the twin's training steps.

    Shifts, the state's `_site` arrays, are not set: a float network has none. Each is chosen by the first training step
    (NUMERICS 1.4), so training goes on at once. To infer without training use `network_from_twin`. Raises `InputError`
    for a twin without norm where the graph has L1BN, and for a value that is not finite or beyond its fixed point.
    """
    graph = twin.graph
    norms = twin.norms()
    missing = [node.name for node in graph.nodes if isinstance(node.layer, L1BN) and node.name not in norms]
    if missing:
        raise InputError(
            f"{graph.name}: the twin has norm {twin.norm!r}, so {', '.join(missing)} would have no statistics; make it "
            "with norm 'l1' or 'l2', or the graph with Bias for L1BN"
        )
    real = {name: _array(parameter) for name, parameter in twin.parameters_by_name().items()}
    state = StateLayout(graph).initial()
    for name, norm in norms.items():
        steps = int(norm.num_batches_tracked)
        state[f"{name}.running_steps"][0] = min(steps, _MOST_STEPS)
        if not steps:  # statistics of nothing: the first step sets them
            continue
        real[f"{name}.running_mu"] = _array(norm.running_mean)
        if isinstance(norm, L1BatchNorm2d):
            real[f"{name}.running_sigma"] = _array(norm.running_sigma)
        else:
            real[f"{name}.running_sigma"] = np.sqrt(_array(norm.running_var) + norm.eps) / L2_OVER_L1
    for name in norms if twin.norm == "l2" else ():
        real[f"{name}.gamma"] = real[f"{name}.gamma"] / L2_OVER_L1
    for name, values in real.items():
        state[name] = _fixed(graph.name, name, values).reshape(state[name].shape)
    return state


def network_from_twin(twin: FloatTwin) -> FloatNetwork:
    """Return a twin's function in inference, of which `strop.host.quantization.quantize` makes int8 by images.

    Other than `state_from_twin` that way chooses grids and shifts, so the model infers at once. Raises `InputError` for
    a graph with a Bias, which quantization does not know (L1BN takes its place there), and for one that was cut.
    """
    graph = twin.graph
    biases = [node.name for node in graph.nodes if isinstance(node.layer, Bias)]
    if biases or graph.input_exponent != C.INPUT_EXPONENT:
        what = f"it has {', '.join(biases)} without normalization" if biases else "its input is a feature map"
        raise InputError(f"{graph.name}: {what}; quantization takes networks of images with L1BN")
    named = {name: _array(parameter) for name, parameter in twin.parameters_by_name().items()}
    scales: dict[str, NDArray[np.float64]] = {}
    shifts: dict[str, NDArray[np.float64]] = {}
    for node in graph.nodes:
        if isinstance(node.layer, L1BN):
            scales[node.name], shifts[node.name] = _scale_and_shift(twin.layers[node.name])
    weights = {node.name: named[f"{node.name}.weight"].reshape(node.weight_shape) for node in graph.weighted}
    return FloatNetwork(graph, weights, scales, shifts, named[f"{graph.nodes[-1].name}.bias"])


def _scale_and_shift(norm: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What inference multiplies by and adds: L1BN, L2 batch norm, or a bias in its place."""
    beta = _array(norm.bias)
    if isinstance(norm, ChannelBias):
        return np.ones_like(beta), beta
    if isinstance(norm, L1BatchNorm2d):
        deviation = _array(norm.running_sigma) * norm.factor + norm.eps
    else:
        deviation = np.sqrt(_array(norm.running_var) + norm.eps)
    scale = _array(norm.weight) / deviation
    return scale, beta - scale * _array(norm.running_mean)


def _array(tensor: torch.Tensor) -> NDArray[np.float64]:
    return np.asarray(tensor.detach().cpu().numpy(), np.float64)


def _fixed(network: str, name: str, values: NDArray[np.float64]) -> NDArray[np.int32]:
    bits = FRACTION_BITS[name.rpartition(".")[2]]
    limit = 2.0 ** (31 - bits)
    if not np.all(np.abs(values) < limit):  # NaN is not
        raise InputError(f"{network}: {name} has values that are not finite or not within +-{limit:g}, its fixed point")
    return to_fixed(values, bits)
