"""Protects the float runs that int8 is compared with: schedule, mini-batches, repeatability, data, and fine-tuning."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parent))

from float_baseline import learning_rate, train_float  # noqa: E402
from float_finetune import finetune_float  # noqa: E402
from strop.host.order import epoch_order  # noqa: E402
from strop.host.pytorch.float_twin import FloatTwin, initial_parameters  # noqa: E402
from strop.host.pytorch.twin_state import real_state, to_l2  # noqa: E402
from strop.runtime.errors import InputError  # noqa: E402
from strop.runtime.graph import L1BN, Conv2d, Flatten, Linear, NetworkGraph, ReLU  # noqa: E402

GRAPH = NetworkGraph("small", (1, 4, 4), (Conv2d(6), L1BN(), ReLU(), Flatten(), Linear(2)))


def bright_or_dark(count, seed):
    """Return uint8 images [count, 1, 4, 4] whose left or right half is bright, and which it is."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    images = rng.integers(0, 90, (count, 1, 4, 4))
    images[np.arange(4)[None, None, None] // 2 + np.zeros_like(images) == labels[:, None, None, None]] += 150
    return images.astype(np.uint8), labels


def test_learning_rate_falls_where_the_schedule_says():
    """The first step of a new rate is the one whose share reaches the bound: 1/2 and 5/6, or a third and two thirds."""
    assert [learning_rate(0.1, step, 12) for step in (0, 5, 6, 9, 10, 11)] == [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    assert [learning_rate(0.1, step, 90, "paper") for step in (29, 30, 59, 60)] == [0.1, 0.01, 0.01, 0.001]
    steps = 468 * 30
    assert [learning_rate(0.1, step, steps) for step in (7019, 7020, 11699, 11700)] == [0.1, 0.01, 0.01, 0.001]


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_training_learns_and_repeats_itself(norm):
    """A separable problem ends at zero error, and a second run gives the same numbers."""
    data = (*bright_or_dark(70, 1), *bright_or_dark(40, 2))
    lines = []
    first = train_float(GRAPH, norm, *data, epochs=4, batch=16, seed=3, log=lines.append)
    assert first["test_error"] == 0 and first["training_loss"][-1] < 0.1 < first["training_loss"][0]
    assert len(lines) == len(first["training_loss"]) == 4
    second = train_float(GRAPH, norm, *data, epochs=4, batch=16, seed=3, log=lines.append)
    assert first["training_loss"] == second["training_loss"]


def test_partial_mini_batch_is_dropped():
    """Images that the epoch's order puts behind the last full mini-batch have no influence."""
    images, labels = bright_or_dark(70, 1)
    test = bright_or_dark(40, 2)
    changed = labels.copy()
    changed[epoch_order(70, 3, 0)[64:]] ^= 1
    losses = [
        train_float(GRAPH, "l1", images, some, *test, epochs=1, batch=16, seed=3, log=str)["training_loss"]
        for some in (labels, changed)
    ]
    assert losses[0] == losses[1]
    with pytest.raises(InputError, match="mini-batch 128"):
        train_float(GRAPH, "l1", images, labels, *test, epochs=1, log=str)


def test_real_state_reads_the_fixed_point_formats():
    """Each kind of int32 with its own fraction bits; no exponents, no sites, no statistics of an untrained layer."""
    one = np.ones(2, np.int32)
    state = {
        "conv1.weight": one << 24,
        "conv1.weight.momentum": one << 24,
        "conv1.weight_view_exponent": one,
        "conv1.pre_norm_site": one,
        "bn1.gamma": one << 20,
        "bn1.beta.momentum": one << 20,
        "fc1.bias": one << 20,
        "bn1.running_mu": one << 16,
        "bn1.running_sigma": one << 16,
        "bn1.running_steps": np.array([7], np.uint32),
        "bn2.running_mu": one,
        "bn2.running_steps": np.array([0], np.uint32),
        "dither": np.array([9], np.uint32),
    }
    real = real_state(state)
    left_out = {"conv1.weight_view_exponent", "conv1.pre_norm_site", "bn1.running_steps", "dither"}
    assert set(real) == set(state) - left_out - {"bn2.running_mu", "bn2.running_steps"}
    assert all(np.array_equal(array, [1.0, 1.0]) for array in real.values())


def started(seed=5):
    """Return a real state of GRAPH as a checkpoint would give it, with statistics and momenta."""
    rng = np.random.default_rng(seed)
    state = {name: array + 0.1 * rng.random(array.shape) for name, array in initial_parameters(GRAPH, seed).items()}
    momenta = {f"{name}.momentum": 0.01 * rng.normal(size=array.shape) for name, array in state.items()}
    return {**state, **momenta, "bn1.running_mu": rng.normal(size=6), "bn1.running_sigma": 1 + rng.random(6)}


def test_finetuning_learns_from_the_given_mini_batches():
    """Error falls from chance to zero on what the order names, and one loss is reported a step."""
    images, labels = bright_or_dark(60, 1)
    order = [np.arange(20) + 20 * (step % 3) for step in range(30)]
    state = {name: array for name, array in started().items() if not name.endswith("momentum")}
    result = finetune_float(GRAPH, state, images, labels, *bright_or_dark(50, 2), order, [0.1] * 30)
    assert result["error_after"] == 0 < result["error_before"]
    assert len(result["training_loss"]) == 30 and result["steps"] == 30


def test_finetuning_goes_on_with_the_checkpoints_momentum():
    """At rate 0.1 the momenta alone move the weights: the second step's loss differs from that of a start from rest."""
    data = (*bright_or_dark(60, 1), *bright_or_dark(50, 2))
    order, moving = [np.arange(20)] * 2, started()
    resting = {name: array * (not name.endswith("momentum")) for name, array in moving.items()}
    absent = {name: array for name, array in moving.items() if not name.endswith("momentum")}
    losses = [finetune_float(GRAPH, s, *data, order, [0.1, 0.1])["training_loss"] for s in (moving, resting, absent)]
    assert losses[0][0] == losses[1][0] and losses[0][1] != losses[1][1] and losses[1] == losses[2]


def test_l1_state_becomes_l2_by_theorem_1():
    """Converted, it infers what L1 infers, and on nearly normal values trains from its outputs; unconverted not."""
    rng = np.random.default_rng(8)
    images = rng.normal(128, 35, (400, 1, 4, 4)).clip(0, 255).astype(np.uint8)
    kinds = (("l1", started()), ("l2", to_l2(started())), ("l2", started()))
    networks = [FloatTwin(GRAPH, norm, state).eval() for norm, state in kinds]
    inferred = [network(torch.from_numpy(images)).detach() for network in networks]
    torch.testing.assert_close(inferred[0], inferred[1], rtol=1e-3, atol=1e-3)
    trained = [network.train()(torch.from_numpy(images)).detach() for network in networks]
    assert (trained[0] - trained[1]).abs().mean() < 0.2 * (trained[0] - trained[2]).abs().mean()
    labels = inferred[0].argmax(1).numpy()
    order = [np.arange(400)]
    losses = [
        finetune_float(GRAPH, started(), images, labels, images, labels, order, [0.0], norm=norm)["training_loss"][0]
        for norm in ("l1", "l2")
    ]
    assert losses[1] == pytest.approx(float(torch.nn.functional.cross_entropy(trained[1], torch.from_numpy(labels))))
    assert losses[0] == pytest.approx(float(torch.nn.functional.cross_entropy(trained[0], torch.from_numpy(labels))))


def test_steps_and_rates_must_agree():
    """A schedule of another length than the order is refused before training."""
    images, labels = bright_or_dark(20, 1)
    with pytest.raises(InputError, match="1 mini-batches and 2 learning rates"):
        finetune_float(GRAPH, started(), images, labels, images, labels, [np.arange(20)], [0.1, 0.1])
