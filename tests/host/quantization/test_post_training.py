"""From float to fixed point: Wu et al.'s Eq. 16 channel by channel, shifts that settle, and parameters at the edges."""

from __future__ import annotations

import numpy as np
import pytest

from onnx_files import some_images
from strop.host import Model
from strop.host.models import to_fixed
from strop.host.quantization import FloatNetwork, calibrate, float_logits, quantize
from strop.host.quantization.grids import with_grids
from strop.host.quantization.post_training import first_state
from strop.runtime.contract import SITE, C
from strop.runtime.device import open_device
from strop.runtime.errors import InputError
from strop.runtime.graph import L1BN, Concatenate, Conv2d, Flatten, GlobalAveragePool, Linear, NetworkGraph, ReLU, Tanh

LAYERS = (Conv2d(4), L1BN(), ReLU(), Conv2d(8, groups=4), L1BN(), ReLU(), GlobalAveragePool(), Linear(3))


def network(factor: float = 1.0) -> FloatNetwork:
    """A network with random parameters; the first layer's filters times `factor`, undone by its normalization."""
    graph, draw = NetworkGraph("net", (1, 8, 8), LAYERS), np.random.Generator(np.random.PCG64(7))
    weights = {node.name: draw.normal(0, 0.3, node.weight_shape) for node in graph.weighted}
    weights["conv1"] = weights["conv1"] * factor
    scales = {"bn1": draw.uniform(0.5, 3.0, 4) / factor, "bn2": draw.uniform(-2.0, 2.0, 8)}
    shifts = {"bn1": draw.normal(0, 0.3, 4), "bn2": draw.normal(0, 0.3, 8)}
    return FloatNetwork(graph, weights, scales, shifts, np.array([0.1, -0.2, 0.3]))


def test_l1bn_is_the_same_function_in_inference() -> None:
    """Protects Eq. 16 as it is used: gamma' / sigma_L1 is the old scale and beta' the old value at the mean."""
    net, images = network(), some_images(64)
    measured = calibrate(net, images)
    state = first_state(net, net.graph, measured)
    real = {n: a.astype(np.float64) * 2.0**-f for n, a in state.items() for f in [_fraction(n)] if f}
    for name in ("bn1", "bn2"):
        gain = real[f"{name}.gamma"] / real[f"{name}.running_sigma"]
        np.testing.assert_allclose(gain, net.scales[name], rtol=2e-3)
        shift = real[f"{name}.beta"] - gain * real[f"{name}.running_mu"]
        np.testing.assert_allclose(shift, net.shifts[name], atol=5e-3)


def _fraction(name: str) -> int:
    if name.endswith((".gamma", ".beta")):
        return int(C.PARAMETER_FRACTION)
    return int(C.RUNNING_FRACTION) if "running_" in name and not name.endswith("steps") else 0


def test_deviations_are_mean_distances() -> None:
    """Protects what is measured, Eq. 5 and 11, against numpy on what the first convolution gives."""
    net, images = network(), some_images(40)
    seen: list[np.ndarray] = []
    float_logits(net, images, lambda node, sources, given: seen.append(given) if node.name == "conv1" else None)
    x, measured = np.concatenate(seen), calibrate(net, images)
    mean = x.mean(axis=(0, 2, 3), dtype=np.float64)
    np.testing.assert_allclose(measured.means["bn1"], mean, rtol=1e-4)
    distance = np.abs(x - mean[:, None, None]).mean(axis=(0, 2, 3), dtype=np.float64)
    np.testing.assert_allclose(measured.deviations["bn1"], distance, rtol=1e-4)


def test_shifts_settle_and_nothing_else_moves() -> None:
    """Protects parameters from the steps that settle shifts: those of learning rate 0."""
    net, images = network(), some_images(64)
    made = quantize(net, images, open_device("emulator", 1))
    first = first_state(net, made.graph, made.calibration)
    moved = {name for name, array in made.state.items() if not np.array_equal(array, first[name])}
    assert moved and all(name.endswith("_site") for name in moved)
    assert all(array.view(SITE)[0]["set"] for name, array in made.state.items() if name.endswith("_site"))
    running = quantize(net, images, open_device("emulator", 1), statistics="int8")
    moved = {n for n, array in running.state.items() if not np.array_equal(array, first[n]) and not n.endswith("_site")}
    assert moved == {f"{name}.running_{what}" for name in ("bn1", "bn2") for what in ("mu", "sigma")}


@pytest.mark.parametrize("factor", [2.0**-18, 1.0, 2.0**12])
def test_the_scale_of_filters_does_not_matter(factor: float) -> None:
    """Protects filters that masters could not hold: L1BN is blind to a power of two, so int8 answers alike."""
    images, device = some_images(64), open_device("emulator", 1)
    made, plain = (quantize(network(f), images, device) for f in (factor, 1.0))
    largest = np.abs(made.state["conv1.weight"]).max() * 2.0**-C.WEIGHT_FRACTION
    assert 2.0**-8 < largest <= 4.0
    rows = [state["conv1.weight"].reshape(4, -1) for state in (made.state, plain.state)]
    one, other = (row / np.abs(row).max(axis=1, keepdims=True) for row in rows)
    np.testing.assert_allclose(one, other, atol=1e-4)
    np.testing.assert_allclose(made.state["bn1.gamma"], plain.state["bn1.gamma"], rtol=1e-4)


def test_a_channel_that_never_moves() -> None:
    """Protects from division by 0: a dead filter gives its shift, and the network works on."""
    net = network()
    net.weights["conv1"][1] = 0.0
    made = quantize(net, some_images(64), open_device("emulator", 1))
    assert made.state["bn1.running_sigma"].min() >= 1
    assert made.state["bn1.beta"][1] == to_fixed(net.shifts["bn1"][1:2], C.PARAMETER_FRACTION)[0]


def test_parameters_beyond_reach_are_refused() -> None:
    """Protects from masters that saturate in silence."""
    net = network()
    net.weights["fc1"][0, 0] = 200.0
    with pytest.raises(InputError, match="fc1"):
        quantize(net, some_images(8), open_device("emulator", 1))
    with pytest.raises(InputError, match="statistics"):
        quantize(network(), some_images(8), open_device("emulator", 1), statistics="batch")


def test_joined_branches_share_a_grid() -> None:
    """Protects concatenations: branches get the smallest exponent of all, also through pooling and other joins."""
    branch = (Conv2d(4, (1, 1)), L1BN(), Tanh(3))
    graph = NetworkGraph(
        "net",
        (1, 8, 8),
        (Conv2d(4), L1BN(), ReLU(), Concatenate(((), branch)), GlobalAveragePool(), Flatten(), Linear(3)),
    )
    exponents = {"bn1": 5, "bn2": 8, "tanh1": 7, "global_average_pool1": 12}
    found = with_grids(graph, exponents)
    grids = {node.name: node.grid for node in found.nodes}
    assert grids["bn1"] == grids["tanh1"] == grids["concat1"] == 5 and grids["bn2"] == 8
    assert grids["global_average_pool1"] == 8


def test_a_map_beyond_every_grid_is_refused() -> None:
    """Protects from an import whose activations are cut in silence: the node, its largest value, and what to do."""
    net, images = network(), some_images(64)
    net.scales["bn1"][:] *= 200.0
    largest: list[float] = []
    float_logits(net, images, lambda node, _, given: largest.append(given.max()) if node.name == "relu1" else None)
    with pytest.raises(InputError, match="divide the weights") as raised:
        quantize(net, images, open_device("emulator", 1))
    assert f"relu1 of net gives values up to {max(largest):.4g}" in str(raised.value)
    net.scales["bn1"][:] = np.inf
    with pytest.raises(InputError, match="gives values up to"), np.errstate(all="ignore"):
        calibrate(net, images)


def test_running_statistics_beyond_reach_are_refused() -> None:
    """Protects means and deviations from saturating in silence, as gamma's and beta's range does."""
    net, measured = network(), calibrate(network(), some_images(64))
    for part, what in ((measured.means, "mean"), (measured.deviations, "deviation")):
        kept = part["bn1"].copy()
        part["bn1"][2] = 2.0**15
        net.scales["bn1"][2], net.shifts["bn1"][2] = 2.0**-15, 0.0  # so that gamma and beta are within theirs
        with pytest.raises(InputError, match=f"the {what} of what bn1 reads has a value of 3.277e"):
            first_state(net, net.graph, measured)
        part["bn1"][:] = kept


def test_pooled_images_without_l1bn() -> None:
    """Protects networks that have nothing to normalize: colour averages and a Linear layer."""
    graph, images = NetworkGraph("net", (3, 8, 8), (GlobalAveragePool(), Linear(3))), some_images(64, (3, 8, 8))
    images[::3, 0] //= 2
    net = FloatNetwork(graph, {"fc1": np.eye(3)[:, :, None, None]}, {}, {}, np.zeros(3))
    made = quantize(net, images, open_device("emulator", 1))
    with Model(made.graph, made.state, classes=("r", "g", "b"), device="emulator", threads=1) as model:
        answers = model.predict(images).logits
    np.testing.assert_allclose(answers, float_logits(net, images), atol=0.02)
