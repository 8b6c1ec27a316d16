"""Protects L1BN as a PyTorch layer: the paper's equations, their gradient, and that it takes nn.BatchNorm's place."""

from __future__ import annotations

import copy
import inspect
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'strop[torch]'")

from strop.host.pytorch import L1BatchNorm1d, L1BatchNorm2d  # noqa: E402
from strop.host.pytorch.l1_batch_norm import L2_OVER_L1  # noqa: E402
from strop.host.pytorch.l1_normalize import l1_normalize  # noqa: E402
from strop.runtime.errors import InputError  # noqa: E402

SHAPES = [(5, 3, 4, 2), (6, 4, 5), (9, 5)]
PAIRS = [(L1BatchNorm1d, torch.nn.BatchNorm1d, (6, 4, 5)), (L1BatchNorm2d, torch.nn.BatchNorm2d, (5, 4, 3, 2))]


def plain_l1bn(x, gamma, beta, epsilon, factor):
    """Eq. 5 and 9 to 11 as they are printed, for autograd to differentiate."""
    axes, column = (0, *range(2, x.ndim)), (1, -1, *(1,) * (x.ndim - 2))
    mu = x.mean(axes, keepdim=True)
    sigma = factor * (x - mu).abs().mean(axes, keepdim=True)
    return gamma.view(column) * ((x - mu) / (sigma + epsilon)) + beta.view(column)


def leaves(shape, seed=7, dtype=torch.float64):
    """Return x, gamma, beta, skewed so that mean(sgn) is not 0."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(shape, generator=generator, dtype=dtype) ** 3
    gamma = torch.rand(shape[1], generator=generator, dtype=dtype) - 0.3
    beta = torch.rand(shape[1], generator=generator, dtype=dtype)
    return [tensor.requires_grad_() for tensor in (x, gamma, beta)]


@pytest.mark.parametrize("factor", [1.0, L2_OVER_L1])
@pytest.mark.parametrize("epsilon", [1e-5, 0.1])
@pytest.mark.parametrize("shape", SHAPES)
def test_forward_and_backward_are_the_plain_formula(shape, epsilon, factor):
    """Eq. 17 to 20, written by hand, against autograd in float64; a large epsilon shows a wrong place of it."""
    ours, plain = leaves(shape), leaves(shape)
    weights = torch.linspace(-1, 2, ours[0].numel(), dtype=torch.float64).view(shape).sin()
    y = l1_normalize(*ours, epsilon, factor)[0]
    expected = plain_l1bn(*plain, epsilon, factor)
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    (y * weights).sum().backward()
    (expected * weights).sum().backward()
    for got, want in zip(ours, plain, strict=True):
        torch.testing.assert_close(got.grad, want.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("factor", [1.0, L2_OVER_L1])
@pytest.mark.parametrize("affine", [True, False])
def test_first_and_second_derivatives_pass_gradcheck(affine, factor):
    """Against finite differences, which know nothing of autograd's rule for abs; the second is what WGAN-GP needs."""
    if affine:
        inputs, function = leaves((4, 2, 3, 2)), lambda *t: l1_normalize(*t, 0.01, factor)[0]
    else:
        inputs, function = leaves((4, 2, 3, 2))[:1], lambda x: l1_normalize(x, None, None, 0.01, factor)[0]
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


def test_both_ways_to_the_gradient_agree():
    """The fast one, and the one that can be differentiated again (create_graph)."""
    inputs = leaves((5, 3, 4, 2))
    y = l1_normalize(*inputs, 1e-5, L2_OVER_L1)[0]
    weights = torch.linspace(-1, 2, y.numel(), dtype=torch.float64).view_as(y).cos()
    fast = torch.autograd.grad(y, inputs, weights, retain_graph=True)
    slow = torch.autograd.grad(y, inputs, weights, create_graph=True)
    for got, want in zip(fast, slow, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)


def test_ties_and_constant_channels():
    """sgn(0) is 0: values at the mean have no slope of sigma, and a constant channel no NaN."""
    x = torch.tensor([[-1.0, 4.0], [0.0, 4.0], [1.0, 4.0]], dtype=torch.float64, requires_grad=True)
    y, mu, sigma = l1_normalize(x, None, None, 0.5)
    assert mu.tolist() == [0, 4] and sigma.tolist() == [pytest.approx(2 / 3), 0]
    weights = torch.tensor([[1.0, 1.0], [5.0, 2.0], [2.0, 4.0]], dtype=torch.float64)
    (gradient,) = torch.autograd.grad(y, x, weights)
    # Eq. 17 by hand: 1/(sigma + eps) * (g - mean(g) - mean(g * xhat) * sgn), xhat = (-6/7, 0, 6/7)
    first = [(g - 8 / 3 - 2 / 7 * sign) * 6 / 7 for g, sign in ((1, -1), (5, 0), (2, 1))]
    np.testing.assert_allclose(gradient[:, 0], first, rtol=1e-12)
    np.testing.assert_allclose(gradient[:, 1], (weights[:, 1] - 7 / 3) / 0.5, rtol=1e-12)


@pytest.mark.parametrize("expanded", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_memory_formats(layout, expanded):
    """Channels last stays so, and gradients arrive in whatever layout, as that of a sum, which is one number."""
    x, gamma, beta = leaves((6, 3, 4, 5), dtype=torch.float32)
    plain = [t.detach().double().requires_grad_() for t in (x, gamma, beta)]
    x = x.detach().contiguous(memory_format=layout).requires_grad_()
    y = l1_normalize(x, gamma, beta, 1e-5)[0]
    assert y.is_contiguous(memory_format=layout)
    weights = torch.ones(()).expand(y.shape) if expanded else torch.linspace(-1, 2, y.numel()).view(y.shape)
    found = torch.autograd.grad(y, (x, gamma, beta), weights)
    want = torch.autograd.grad(plain_l1bn(*plain, 1e-5, 1.0), plain, weights.double())
    for got, exact in zip(found, want, strict=True):
        torch.testing.assert_close(got.double(), exact, rtol=2e-5, atol=2e-4)


@pytest.mark.parametrize(("ours", "theirs", "shape"), PAIRS)
def test_takes_the_place_of_batch_norm(ours, theirs, shape):
    """The same arguments in the same order with the same defaults, and the same names but for running_var."""
    wanted = [(name, each.kind, each.default) for name, each in inspect.signature(theirs).parameters.items()]
    found = [(name, each.kind, each.default) for name, each in inspect.signature(ours).parameters.items()]
    assert found[: len(wanted)] == wanted  # "bias", the last one, is younger than the oldest PyTorch allowed
    for arguments in ({}, {"affine": False}, {"track_running_stats": False}, {"bias": False}):
        if not {*arguments} <= {*inspect.signature(theirs).parameters}:
            continue
        one, other = ours(4, **arguments), theirs(4, **arguments)
        names = [name.replace("running_var", "running_sigma") for name in other.state_dict()]
        assert list(one.state_dict()) == names
        assert [t.dtype for t in one.state_dict().values()] == [t.dtype for t in other.state_dict().values()]
        for mode in (True, False):
            x = torch.randn(shape)
            assert one.train(mode)(x).shape == other.train(mode)(x).shape
    again = ours(4)
    again.load_state_dict(one.state_dict() | ours(4).state_dict())
    assert ours(4, dtype=torch.float64).running_sigma.dtype == torch.float64
    assert ours(4, device="meta").weight.device.type == "meta"


def test_running_statistics_and_inference():
    """Algorithm 1 with alpha = 1 - momentum, and with momentum None the mean; inference by one multiply-add."""
    rng = np.random.default_rng(5)
    batches = rng.normal(3, 2, (3, 6, 3, 4, 5)).astype(np.float32)
    mu = batches.mean((1, 3, 4))
    sigma = np.abs(batches - mu[:, None, :, None, None]).mean((1, 3, 4))
    for momentum in (0.25, None):
        layer = L1BatchNorm2d(3, momentum=momentum)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([0.5, 1.0, -2.0]))
            layer.bias.copy_(torch.tensor([0.0, 1.0, 3.0]))
        for batch in batches:
            layer(torch.from_numpy(batch))
        mean, deviation = np.zeros(3), np.ones(3)
        for step in range(3):
            rate = 1 / (step + 1) if momentum is None else momentum
            mean, deviation = mean + rate * (mu[step] - mean), deviation + rate * (sigma[step] - deviation)
        np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-5)
        np.testing.assert_allclose(layer.running_sigma, deviation, rtol=1e-5)
        assert int(layer.num_batches_tracked) == 3
        layer.eval()
        column = (slice(None), None, None)
        scale = np.array([0.5, 1.0, -2.0]) / (deviation + layer.eps)
        expected = (batches[0] - mean[column]) * scale[column] + np.array([0.0, 1.0, 3.0])[column]
        np.testing.assert_allclose(layer(torch.from_numpy(batches[0])).detach(), expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-5)
        layer.reset_parameters()
        fresh = L1BatchNorm2d(3).state_dict()
        assert all(torch.equal(tensor, fresh[name]) for name, tensor in layer.state_dict().items())


@pytest.mark.parametrize("training", [True, False])
def test_compensation(training):
    """Section IV-A: by gamma, sqrt(pi/2) stays in the output; by sigma, normal inputs have deviation 1 as under L2."""
    x = torch.randn(4000, 2, generator=torch.Generator().manual_seed(1)) * 3 + 1
    spread = {}
    for compensation in ("gamma", "sigma", None):
        layer = L1BatchNorm1d(2, affine=compensation == "gamma", momentum=1.0, compensation=compensation)
        layer(x)
        spread[compensation] = layer.train(training)(x).std(0).detach()
        # what is kept is Eq. 11 itself under either
        np.testing.assert_allclose(layer.running_sigma, (x - x.mean(0)).abs().mean(0), rtol=1e-5)
    torch.testing.assert_close(spread["gamma"], torch.full((2,), math.sqrt(math.pi / 2)), rtol=0.03, atol=0)
    torch.testing.assert_close(spread["sigma"], torch.ones(2), rtol=0.03, atol=0)
    assert torch.equal(spread[None], spread["sigma"])  # the default without gamma
    assert L1BatchNorm1d(2).compensation == "gamma"
    start = L1BatchNorm1d(2, initial_gamma=math.sqrt(2 / math.pi))
    torch.testing.assert_close(start(x).std(0).detach(), torch.ones(2), rtol=0.03, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_types_are_normalized_in_float32(dtype):
    """Under autocast and for a model in half precision: y and gradients near float32's, in their own type."""
    x = torch.randn(64, 3, 5, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    wide, narrow = x.float().requires_grad_(), x.clone().requires_grad_()
    exact, layer = L1BatchNorm2d(3), L1BatchNorm2d(3)
    for module, leaf in ((exact, wide), (layer, narrow)):
        module(leaf).mul(torch.arange(3.0).view(-1, 1, 1)).square().sum().backward()
    assert narrow.grad.dtype == dtype and layer.weight.grad.dtype == torch.float32
    torch.testing.assert_close(layer.running_sigma, exact.running_sigma)
    torch.testing.assert_close(layer.weight.grad, exact.weight.grad, rtol=0.05, atol=1.0)
    assert layer.eval()(x).dtype == dtype
    assert copy.deepcopy(layer).to(dtype).train()(x).dtype == dtype
    assert copy.deepcopy(layer).to(dtype).eval()(x).dtype == dtype
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), L1BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Conv2d(4, 2, 1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(x.float()).float().square().mean()
    loss.backward()
    assert all(p.grad.dtype == torch.float32 and torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that PyTorch can use")
def test_gpu():
    """The same numbers on a GPU."""
    here, there = leaves((5, 3, 4, 2)), [t.detach().cuda().requires_grad_() for t in leaves((5, 3, 4, 2))]
    for tensors in (here, there):
        l1_normalize(*tensors, 1e-5)[0].sin().sum().backward()
    for one, other in zip(here, there, strict=True):
        torch.testing.assert_close(one.grad, other.grad.cpu())


def test_torch_compile():
    """One graph, no break, in training and inference; compiled without a compiler of its own ("aot_eager")."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3), L1BatchNorm2d(4), torch.nn.ReLU())
    twin = copy.deepcopy(model)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    x = torch.randn(3, 2, 6, 6)
    for run in (compiled, twin):
        run(x).square().sum().backward()
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    torch.testing.assert_close(model[1].running_sigma, twin[1].running_sigma)
    model.eval()
    torch.testing.assert_close(compiled(x), twin.eval()(x))
    torch._dynamo.reset()


def test_what_does_not_fit_is_refused():
    """Shapes, channels, one value a channel, an unknown compensation: named, as ValueErrors like BatchNorm's."""
    with pytest.raises(InputError, match=r"shape \[2, 3\]; expected 4 dimensions"):
        L1BatchNorm2d(3)(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="2 dimensions or 3 dimensions"):
        L1BatchNorm1d(3)(torch.zeros(2, 3, 1, 1))
    with pytest.raises(InputError, match=r"3 channels got an input of shape \[4, 2\], which has 2"):
        L1BatchNorm1d(3)(torch.zeros(4, 2))
    with pytest.raises(InputError, match="more than one value a channel"):
        L1BatchNorm1d(3)(torch.zeros(1, 3))
    assert L1BatchNorm1d(3).eval()(torch.zeros(1, 3)).shape == (1, 3)
    with pytest.raises(InputError, match="more than one value a channel"):
        L1BatchNorm1d(3, track_running_stats=False).eval()(torch.zeros(1, 3))
    with pytest.raises(InputError, match="'both'; allowed: 'gamma', 'sigma'"):
        L1BatchNorm1d(3, compensation="both")
