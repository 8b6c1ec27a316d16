"""The integers train networks: one step's gradient of every weight points where the float32 twin's points.

Without momentum and decay the momentum that a step leaves is the gradient itself. Between the two is the rounding to
int8, which adds up over the layers: of weights, activations, errors, and of the mask, for an output that rounds to zero
passes no gradient. `pytest -s` prints the figures.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from small_networks import RESIDUAL, SMALL, samples  # noqa: E402
from strop.host.models import initial_state  # noqa: E402
from strop.host.networks import resnet8  # noqa: E402
from strop.host.pytorch.float_twin import FloatTwin, initial_parameters  # noqa: E402
from strop.runtime import backward_pass  # noqa: E402
from strop.runtime.contract import C  # noqa: E402
from strop.runtime.device import Device  # noqa: E402
from strop.runtime.graph import NetworkGraph  # noqa: E402
from strop.runtime.hyperparameters import Hyperparameters  # noqa: E402
from strop.runtime.reference import ReferenceDevice  # noqa: E402
from strop.runtime.session import Minibatch, Session  # noqa: E402

Gradients = Mapping[str, NDArray[np.float64]]
BATCH = 64
RESNET = resnet8((1, 16, 16), 10)
KINDS = (".weight", ".bias")


def integer_gradients(device: Device, graph: NetworkGraph) -> Gradients:
    """Return the gradient of the mean loss by each weight and bias, from one int8 step."""
    session = Session(graph, device, batch=BATCH, hyper=Hyperparameters(momentum=0.0))
    session.load_state(initial_state(graph, 0))
    images, labels = samples(graph, BATCH)
    list(session.train([Minibatch(images, labels, 0.0)]))
    fractions = {".weight": C.WEIGHT_FRACTION, ".bias": C.PARAMETER_FRACTION}
    state = session.state()
    session.close()
    return {
        f"{node.name}{kind}": state[f"{node.name}{kind}.momentum"] * 2.0**-bits
        for node in graph.weighted
        for kind, bits in fractions.items()
        if f"{node.name}{kind}" in state
    }


def float_gradients(graph: NetworkGraph) -> Gradients:
    """Return the same of the float32 twin."""
    network = FloatTwin(graph, "l1", initial_parameters(graph, 0)).train()
    images, labels = (torch.from_numpy(array) for array in samples(graph, BATCH))
    torch.nn.functional.cross_entropy(network(images), labels.long()).backward()
    named = network.parameters_by_name()
    return {name: p.grad.numpy().astype(np.float64) for name, p in named.items() if name.endswith(KINDS)}


def similarities(integer: Gradients, exact: Gradients) -> dict[str, tuple[float, float]]:
    """Return each gradient's cosine to the exact one, and its length as a share of that one's."""
    found = {}
    for name, want in exact.items():
        got = integer[name].reshape(want.shape)
        lengths = float(np.linalg.norm(got)), float(np.linalg.norm(want))
        found[name] = float(np.vdot(got, want)) / (lengths[0] * lengths[1]), lengths[0] / lengths[1]
        print(f"{name}: cosine {found[name][0]:.4f}, length {found[name][1]:.3f} of the float32 gradient's")
    return found


@pytest.mark.parametrize(
    ("graph", "least", "shortest"),
    [(SMALL, 0.99, 0.9), (RESIDUAL, 0.97, 0.85), (RESNET, 0.85, 0.7)],
    ids=["small", "residual", "resnet8"],
)
def test_every_layer_learns_what_its_twin_learns(
    device: Device, graph: NetworkGraph, least: float, shortest: float
) -> None:
    """Protects the whole way back, sums of branches included: direction and length of each gradient."""
    for name, (cosine, length) in similarities(integer_gradients(device, graph), float_gradients(graph)).items():
        assert cosine > least, name
        assert shortest < length < 1.1, name


def test_a_branch_that_is_lost_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the test above: without the gradient of one branch the layers below learn something else."""
    monkeypatch.setattr(backward_pass, "_sum", lambda step, name, error, other: error)
    found = similarities(integer_gradients(ReferenceDevice(), RESIDUAL), float_gradients(RESIDUAL))
    assert found["conv6.weight"][0] > 0.97
    assert found["conv1.weight"][0] < 0.9
