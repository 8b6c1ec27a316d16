"""Strategies against forgetting, by name. None at all is the naive one."""

from __future__ import annotations

from collections.abc import Mapping

from strop.host.continual.strategies.ewc import ElasticWeightConsolidation
from strop.host.continual.strategies.gdumb import GDumb
from strop.host.continual.strategies.joint import Joint
from strop.host.continual.strategies.latent_replay import LatentReplay
from strop.host.continual.strategies.lwf import LearningWithoutForgetting
from strop.host.continual.strategies.nearest_mean import NearestMean
from strop.host.continual.strategies.replay import Replay
from strop.host.continual.strategies.strategy import Strategy
from strop.host.continual.strategies.streaming_lda import StreamingLda

STRATEGIES: Mapping[str, type[Strategy]] = {
    kind.name: kind
    for kind in (
        *(Strategy, Joint, Replay, LatentReplay, ElasticWeightConsolidation, LearningWithoutForgetting),
        *(GDumb, StreamingLda, NearestMean),
    )
}

__all__ = [
    "STRATEGIES",
    "ElasticWeightConsolidation",
    "GDumb",
    "Joint",
    "LatentReplay",
    "LearningWithoutForgetting",
    "NearestMean",
    "Replay",
    "Strategy",
    "StreamingLda",
]
