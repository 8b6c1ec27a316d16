"""Protects the float twin: every layer of strop's, the order of its first weights, its reading of images."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'strop[torch]'")

from small_networks import ADVERSARIAL, BRANCHES, DENSE, JOINT, MIXED  # noqa: E402
from strop.host.order import uniform  # noqa: E402
from strop.host.pytorch.float_twin import FloatTwin, evaluate, float_twin, initial_parameters  # noqa: E402
from strop.host.pytorch.twin_layers import EPSILON, MODULES, TwinL1BatchNorm2d, module_of  # noqa: E402
from strop.runtime.errors import InputError  # noqa: E402
from strop.runtime.graph import (  # noqa: E402
    L1BN,
    LAYER_KINDS,
    AveragePool2d,
    Bias,
    Concatenate,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    GlobalAveragePool,
    HardSwish,
    LeakyReLU,
    Linear,
    MaxPool2d,
    NetworkGraph,
    ReLU,
    ReLU6,
    Residual,
    Sigmoid,
    SiLU,
    Tanh,
    Upsample,
)
from strop.runtime.node import Node  # noqa: E402

GRAPH = NetworkGraph(
    "small",
    (2, 6, 7),
    (
        *(Conv2d(4, (3, 3), padding=(1, 1)), L1BN(), ReLU(), MaxPool2d()),
        *(Conv2d(4, (1, 1), groups=2), L1BN(), Flatten(), Linear(5), L1BN(), ReLU(), Linear(3)),
    ),
    border=1,
)


def test_running_statistics_and_inference():
    """Algorithm 1: the first step sets the running statistics, the next moves them by 1/16, inference uses them."""
    rng = np.random.default_rng(5)
    batches = rng.normal(3, 2, (2, 6, 3, 4, 5)).astype(np.float32)
    layer = TwinL1BatchNorm2d(3)
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
    network = FloatTwin(GRAPH, "l1", initial)
    np.testing.assert_allclose(network.parameters_by_name()["fc2.weight"].detach(), initial["fc2.weight"][:, :, 0, 0])
    assert torch.all(network.layers["bn3"].weight == 1) and torch.all(network.layers["bn3"].bias == 0)


def test_images_are_read_as_int8_training_reads_them():
    """Pixel p is max(p - 128, -127) / 128, and the border is black: a bare Linear shows what arrives."""
    graph = NetworkGraph("bare", (1, 1, 3), (Flatten(), Linear(15)), border=1)
    state = {"fc1.weight": np.eye(15)[:, :, None, None], "fc1.bias": np.zeros(15)}
    logits = FloatTwin(graph, "l1", state)(torch.tensor([[[[0, 128, 255]]]], dtype=torch.uint8))
    black = -127 / 128
    np.testing.assert_array_equal(logits.detach()[0], [black] * 6 + [black, 0.0, 127 / 128] + [black] * 6)


@pytest.mark.parametrize("norm", ["l1", "l2", "none"])
def test_every_layer_has_a_twin_and_evaluation_moves_nothing(norm):
    """Groups, pools and Flatten run under both norms; evaluate neither trains nor leaves training mode."""
    layers = (*GRAPH.layers[:6], ReLU(), GlobalAveragePool(), Linear(3))
    graph = NetworkGraph("pooled", GRAPH.input, layers, border=1)
    network = FloatTwin(graph, norm, initial_parameters(graph, 0)).train()
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
    network = FloatTwin(graph, norm, initial_parameters(graph, 3))
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
    network = FloatTwin(graph, norm, initial_parameters(graph, 3)).eval()
    images = torch.arange(4 * 84, dtype=torch.int64).mul(37).remainder(256).to(torch.uint8).view(4, 2, 6, 7)
    for after in ("relu2", "pool1"):
        torch.testing.assert_close(network.rear(network.front(images, after), after), network(images), rtol=0, atol=0)
    with pytest.raises(InputError, match="cannot be cut behind 'conv1'"):
        network.front(images, "conv1")


def test_without_norm_the_beta_is_a_bias():
    """Norm "none" adds beta to each channel and trains it under its name; there is no gamma."""
    initial = {**initial_parameters(GRAPH, 0), "bn1.beta": np.array([0.0, 1.0, -2.0, 0.5])}
    network = FloatTwin(GRAPH, "none", initial)
    x = torch.arange(2 * 4 * 2, dtype=torch.float32).view(2, 4, 2, 1)
    expected = x + torch.tensor([0.0, 1.0, -2.0, 0.5]).view(1, 4, 1, 1)
    torch.testing.assert_close(network.layers["bn1"](x).detach(), expected, rtol=0, atol=0)
    assert "bn1.beta" in network.parameters_by_name() and "bn1.gamma" not in network.parameters_by_name()


def test_a_state_that_does_not_fit_is_refused():
    """A missing or misshapen array is named, never filled in or broadcast."""
    initial = initial_parameters(GRAPH, 0)
    with pytest.raises(InputError, match="lacks bn2.beta"):
        FloatTwin(GRAPH, "l1", {name: array for name, array in initial.items() if name != "bn2.beta"})
    with pytest.raises(InputError, match=r"fc1.weight has shape \(5,\)"):
        FloatTwin(GRAPH, "l1", {**initial, "fc1.weight": np.zeros(5)})
    with pytest.raises(InputError, match="'l3' is unknown"):
        FloatTwin(GRAPH, "l3", initial)


def alone(layer, *read):
    """Return what the twin's module of `layer` gives of the maps that it reads."""
    node = Node("it", layer, tuple(read[0].shape[1:]), (0, 0, 0), ("input",), None)
    return module_of(node, "l1", False)(*read).detach()


def test_layers_compute_what_they_say():
    """Each kind by its definition in runtime/layers.py, on maps whose sides differ."""
    x = torch.linspace(-8, 8, 2 * 3 * 4 * 5).view(2, 3, 4, 5)
    torch.testing.assert_close(alone(LeakyReLU(0.2), x), torch.where(x > 0, x, 0.2 * x))
    torch.testing.assert_close(alone(ReLU6(), x), x.clamp(0, 6))
    torch.testing.assert_close(alone(Tanh(), x), (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()))
    torch.testing.assert_close(alone(Sigmoid(), x), 1 / (1 + (-x).exp()))
    torch.testing.assert_close(alone(HardSwish(), x), x * (x + 3).clamp(0, 6) / 6)
    torch.testing.assert_close(alone(SiLU(), x), x / (1 + (-x).exp()))
    torch.testing.assert_close(alone(Upsample((2, 3)), x), torch.from_numpy(x.numpy().repeat(2, 2).repeat(3, 3)))
    torch.testing.assert_close(alone(Concatenate(((), (ReLU(),))), x, -x)[:, 3:], -x)
    ones = torch.ones(1, 1, 4, 5)
    pooled = alone(AveragePool2d((3, 3), (1, 1), (1, 1)), ones)
    assert pooled[0, 0, 0, :2].tolist() == pytest.approx([4 / 9, 6 / 9]) and pooled[0, 0, 1, 1] == 1


def test_transposed_convolution_and_bias():
    """Weights [C_in, C_out/groups, R, S] spread each value over a window; a Bias has a beta and no gamma."""
    layers = (ConvTranspose2d(4, (2, 3), (2, 2), (0, 1), (1, 0), groups=2), Bias(), Flatten(), Linear(2))
    graph = NetworkGraph("up", (2, 1, 2), layers)
    initial = initial_parameters(graph, 0)
    assert initial["deconv1.weight"].shape == (2, 2, 2, 3) and "bias1.gamma" not in initial
    initial["bias1.beta"] = np.array([0.5, 0.0, 0.0, -1.0])
    twin = float_twin(graph, initial=initial)
    assert set(twin.parameters_by_name()) == {"deconv1.weight", "bias1.beta", "fc1.weight", "fc1.bias"}
    x = torch.tensor([[[[1.0, 10.0]], [[2.0, 20.0]]]])
    y = twin.layers["bias1"](twin.layers["deconv1"](x)).detach()
    spread = np.zeros((4, 3, 5))  # (1 - 1)*2 + 2 + 1 rows; (2 - 1)*2 + 3 columns before the padding is cut off
    for channel in range(4):
        for column in range(2):
            kernel = initial["deconv1.weight"][channel // 2, channel % 2]
            spread[channel, :2, 2 * column : 2 * column + 3] += float(x[0, channel // 2, 0, column]) * kernel
    expected = spread[:, :, 1:4] + initial["bias1.beta"][:, None, None]
    np.testing.assert_allclose(y[0], expected, rtol=1e-5)


@pytest.mark.parametrize("graph", [MIXED, BRANCHES, DENSE, JOINT, ADVERSARIAL], ids=lambda graph: graph.name)
@pytest.mark.parametrize("norm", ["l1", "l2", "none"])
def test_networks_of_every_shape_have_a_twin(graph, norm):
    """All layers in their order: shapes as the graph infers them, and each parameter has a gradient."""
    twin = float_twin(graph, norm, seed=1)
    images = torch.arange(3 * int(np.prod(graph.input))).mul(37).remainder(256).to(torch.uint8).view(3, *graph.input)
    logits = twin(images)
    assert logits.shape == (3, graph.classes) and logits.dtype == torch.float32
    logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in twin.parameters())
    assert set(twin.parameters_by_name()) <= set(initial_parameters(graph, 1))


def test_every_kind_of_layer_has_an_entry():
    """A kind that strop gains is noticed here, not by whoever wants its twin."""
    assert set(MODULES) == set(LAYER_KINDS)


def test_the_input_of_a_rear_has_its_own_step():
    """A byte stands for (p - 128) * 2^-input_exponent in a network that was cut in the middle."""
    graph = NetworkGraph("rear", (1, 1, 2), (Flatten(), Linear(2)), input_exponent=3)
    state = {"fc1.weight": np.eye(2), "fc1.bias": np.zeros(2)}
    logits = FloatTwin(graph, "l1", state)(torch.tensor([[[[136, 120]]]], dtype=torch.uint8))
    assert logits.tolist() == [[1.0, -1.0]]
