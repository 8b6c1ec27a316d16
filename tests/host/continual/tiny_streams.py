"""Experiences and strategies small enough that a test can go through a stream many times."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from strop.host.checkpoint import state_digest
from strop.host.continual import (
    STRATEGIES,
    ElasticWeightConsolidation,
    GDumb,
    Joint,
    LatentReplay,
    Learner,
    LearnerSettings,
    LearningWithoutForgetting,
    NearestMean,
    Replay,
    Strategy,
    StreamingLda,
)
from strop.host.continual.learned import LearnerParts
from strop.host.data import Dataset
from strop.host.model import Model
from tiny_models import tiny_dataset, tiny_model

SETTINGS = LearnerSettings(batch=4, seed=3)
# what a test makes of each strategy; a strategy that is missing here is missing in every test below
MAKERS: Mapping[str, Callable[[], tuple[Strategy, ...]]] = {
    "naive": lambda: (Strategy(),),
    "joint": lambda: (Joint(),),
    "replay": lambda: (Replay(9, 4, seed=1),),
    "replay-balanced": lambda: (Replay(9, 4, "balanced", seed=1),),
    "latent-replay": lambda: (LatentReplay(9, 4, seed=1),),
    "ewc": lambda: (ElasticWeightConsolidation(1000.0, 5),),
    "lwf": lambda: (LearningWithoutForgetting(),),
    "gdumb": lambda: (GDumb(9, 2),),
    "slda": lambda: (StreamingLda(),),
    "nearest-mean": lambda: (NearestMean(),),
    "lwf and replay": lambda: (LearningWithoutForgetting(), Replay(9, 4)),
    "replay and lwf": lambda: (Replay(9, 4), LearningWithoutForgetting()),
    "lwf and latent replay": lambda: (LearningWithoutForgetting(), LatentReplay(9, 4)),
    "ewc and replay": lambda: (ElasticWeightConsolidation(1000.0, 5), Replay(9, 4)),
}
MISSING = sorted(set(STRATEGIES) - set(MAKERS))
assert not MISSING, f"no maker above for {', '.join(MISSING)}: give one, so that every strategy is tested"


def stream(count: int = 3) -> list[Dataset]:
    """Return experiences that differ: the first two classes, then the last two, then all."""
    everything = tiny_dataset(60)
    picks = [everything.labels < 2, everything.labels > 0, everything.labels >= 0]
    return [everything.subset(np.flatnonzero(pick)[:26]) for pick in picks[:count]]


def learner(name: str, model: Model | None = None) -> Learner:
    """Return a new learner with the strategy of that name, on a new model."""
    return Learner(model or tiny_model(), *MAKERS[name](), settings=SETTINGS)


class Stop(Exception):
    """What a test raises to break a stream off."""


def assert_equal(one: Learner, other: Learner) -> None:
    """Fail unless both learners are the same to the last byte."""
    assert_equal_parts(one.parts(), other.parts())
    assert one.model.digest() == other.model.digest()


def assert_equal_parts(a: LearnerParts, b: LearnerParts) -> None:
    """Fail unless both are copies of the same learner."""
    assert (a.model_steps, a.experiences, a.steps) == (b.model_steps, b.experiences, b.steps)
    assert state_digest(a.state) == state_digest(b.state)
    for (facts, arrays), (other_facts, other_arrays) in zip(a.strategies, b.strategies, strict=True):
        assert facts == other_facts
        assert arrays.keys() == other_arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, other_arrays[name], err_msg=name)
