"""Post-training quantization: a float network and calibration images to a model in strop's int8, which trains on.

L1BN takes the place of batch normalization by two facts that calibration measures for each channel of what it reads:
the mean mu and the mean distance from it, sigma (Wu et al., Eq. 5 and 11). With gamma' = scale * sigma and beta' =
shift + scale * mu it is the same function in inference, and for a scale of gamma / sqrt(var + eps) that is the paper's
Eq. 16 with the channel's own ratio of deviations in place of sqrt(pi/2). Shifts are found by strop's own training step,
run with a learning rate of 0, so that they are those that training would go on with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.host.models import to_fixed
from strop.host.quantization.calibration import Calibration, calibrate
from strop.host.quantization.float_network import FloatNetwork, Floats
from strop.host.quantization.grids import with_grids
from strop.runtime.compiler import largest_batch
from strop.runtime.contract import C
from strop.runtime.device import Device
from strop.runtime.errors import InputError, MemoryPlanError
from strop.runtime.graph import ConvTranspose2d, NetworkGraph, Node, Shape
from strop.runtime.hyperparameters import Hyperparameters
from strop.runtime.session import Minibatch, Session
from strop.runtime.state import StateLayout

State = dict[str, NDArray[Any]]
OnStage = Callable[[str, int, int], None]  # what is done, how far, of how much

LARGEST_WEIGHT = 4.0  # masters hold up to 128: training needs room
SMALLEST_WEIGHT = 2.0**-6  # of a row's largest: 2^18 steps of the master
SMALLEST_DEVIATION = 2.0**-6  # running statistics have steps of 2^-16
SETTLING_STEPS = 24  # a shift moves by one a step
BATCH = 64


@dataclass(frozen=True, eq=False)
class Quantized:
    """A network in int8: `graph` with the grids that were chosen, its state, and what calibration measured."""

    graph: NetworkGraph
    state: State
    calibration: Calibration


def quantize(
    network: FloatNetwork,
    images: NDArray[np.uint8],
    device: Device,
    *,
    statistics: str = "float",
    measured: Calibration | None = None,
    on_stage: OnStage = lambda *_: None,
) -> Quantized:
    """Return `network` in int8, by calibration images uint8 [n, C, H, W], n >= 2; computed on `device`, an open one.

    statistics: what L1BN normalizes by in inference: "float", means and deviations of the float network; "int8", those
    that the int8 network has itself, which takes up what rounding shifts. measured: what `calibrate` gives for the same
    network and images, where that is known already. On one machine the same images give the same bytes, on every
    device. Means, deviations and grids are measured in float32, though, by numpy's BLAS: another one, or another
    processor, may sum in another order, and a last bit of a parameter then differs. What comes out trains to the same
    bytes everywhere. Raises `InputError` for images that do not belong to the network, or for parameters and maps
    beyond int8's reach.
    """
    if statistics not in ("float", "int8"):
        raise InputError(f'statistics is {statistics!r}; allowed: "float", "int8"')
    check_images(images, network.graph.input, network.graph.name)
    if measured is None:
        on_stage("measure the float network", 0, 2)
        measured = calibrate(network, images)
        on_stage("measure the float network", 2, 2)
    graph = with_grids(network.graph, measured.exponents)
    state = first_state(network, graph, measured)
    labels = measured.logits.argmax(axis=1).astype(np.int32)
    return Quantized(graph, _settled(graph, state, images, labels, device, statistics, on_stage), measured)


def first_state(network: FloatNetwork, graph: NetworkGraph, measured: Calibration) -> State:
    """Return the state of `graph` that computes what `network` does, without shifts."""
    state = StateLayout(graph).initial()
    for node in graph.weighted:
        weight = network.weights[node.name]
        norm = _norm_of(graph, node)
        if norm is None:
            _check_range(node.name, weight, 2.0**7)
            _check_range(f"{node.name}'s bias", network.bias, 2.0**11) if not graph.readers(node.name) else None
            state[f"{node.name}.weight"] = to_fixed(weight, C.WEIGHT_FRACTION)
            if f"{node.name}.bias" in state:
                state[f"{node.name}.bias"] = to_fixed(network.bias, C.PARAMETER_FRACTION)
            continue
        factors = _row_factors(node, weight, measured.deviations[norm])
        state[f"{node.name}.weight"] = to_fixed(_scaled(node, weight, factors), C.WEIGHT_FRACTION)
        _put_norm(state, network, measured, norm, factors)
    for name in network.scales:
        if f"{name}.running_steps" in state and not state[f"{name}.running_steps"][0]:
            _put_norm(state, network, measured, name, np.ones(len(network.scales[name])))
    return state


def _put_norm(state: State, network: FloatNetwork, measured: Calibration, name: str, factors: Floats) -> None:
    """Write an L1BN whose input is `factors` times the float network's."""
    scale, mean = network.scales[name], measured.means[name]
    sigma = np.maximum(measured.deviations[name], _least_deviation(measured.deviations[name]))
    gamma, beta = scale * sigma, network.shifts[name] + scale * mean
    _check_range(f"{name}'s gamma", gamma, 2.0**11)
    _check_range(f"{name}'s beta", beta, 2.0**11)
    state[f"{name}.gamma"] = to_fixed(gamma, C.PARAMETER_FRACTION)
    state[f"{name}.beta"] = to_fixed(beta, C.PARAMETER_FRACTION)
    mean, sigma = mean * factors, sigma * factors
    for what, values in (("mean", mean), ("deviation", sigma)):
        _check_range(f"the {what} of what {name} reads", values, 2.0**15)
    state[f"{name}.running_mu"] = to_fixed(mean, C.RUNNING_FRACTION)
    state[f"{name}.running_sigma"] = np.maximum(1, to_fixed(sigma, C.RUNNING_FRACTION))
    state[f"{name}.running_steps"][0] = 1


def _least_deviation(deviations: Floats) -> float:
    """Return the deviation of a channel that never moves: small against the others, but no division by 0."""
    largest = float(deviations.max())
    return largest * 2.0**-10 if largest > 0 else 1.0


def _norm_of(graph: NetworkGraph, node: Node) -> str | None:
    """Return the L1BN that alone reads what a layer with weights gives, None where there is none."""
    readers = graph.readers(node.name)
    return readers[0].name if len(readers) == 1 and readers[0].layer.kind == "l1bn" else None


def _row_factors(node: Node, weight: Floats, deviations: Floats) -> Floats:
    """Return by which power of two to scale what goes into each output channel; L1BN is blind to it.

    A transposed convolution has one exponent for all of its weights, so there each channel gets the largest weight 1.
    """
    largest = _largest_by_output(node, weight)
    if isinstance(node.layer, ConvTranspose2d):
        wanted = np.where(largest > 0, np.exp2(-np.round(np.log2(np.maximum(largest, 1e-30)))), 1.0)
        return np.clip(wanted, 2.0**-20, 2.0**20)
    shrink = np.ceil(np.log2(np.maximum(largest, 1e-30) / LARGEST_WEIGHT))
    grow = np.floor(np.log2(SMALLEST_WEIGHT / np.maximum(largest, 1e-30)))
    grow = np.maximum(grow, np.ceil(np.log2(SMALLEST_DEVIATION / np.maximum(deviations, 1e-30))))
    room = np.floor(np.log2(LARGEST_WEIGHT / np.maximum(largest, 1e-30)))
    powers = np.where(shrink > 0, -shrink, np.clip(grow, 0, np.maximum(room, 0)))
    return np.where(largest > 0, np.exp2(powers), 1.0)


def _largest_by_output(node: Node, weight: Floats) -> Floats:
    if not isinstance(node.layer, ConvTranspose2d):
        return np.asarray(np.abs(weight).reshape(len(weight), -1).max(axis=1))
    groups, (c, per_group) = node.layer.groups, weight.shape[:2]
    return np.asarray(np.abs(weight).reshape(groups, c // groups, per_group, -1).max(axis=(1, 3)).ravel())


def _scaled(node: Node, weight: Floats, factors: Floats) -> Floats:
    if not isinstance(node.layer, ConvTranspose2d):
        return np.asarray(weight * factors[:, None, None, None])
    groups, (c, per_group, r, s) = node.layer.groups, weight.shape
    parts = weight.reshape(groups, c // groups, per_group, r, s) * factors.reshape(groups, 1, per_group, 1, 1)
    return parts.reshape(c, per_group, r, s)


# ---- shifts ----------------------------------------------------------------------------------------------------------


def _settled(
    graph: NetworkGraph,
    state: State,
    images: NDArray[np.uint8],
    labels: NDArray[np.int32],
    device: Device,
    statistics: str,
    on_stage: OnStage,
) -> State:
    """Return the state with shifts that training steps of learning rate 0 have settled, and nothing else moved."""
    batch = min(BATCH, len(images), largest_batch(graph))
    steps = max(SETTLING_STEPS, -(-len(images) // batch))
    kind = "frozen" if statistics == "float" else "batch"
    session = _session(graph, device, batch, kind)
    session.load_state(state)
    for done, _ in enumerate(session.train(_minibatches(images, labels, session.batch, steps))):
        on_stage("settle the shifts", done + 1, steps)
    trained = session.state()
    moved = ("_site",) if statistics == "float" else ("_site", ".running_mu", ".running_sigma")
    return {name: trained[name] if name.endswith(moved) else array for name, array in state.items()}


def _session(graph: NetworkGraph, device: Device, batch: int, statistics: str) -> Session:
    while True:
        try:
            hyper = Hyperparameters(momentum=0.0, statistics=statistics)
            return Session(graph, device, batch=batch, hyper=hyper)
        except MemoryPlanError:
            if batch <= 2:
                raise
            batch //= 2


def _minibatches(images: NDArray[np.uint8], labels: NDArray[np.int32], batch: int, steps: int) -> Iterator[Minibatch]:
    """Yield the images in order, over and over, in full mini-batches."""
    for step in range(steps):
        rows = (np.arange(batch) + step * batch) % len(images)
        yield Minibatch(images[rows], labels[rows], 0.0)


def check_images(images: NDArray[np.uint8], expected: Shape, name: str) -> None:
    """Raise `InputError` unless calibration images are uint8 [n, *expected], n >= 2; `name` is that of the network."""
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != expected:
        shape = f"{images.dtype} {list(images.shape)}" if isinstance(images, np.ndarray) else type(images).__name__
        raise InputError(f"calibration images are {shape}; {name} takes uint8 [n, {', '.join(map(str, expected))}]")
    if len(images) < 2:
        raise InputError(f"{len(images)} calibration images; at least 2 are needed, and some hundreds are better")


def _check_range(what: str, values: Floats, limit: float) -> None:
    if values.size and not float(np.abs(values).max()) < limit:  # NaN is refused, too
        raise InputError(
            f"{what} has a value of {float(np.abs(values).max()):.4g}; int8 training holds values below {limit:g}: "
            "scale the network's outputs down, or train it with weight decay"
        )
