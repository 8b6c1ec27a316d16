"""Learners by name: what a name means, who gets which option, and names that mean nothing."""

from __future__ import annotations

import pytest

from strop.host.continual import STRATEGIES, LearnerSettings, learner_for
from strop.host.continual.named import options_of, parse, takes
from strop.runtime.errors import InputError
from tiny_models import tiny_model

ALONE = [name for name in STRATEGIES if name != "naive"]


@pytest.mark.parametrize("name", ALONE)
def test_every_strategy_has_its_name(name):
    """Protects the registry as the one list: what is added to it can be named, with the constructor's defaults."""
    with tiny_model() as model:
        (strategy,) = learner_for(model, name).strategies
        other = STRATEGIES[name]()
        assert type(strategy) is STRATEGIES[name]
        assert {**strategy.options, "after": 0} == {**other.options, "after": 0}  # which is found in the network
        assert set(options_of(STRATEGIES[name])) == set(other.options)


def test_naive_is_none():
    """The naive learner has no strategy at all."""
    with tiny_model() as model:
        assert learner_for(model, "naive").strategies == ()


def test_options_go_to_those_who_take_them():
    """Protects joined strategies: each gets its share; settings and seed are the learner's."""
    settings = LearnerSettings(batch=4, epochs=3, seed=8)
    with tiny_model() as model:
        learner = learner_for(model, "lwf+replay", buffer=9, replay_batch=5, seed=2, settings=settings)
        assert learner.settings == settings
        assert [strategy.name for strategy in learner.strategies] == ["lwf", "replay"]
        assert learner.strategies[1].options == {"capacity": 9, "replay_batch": 5, "policy": "reservoir", "seed": 2}
        (latent,) = learner_for(model, "latent-replay", after="pool1", settings=settings).strategies
        assert latent.options["after"] == "pool1"


def test_joint_training_is_as_long_as_the_others():
    """It is the upper bound of as many epochs; GDumb's epochs are over its memory, and stay its own."""
    with tiny_model() as model:
        settings = LearnerSettings(epochs=3)
        assert learner_for(model, "joint", settings=settings).strategies[0].options["epochs"] == 3
        assert learner_for(model, "joint:epochs=2", settings=settings).strategies[0].options["epochs"] == 2
        assert learner_for(model, "gdumb", settings=settings).strategies[0].options["epochs"] == 30


def test_options_in_a_name():
    """Whole numbers, numbers and words; they go before what is given for all."""
    with tiny_model() as model:
        ewc, replay = learner_for(
            model, "ewc:strength=0.5,samples=7+replay:policy=balanced", buffer=9, seed=2
        ).strategies
    assert ewc.options == {"strength": 0.5, "samples": 7, "seed": 2}
    assert replay.options["policy"] == "balanced" and replay.options["capacity"] == 9


def test_takes():
    """Who has a memory is asked before runs are planned: not whose name says its size already."""
    assert takes("replay", "capacity") and takes("lwf+replay", "capacity") and takes("latent-replay", "after")
    assert not takes("naive", "capacity") and not takes("lwf", "capacity") and not takes("replay", "after")
    assert not takes("replay:capacity=9", "capacity") and takes("replay:capacity=9", "replay_batch")
    assert parse("naive") == []


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("wish", {}, "strategy 'wish' is unknown; allowed: naive, joint, replay, "),
        ("lwf+wish", {}, "'wish' in 'lwf[+]wish' is unknown"),
        ("", {}, "strategy '' is unknown"),
        (None, {}, "strategy None is no name; allowed: naive"),
        ("naive+replay", {}, "naive means none, and stands alone"),
        ("replay+replay", {}, "has replay twice"),
        ("slda+replay", {}, "give it alone"),
        (
            "replay:size=3",
            {},
            "'size=3' is no option of replay; allowed: capacity, replay_batch, policy, seed, each as",
        ),
        ("replay:", {}, "'' is no option of replay"),
        ("lwf:share", {}, "'share' is no option of lwf; allowed: share, temperature, each as option=value"),
        ("replay:capacity=many", {}, "strategy 'replay:capacity=many': capacity is 'many'"),
        ("naive", {"buffer": 3}, "'naive' takes no buffer; those that do: replay, latent-replay, gdumb"),
        ("ewc", {"replay_batch": 3}, "'ewc' takes no replay_batch; those that do: replay, latent-replay"),
        ("replay", {"after": "pool1"}, "takes no after; those that do: latent-replay, slda, nearest-mean"),
        ("replay:capacity=3", {"buffer": 3}, "says capacity=3 itself; leave buffer out"),
        ("latent-replay", {"after": "conv1"}, "allowed: relu1"),
    ],
)
def test_what_means_nothing_is_refused(name, words, message):
    """The message says what is allowed, or who takes the option."""
    with tiny_model() as model, pytest.raises(InputError, match=message):
        learner_for(model, name, **words)
