"""Experiences and strategies small enough that a test can go through a stream many times."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

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
assert set(MAKERS) >= set(STRATEGIES), "every strategy needs a maker here, so that it is tested"


def stream(count: int = 3) -> list[Dataset]:
    """Return experiences that differ: the first two classes, then the last two, then all."""
    everything = tiny_dataset(60)
    picks = [everything.labels < 2, everything.labels > 0, everything.labels >= 0]
    return [everything.subset(np.flatnonzero(pick)[:26]) for pick in picks[:count]]


def learner(name: str, model: Model | None = None) -> Learner:
    """Return a new learner with the strategy of that name, on a new model."""
    return Learner(model or tiny_model(), *MAKERS[name](), settings=SETTINGS)
