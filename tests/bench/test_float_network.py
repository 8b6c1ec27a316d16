"""Protects the float twin: L1BN's equations and gradient, the order of its first weights, its reading of images."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parent))

from float_network import (  # noqa: E402
    EPSILON,
    FloatNetwork,
    L1BatchNorm2d,
    _L1Normalize,
    evaluate,
    initial_parameters,
)
from strop.host.order import uniform  # noqa: E402
from strop.runtime.errors import InputError  # noqa: E402
from strop.runtime.graph import (  # noqa: E402
    L1BN,
    Conv2d,
    Flatten,
    GlobalAveragePool,
    Linear,
    MaxPool2d,
    NetworkGraph,
    ReLU,
    Residual,
)

GRAPH = NetworkGraph(
    "small",
    (2, 6, 7),
    (
        *(Conv2d(4, (3, 3), padding=(1, 1)), L1BN(), ReLU(), MaxPool2d()),
        *(Conv2d(4, (1, 1), groups=2), L1BN(), Flatten(), Linear(5), L1BN(), ReLU(), Linear(3)),
    ),
    border=1,
)


def plain_l1bn(x, gamma, beta, epsilon):
    """Eq. 5 and 9 to 11 as they are printed, for autograd to differentiate."""
    mu = x.mean((0, 2, 3), keepdim=True)
    sigma = (x - mu).abs().mean((0, 2, 3), keepdim=True)
    return gamma.view(1, -1, 1, 1) * (x - mu) / (sigma + epsilon) + beta.view(1, -1, 1, 1)


def leaves(seed, shape=(5, 3, 4, 2)):
    """Return x, gamma, beta in float64, skewed so that mean(sgn) is not 0."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(shape, generator=generator, dtype=torch.float64) ** 3
    gamma = torch.rand(shape[1], generator=generator, dtype=torch.float64) - 0.3
    beta = torch.rand(shape[1], generator=generator, dtype=torch.float64)
    return [tensor.requires_grad_() for tensor in (x, gamma, beta)]


@pytest.mark.parametrize("epsilon", [EPSILON, 0.1])
@pytest.mark.parametrize("shape", [(5, 3, 4, 2), (8, 6, 1, 1)])
def test_backward_is_the_gradient_of_the_plain_formula(epsilon, shape):
    """Eq. 17 to 20, written by hand, against autograd in float64; a large epsilon shows a wrong place of it."""
    ours, plain = leaves(7, shape), leaves(7, shape)
    weights = torch.linspace(-1, 2, ours[0].numel(), dtype=torch.float64).view(shape).sin()
    y = _L1Normalize.apply(*ours, epsilon)[0]
    expected = plain_l1bn(*plain, epsilon)
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    (y * weights).sum().backward()
    (expected * weights).sum().backward()
    for got, want in zip(ours, plain, strict=True):
        torch.testing.assert_close(got.grad, want.grad, rtol=1e-10, atol=1e-12)


def test_backward_passes_gradcheck():
    """The same against finite differences, which know nothing of autograd's rule for abs."""
    assert torch.autograd.gradcheck(lambda *t: _L1Normalize.apply(*t, EPSILON)[0], leaves(3), eps=1e-7, atol=1e-5)


def test_running_statistics_and_inference():
    """Algorithm 1: the first step sets the running statistics, the next moves them by 1/16, inference uses them."""
    rng = np.random.default_rng(5)
    batches = rng.normal(3, 2, (2, 6, 3, 4, 5)).astype(np.float32)
    layer = L1BatchNorm2d(3)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.5, 1.0, -2.0]))
        layer.bias.copy_(torch.tensor([0.0, 1.0, 3.0]))
    for batch in batches:
        layer(torch.from_numpy(batch))
    mu = batches.mean((1, 3, 4))
    sigma = np.abs(batches - mu[:, None, :, None, None]).mean((1, 3, 4))
    mu, sigma = (first + (second - first) / 16 for first, second in (mu, sigma))
    np.testing.assert_allclose(layer.running_mean, mu, rtol=1e-5)
    np.testing.assert_allclose(layer.running_sigma, sigma, rtol=1e-5)
    layer.eval()
    column = (slice(None), None, None)
    scale = np.array([0.5, 1.0, -2.0]) / (sigma + EPSILON)
    expected = (batches[0] - mu[column]) * scale[column] + np.array([0.0, 1.0, 3.0])[column]
    np.testing.assert_allclose(layer(torch.from_numpy(batches[0])).detach(), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.running_mean, mu, rtol=1e-5)


def test_first_weights_are_those_of_int8_training():
    """Same seed, same start: stream 2i for the i-th weighted layer, 2i + 1 for its bias, bound 1/sqrt(fan-in)."""
    initial = initial_parameters(GRAPH, 11)
    assert sorted(initial) == sorted(
        [f"{name}.weight" for name in ("conv1", "conv2", "fc1", "fc2")]
        + ["fc2.bias"]
        + [f"bn{i}.{field}" for i in (1, 2, 3) for field in ("gamma", "beta")]
    )
    np.testing.assert_array_equal(initial["conv2.weight"], uniform((4, 2, 1, 1), 2**-0.5, 11, 2))
    np.testing.assert_array_equal(initial["fc2.bias"], uniform((3,), 5**-0.5, 11, 7))
    network = FloatNetwork(GRAPH, "l1", initial)
    np.testing.assert_allclose(network.parameters_by_name()["fc2.weight"].detach(), initial["fc2.weight"][:, :, 0, 0])
    assert torch.all(network.layers["bn3"].weight == 1) and torch.all(network.layers["bn3"].bias == 0)


def test_images_are_read_as_int8_training_reads_them():
    """Pixel p is max(p - 128, -127) / 128, and the border is black: a bare Linear shows what arrives."""
    graph = NetworkGraph("bare", (1, 1, 3), (Flatten(), Linear(15)), border=1)
    state = {"fc1.weight": np.eye(15)[:, :, None, None], "fc1.bias": np.zeros(15)}
    logits = FloatNetwork(graph, "l1", state)(torch.tensor([[[[0, 128, 255]]]], dtype=torch.uint8))
    black = -127 / 128
    np.testing.assert_array_equal(logits.detach()[0], [black] * 6 + [black, 0.0, 127 / 128] + [black] * 6)


@pytest.mark.parametrize("norm", ["l1", "l2", "none"])
def test_every_layer_has_a_twin_and_evaluation_moves_nothing(norm):
    """Groups, pools and Flatten run under both norms; evaluate neither trains nor leaves training mode."""
    layers = (*GRAPH.layers[:6], ReLU(), GlobalAveragePool(), Linear(3))
    graph = NetworkGraph("pooled", GRAPH.input, layers, border=1)
    network = FloatNetwork(graph, norm, initial_parameters(graph, 0)).train()
    images = torch.arange(4 * 84, dtype=torch.int64).mul(37).remainder(256).to(torch.uint8).view(4, 2, 6, 7)
    network(images)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    predicted = network.eval()(images).argmax(1)
    network.train()
    wrong = predicted.clone()
    wrong[0] = (wrong[0] + 1) % 3
    assert evaluate(network, images, wrong, batch=3) == 0.25
    assert network.training
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_branches_add_up(norm):
    """Residual blocks: the outputs of body and shortcut meet, and the input itself where the shortcut is empty."""
    body = (Conv2d(4, (3, 3), padding=(1, 1)), L1BN(), ReLU(), Conv2d(4, (1, 1)), L1BN())
    halved = (Conv2d(5, (1, 1), (2, 2)), L1BN())
    layers = (*body[:3], Residual(body), ReLU(), Residual(halved, halved), GlobalAveragePool(), Linear(3))
    graph = NetworkGraph("residual", (2, 6, 7), layers)
    network = FloatNetwork(graph, norm, initial_parameters(graph, 3))
    images = torch.arange(4 * 84, dtype=torch.int64).mul(37).remainder(256).to(torch.uint8).view(4, 2, 6, 7)
    part = network.layers
    x = (images.to(torch.float32) - 128).clamp(min=-127) / 128
    x = part["bn1"](part["conv1"](x)).relu()
    x = (x + part["bn3"](part["conv3"](part["bn2"](part["conv2"](x)).relu()))).relu()
    x = part["bn4"](part["conv4"](x)) + part["bn5"](part["conv5"](x))
    torch.testing.assert_close(network(images), part["fc1"](x.mean((2, 3))))


@pytest.mark.parametrize("norm", ["l1", "l2", "none"])
def test_front_and_rear_are_the_whole(norm):
    """A network cut in two gives the logits of the whole, behind branches and with a border, too."""
    body = (Conv2d(4, (3, 3), padding=(1, 1)), L1BN())
    layers = (*body, ReLU(), Residual(body), ReLU(), MaxPool2d(), Flatten(), Linear(5), L1BN(), ReLU(), Linear(3))
    graph = NetworkGraph("residual", (2, 6, 7), layers, border=1)
    network = FloatNetwork(graph, norm, initial_parameters(graph, 3)).eval()
    images = torch.arange(4 * 84, dtype=torch.int64).mul(37).remainder(256).to(torch.uint8).view(4, 2, 6, 7)
    for after in ("relu2", "pool1"):
        torch.testing.assert_close(network.rear(network.front(images, after), after), network(images), rtol=0, atol=0)
    with pytest.raises(InputError, match="cannot be cut behind 'conv1'"):
        network.front(images, "conv1")


def test_without_norm_the_beta_is_a_bias():
    """Norm "none" adds beta to each channel and trains it under its name; there is no gamma."""
    initial = {**initial_parameters(GRAPH, 0), "bn1.beta": np.array([0.0, 1.0, -2.0, 0.5])}
    network = FloatNetwork(GRAPH, "none", initial)
    x = torch.arange(2 * 4 * 2, dtype=torch.float32).view(2, 4, 2, 1)
    expected = x + torch.tensor([0.0, 1.0, -2.0, 0.5]).view(1, 4, 1, 1)
    torch.testing.assert_close(network.layers["bn1"](x).detach(), expected, rtol=0, atol=0)
    assert "bn1.beta" in network.parameters_by_name() and "bn1.gamma" not in network.parameters_by_name()


def test_a_state_that_does_not_fit_is_refused():
    """A missing or misshapen array is named, never filled in or broadcast."""
    initial = initial_parameters(GRAPH, 0)
    with pytest.raises(InputError, match="lacks bn2.beta"):
        FloatNetwork(GRAPH, "l1", {name: array for name, array in initial.items() if name != "bn2.beta"})
    with pytest.raises(InputError, match=r"fc1.weight has shape \(5,\)"):
        FloatNetwork(GRAPH, "l1", {**initial, "fc1.weight": np.zeros(5)})
    with pytest.raises(InputError, match="'l3' is unknown"):
        FloatNetwork(GRAPH, "l3", initial)
