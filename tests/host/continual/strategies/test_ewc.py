"""Elastic weight consolidation: importance from the kernel's own gradients, pulls that are powers of two."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from strop.host.continual import ElasticWeightConsolidation, Learner, LearnerSettings
from strop.host.continual.strategies.ewc import ASKING
from strop.host.cursor import TrainingSettings
from strop.host.data import Dataset
from strop.host.order import raw_bits
from strop.runtime.contract import C
from strop.runtime.errors import InputError
from strop.runtime.hyperparameters import Hyperparameters
from strop.runtime.session import Minibatch
from tiny_models import tiny_dataset, tiny_model
from tiny_streams import SETTINGS, Stop, assert_equal_parts, learner, stream

GRADIENT = 2.0**-16  # unit in which gradients are squared


def test_the_first_experience_is_plain_training() -> None:
    """Protects the start: nothing pulls yet, and measuring importance afterwards changes no byte of the network."""
    plain, found = learner("naive"), learner("ewc")
    for run in (plain, found):
        run.learn(stream()[0])
    assert plain.model.digest() == found.model.digest() and plain.model.steps == found.model.steps
    for run in (plain, found):
        run.learn(stream()[1])
    assert plain.model.digest() != found.model.digest()


def test_importance_is_the_mean_square_of_single_gradients() -> None:
    """Protects the Fisher information: the gradient is what a step with a learning rate of 1 takes off a weight."""
    strategy = ElasticWeightConsolidation(1.0, samples=100)
    found = Learner(tiny_model(), strategy, settings=SETTINGS)
    data = stream()[0]
    found.learn(data)
    state, steps = found.model.state(), found.model.steps
    names = [name.removeprefix("fisher.") for name in strategy.arrays() if name.startswith("fisher.")]
    assert sorted(names) == sorted(n for n in state if n.endswith((".weight", ".gamma", ".beta", ".bias")))
    squares = {name: np.zeros(state[name].shape) for name in names}
    before = state
    one_step = TrainingSettings(1, Hyperparameters(momentum=0.0, statistics="frozen"))
    for row in np.argsort(raw_bits(0, ASKING, 0, count=len(data)), kind="stable"):
        one = slice(row, row + 1)
        found.model.train_on([Minibatch(data.images[one], data.labels[one], 1.0)], one_step)
        after = found.model.state()
        for name in names:
            fraction = C.WEIGHT_FRACTION if name.endswith(".weight") else C.PARAMETER_FRACTION
            taken = (before[name].astype(np.int64) - after[name]) * 2.0**-fraction
            squares[name] += (np.floor(taken / GRADIENT) * GRADIENT) ** 2
        # the shifts of the errors and the dither follow the samples before, so these are met, too
        found.model.load_state(before, steps=steps)
        found.model.train_on([Minibatch(data.images[one], data.labels[one], 0.0)], one_step)
        before = found.model.state()
    for name in names:
        fisher = strategy.arrays()[f"fisher.{name}"]
        assert fisher.dtype == np.int64
        np.testing.assert_array_equal(fisher, np.floor(squares[name] / len(data) * 2.0**40), err_msg=name)
        np.testing.assert_array_equal(strategy.arrays()[f"anchor.{name}"], state[name])
    assert sum(np.count_nonzero(strategy.arrays()[f"fisher.{name}"]) for name in names) > 100


def test_importance_adds_up_and_the_anchor_is_the_last() -> None:
    """Protects what older experiences taught: their importance stays, while the anchor moves on."""
    strategy = ElasticWeightConsolidation(1000.0, 5)
    found = Learner(tiny_model(), strategy, settings=SETTINGS)
    earlier = None
    for dataset in stream():
        found.learn(dataset)
        arrays = strategy.arrays()
        assert all(
            np.array_equal(arrays[f"anchor.{n}"], a) for n, a in found.model.state().items() if "weight" in n[-6:]
        )
        if earlier is not None:
            assert all((array >= earlier[name]).all() for name, array in arrays.items() if name.startswith("fisher."))
            assert any(not np.array_equal(array, earlier[name]) for name, array in arrays.items())
        earlier = arrays


@given(st.integers(0, 2**50), st.floats(2.0**-10, 2.0**20))
@example(0, 1.0)
@example(3 << 20, 1.0)  # between two powers of two, and as near to both
@example(2**48, 2.0**20)
def test_a_pull_is_the_nearest_power_of_two(fisher: int, strength: float) -> None:
    """Protects lambda F of the paper, as near as a shift comes; a half at most, and nothing below 2^-31."""
    strategy = ElasticWeightConsolidation(strength)
    k = int(strategy._pull(np.array([fisher]))[0])
    wanted = Fraction(fisher) * Fraction(strength) / 2**40  # as `_step` is 1 before it joins a learner
    distances = {j: abs(Fraction(1, 2**j) - wanted) for j in range(1, 33)}
    if k:
        assert 1 <= k <= 31
        rounding = Fraction(1, 2**40) + wanted / 2**50  # of the product to a whole number, and of its float64
        assert distances[k] <= min(distances.values()) + rounding
    else:
        assert wanted < Fraction(3, 2**33) + Fraction(1, 2**40)


def test_what_mattered_moves_less() -> None:
    """Protects its use: in a second experience the important weights stay nearer to where they were than without."""
    moved = []
    for strength in (2.0**-20, 2.0**14):
        strategy = ElasticWeightConsolidation(strength, 50)
        found = Learner(tiny_model(), strategy, settings=LearnerSettings(batch=6, learning_rate=0.1, epochs=3, seed=3))
        data = tiny_dataset(60)
        found.learn(data)
        before, fisher = found.model.state(), strategy.arrays()
        wrong = Dataset.from_arrays(data.images, (data.labels + 1) % 3, classes=data.classes)
        found.learn(wrong)
        after = found.model.state()
        distance = 0.0
        for name in ("conv1.weight", "fc1.weight", "fc2.weight"):
            important = fisher[f"fisher.{name}"] >= np.median(fisher[f"fisher.{name}"])
            distance += float(np.abs(after[name].astype(np.int64) - before[name])[important].sum())
        moved.append(distance)
    assert moved[1] < 0.6 * moved[0]


def test_a_measurement_that_fails_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the network from the steps that measure: they leave momenta and counters behind, which are undone."""
    found = learner("ewc")
    model = found.model
    train_on, calls = model.train_on, []

    def failing(minibatches: list[Minibatch], settings: TrainingSettings, **more: object) -> object:
        calls.append(settings)
        if len(calls) == 4:
            raise Stop
        return train_on(minibatches, settings, **more)  # type: ignore[arg-type]

    plain = learner("naive")
    plain.learn(stream()[0])
    monkeypatch.setattr(model, "train_on", failing)
    with pytest.raises(Stop):
        found.learn(stream()[0])
    monkeypatch.undo()
    assert calls[-1].batch == 1, "it was measuring"
    assert model.digest() == plain.model.digest() and model.steps == plain.model.steps
    found.learn(stream()[0])
    whole = learner("ewc")
    whole.learn(stream()[0])
    assert_equal_parts(found.parts(), whole.parts())


def test_latent_replay_beside_it_is_refused() -> None:
    """Protects anchors: a network that is cut calls its weights by other names."""
    with pytest.raises(InputError, match="ewc: strategies is 'latent replay beside it'; allowed: image replay"):
        learner("ewc").strategies[0].join(learner("latent-replay"))
