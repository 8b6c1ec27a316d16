"""Protects the way from PyTorch into strop: the integers are the twin's values, and infer what it infers."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'strop[torch]'")

from small_networks import ADVERSARIAL, BRANCHES, DENSE, JOINT, RESIDUAL, samples  # noqa: E402
from strop.host.models import initial_state, lenet5  # noqa: E402
from strop.host.pytorch import float_twin, network_from_twin, real_state, state_from_twin  # noqa: E402
from strop.host.pytorch.l1_batch_norm import L2_OVER_L1  # noqa: E402
from strop.host.quantization import float_logits, quantize  # noqa: E402
from strop.runtime import Hyperparameters, Minibatch, Session, open_device  # noqa: E402
from strop.runtime.cut import cut_points  # noqa: E402
from strop.runtime.errors import InputError  # noqa: E402
from strop.runtime.graph import L1BN, Conv2d, Flatten, Linear, NetworkGraph, ReLU6, Sigmoid, Upsample  # noqa: E402
from strop.runtime.state import StateLayout  # noqa: E402

REST = NetworkGraph(
    "rest",
    (2, 6, 5),
    (
        *(Conv2d(8, (3, 3), padding=(1, 1)), L1BN(), ReLU6(), Upsample((2, 1))),
        *(Conv2d(8, (3, 3), (2, 2)), L1BN(), Sigmoid(), Flatten(), Linear(4)),
    ),
)


def trained(graph, norm="l1", steps=3):
    """Return a twin after `steps` of SGD, and the images that it saw."""
    twin = float_twin(graph, norm, seed=2)
    images, labels = samples(graph, 64)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        logits = twin(torch.from_numpy(images))
        if graph.classes == 1:
            logits = torch.cat([logits, torch.zeros_like(logits)], 1)
        torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels).long() % logits.shape[1]).backward()
        optimizer.step()
    return twin, images, labels


def test_a_fresh_twin_is_the_fresh_state():
    """Every array, byte for byte: what int8 training starts from is what its twin starts from."""
    for graph in (lenet5(), RESIDUAL, DENSE, ADVERSARIAL):
        state, expected = state_from_twin(float_twin(graph, seed=3)), initial_state(graph, 3)
        assert state.keys() == expected.keys()
        for name, array in expected.items():
            largest = np.abs(state[name].astype(np.int64) - array.astype(np.int64)).max(initial=0)
            # float32 holds 24 bits of a weight's 24 fraction bits and sign
            assert largest <= (1 if name.endswith((".weight", ".bias")) else 0), name


def test_there_and_back():
    """Parameters and statistics come back within half a step of their fixed point; the count of steps is kept."""
    twin, _, _ = trained(RESIDUAL)
    state = state_from_twin(twin)
    StateLayout(RESIDUAL).check(state)
    assert state["bn1.running_steps"].tolist() == [3] and not state["bn1.gamma.momentum"].any()
    again = float_twin(RESIDUAL, "l1", real_state(state))
    for name, parameter in twin.parameters_by_name().items():
        step = 2.0**-24 if name.endswith(".weight") else 2.0**-20
        difference = (again.parameters_by_name()[name] - parameter).abs().max()
        assert difference <= step / 2 + 1e-7, name
    for name, norm in twin.norms().items():
        torch.testing.assert_close(again.norms()[name].running_sigma, norm.running_sigma, rtol=0, atol=2.0**-17 + 1e-7)
        torch.testing.assert_close(again.norms()[name].running_mean, norm.running_mean, rtol=0, atol=2.0**-17 + 1e-7)


@pytest.mark.parametrize("graph", [RESIDUAL, BRANCHES, DENSE, JOINT, ADVERSARIAL, REST], ids=lambda graph: graph.name)
def test_int8_infers_what_the_twin_infers(graph):
    """The integers, loaded and with their shifts found by steps that change no parameter, give the twin's logits."""
    twin, images, labels = trained(graph)
    for norm in twin.norms().values():
        norm.num_batches_tracked.zero_()
    twin(torch.from_numpy(images))  # the running statistics are now those of these images, as int8's will be
    exact = twin.eval()(torch.from_numpy(images)).detach().numpy()
    loss = "binary_cross_entropy" if graph.classes == 1 else "cross_entropy"
    hyper = Hyperparameters(momentum=0.0, loss=loss)
    session = Session(graph, open_device("emulator", 1), batch=64, hyper=hyper)
    state = state_from_twin(twin)
    session.load_state(state)
    targets = np.zeros((64, 1), np.int32) if graph.classes == 1 else None
    for _ in range(6):
        list(session.train([Minibatch(images, labels * (graph.classes > 1), 0.0, targets)]))
    after = session.state()
    assert all(np.array_equal(after[name], state[name]) for name in state if name.endswith((".weight", ".beta")))
    logits = session.logits(images)
    # bias2 of the discriminator varies by one step of its grid, and so does what follows
    front = "tanh1" if graph is ADVERSARIAL else cut_points(graph)[-1]
    maps, exact_maps = session.features(images, front), twin.front(torch.from_numpy(images), front).detach().numpy()
    session.close()
    similar = np.corrcoef(logits.ravel(), exact.ravel())[0, 1]
    ratio = np.std(logits) / np.std(exact)
    print(f"{graph.name}: correlation {similar:.4f}, spread {ratio:.3f} of the twin's")
    least = 0.97 if graph is RESIDUAL else 0.98  # summands start with gamma 1/2: they are few steps of the grid
    assert np.corrcoef(maps.ravel(), exact_maps.ravel())[0, 1] > least
    assert similar > (0.98 if graph.classes > 1 else 0.9) and 0.9 < ratio < 1.1


@pytest.mark.parametrize("graph", [RESIDUAL, BRANCHES, DENSE, REST], ids=lambda graph: graph.name)
@pytest.mark.parametrize("norm", ["l1", "l2", "none"])
def test_the_twin_is_what_numpy_computes(graph, norm):
    """Against quantization's forward pass, written without PyTorch: the layers of the twin, and the way to int8."""
    twin, images, _ = trained(graph, norm)
    expected = twin.eval()(torch.from_numpy(images)).detach().numpy()
    np.testing.assert_allclose(float_logits(network_from_twin(twin), images), expected, rtol=1e-3, atol=1e-4)


def test_quantization_takes_a_twin():
    """int8 by calibration infers at once what the twin does; what quantization does not know is named."""
    twin, images, _ = trained(REST)
    made = quantize(network_from_twin(twin), images, open_device("emulator", 1))
    session = Session(made.graph, open_device("emulator", 1), batch=64)
    session.load_state(made.state)
    logits = session.logits(images)
    session.close()
    exact = twin.eval()(torch.from_numpy(images)).detach().numpy()
    assert np.corrcoef(logits.ravel(), exact.ravel())[0, 1] > 0.98
    with pytest.raises(InputError, match="it has bias1, bias2 without normalization"):
        network_from_twin(float_twin(ADVERSARIAL))
    rear = NetworkGraph("rear", (1, 2, 2), (Flatten(), Linear(2)), input_exponent=3)
    with pytest.raises(InputError, match="its input is a feature map"):
        network_from_twin(float_twin(rear))


def test_an_l2_twin_becomes_l1bn_by_theorem_1():
    """gamma and sigma over sqrt(pi/2), so that the quotient, and inference, stay."""
    twin, images, _ = trained(RESIDUAL, "l2")
    state = real_state(state_from_twin(twin))
    gamma, variance = twin.layers["bn1"].weight, twin.layers["bn1"].running_var
    np.testing.assert_allclose(state["bn1.gamma"], gamma.detach().numpy() / L2_OVER_L1, atol=1e-6)
    np.testing.assert_allclose(state["bn1.running_sigma"], np.sqrt(variance.numpy() + 1e-5) / L2_OVER_L1, atol=1e-5)
    inferred = [network.eval()(torch.from_numpy(images)) for network in (twin, float_twin(RESIDUAL, "l1", state))]
    torch.testing.assert_close(*inferred, rtol=1e-3, atol=1e-3)


def test_what_has_no_integers_is_refused():
    """A twin without norm for a graph with L1BN, NaN, and values beyond the fixed point, each by its name."""
    with pytest.raises(InputError, match=r"norm 'none'.* bn1, bn2"):
        state_from_twin(float_twin(lenet5(), "none"))
    for value in (float("nan"), float("inf"), 128.0):
        twin = float_twin(RESIDUAL)
        with torch.no_grad():
            twin.layers["conv2"].weight[0, 0, 0, 0] = value
        with pytest.raises(InputError, match=r"conv2.weight has values .* \+-128"):
            state_from_twin(twin)
