"""What strategies share: names, options that are checked at the door, and which of them go together."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest

from strop.host.continual import (
    STRATEGIES,
    ElasticWeightConsolidation,
    GDumb,
    Joint,
    LatentReplay,
    Learner,
    LearningWithoutForgetting,
    NearestMean,
    Replay,
    Strategy,
    StreamingLda,
)
from strop.host.continual.strategies.strategy import joined
from strop.runtime.errors import InputError
from strop.runtime.session import Minibatch
from strop.runtime.soft_targets import check_targets, one_hot
from tiny_models import tiny_dataset, tiny_model
from tiny_streams import SETTINGS

ALONE = (Joint, GDumb, StreamingLda, NearestMean)
OTHERS = (Strategy, Replay, LatentReplay, ElasticWeightConsolidation, LearningWithoutForgetting)
REFUSED_PAIRS = {
    frozenset({Replay, LatentReplay}),
    frozenset({ElasticWeightConsolidation, LatentReplay}),
}


def test_strategies_are_found_by_their_names() -> None:
    """Protects checkpoints and the command line, which know strategies by name; each is in the tables above."""
    assert all(kind.name == name for name, kind in STRATEGIES.items())
    missing = sorted(kind.__name__ for kind in set(STRATEGIES.values()) - {*ALONE, *OTHERS})
    assert not missing, f"say in ALONE or OTHERS above whether {', '.join(missing)} can be combined"


@pytest.mark.parametrize("one", [*ALONE, *OTHERS], ids=lambda kind: kind.name)
def test_which_strategies_go_together(one: type[Strategy]) -> None:
    """Protects from two that both decide what is trained, or who answers: told when the learner is made."""
    model = tiny_model()
    for other in (*ALONE, *OTHERS):
        pair = (one(), other())
        if one in ALONE or other in ALONE:
            names = f"(in the learner's place: give it alone, not {one.name}, {other.name})"
            with pytest.raises(InputError, match=names):
                Learner(model, *pair)
        elif frozenset({one, other}) in REFUSED_PAIRS or one is other is LatentReplay:
            with pytest.raises(InputError, match=r"(latent-replay|ewc): strategies is .* allowed: "):
                Learner(model, *pair)
        else:
            assert Learner(model, *pair).strategies == pair


def test_three_that_go_together_learn_in_any_order() -> None:
    """Protects what is not a pair: a replay, a teacher and a pull, however they are listed."""
    made = (LearningWithoutForgetting(), Replay(9, 4), ElasticWeightConsolidation(10.0, 5))
    digests = set()
    for strategies in permutations(made):
        found = Learner(tiny_model(), *(type(s)(**s.options) for s in strategies), settings=SETTINGS)
        for seed in (0, 1):
            found.learn(tiny_dataset(24, seed))
        digests.add(found.model.digest())
    assert len(digests) == 1, "each does its own part of a step"


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (Replay, {"capacity": 0}, "capacity is 0; it is a whole number, at least 1"),
        (Replay, {"replay_batch": 1.5}, "replay_batch is 1.5; it is a whole number"),
        (Replay, {"policy": "newest"}, "policy is 'newest'; allowed: reservoir, balanced"),
        (Replay, {"seed": -1}, "seed is -1; it is a whole number, at least 0"),
        (LatentReplay, {"capacity": "500"}, "capacity is '500'; it is a whole number"),
        (LatentReplay, {"replay_batch": 0}, "replay_batch is 0; it is a whole number, at least 1"),
        (LatentReplay, {"whole_experiences": -1}, "whole_experiences is -1; it is a whole number, at least 0"),
        (LatentReplay, {"policy": "oldest"}, "policy is 'oldest'; allowed: reservoir, balanced"),
        (LatentReplay, {"after": "conv1"}, "cannot be cut behind 'conv1'; allowed: relu1, pool1, relu2"),
        (StreamingLda, {"after": "fc2"}, "cannot be cut behind 'fc2'"),
        (StreamingLda, {"shrinkage": 0.0}, "slda: shrinkage is 0.0; allowed: above 0, up to 1"),
        (StreamingLda, {"shrinkage": float("nan")}, "slda: shrinkage is nan"),
        (NearestMean, {"whole_experiences": True}, "whole_experiences is True; it is a whole number"),
        (GDumb, {"capacity": 1}, "capacity is 1; it is a whole number, at least 2"),
        (GDumb, {"epochs": 0}, "epochs is 0; it is a whole number, at least 1"),
        (Joint, {"epochs": 0}, "epochs is 0; it is a whole number, at least 1"),
        (ElasticWeightConsolidation, {"strength": 0}, r"ewc: strength is 0; allowed: above 0, up to 2\^20"),
        (ElasticWeightConsolidation, {"strength": float("inf")}, "ewc: strength is inf"),
        (ElasticWeightConsolidation, {"samples": 0}, "samples is 0; it is a whole number, at least 1"),
        (LearningWithoutForgetting, {"share": 1.0}, "lwf: share is 1.0; allowed: above 0, below 1"),
        (LearningWithoutForgetting, {"temperature": 3}, "lwf: temperature is 3; allowed: 1, 2, 4, 8 or 16"),
        (LearningWithoutForgetting, {"temperature": 32}, "temperature is 32; allowed: 1 to 16"),
    ],
)
def test_bad_options_are_refused(kind: type[Strategy], options: dict[str, Any], message: str) -> None:
    """Protects from an error after an experience: what was wrong and what is allowed, before anything is learned."""
    with pytest.raises(InputError, match=message):
        Learner(tiny_model(), kind(**options))


def test_samples_join_behind_the_new_ones() -> None:
    """Protects rows: the experience's own samples stay in front, and all keep their labels and targets."""
    data = tiny_dataset(5)
    new = Minibatch(data.images[:2], data.labels[:2], 0.5)
    both = joined(new, data.images[2:], data.labels[2:])
    np.testing.assert_array_equal(both.images, data.images)
    np.testing.assert_array_equal(both.labels, data.labels)
    assert both.learning_rate == 0.5 and both.targets is None and joined(new, data.images[:0], data.labels[:0]) is new
    soft = np.array([[16384, 16384, 0], [0, 32768, 0]], np.int32)
    with_targets = joined(Minibatch(new.images, new.labels, 0.5, soft), data.images[2:], data.labels[2:])
    assert with_targets.targets is not None
    np.testing.assert_array_equal(with_targets.targets, np.concatenate([soft, one_hot(data.labels[2:], 3)]))
    check_targets(with_targets.targets, 5, 3)
