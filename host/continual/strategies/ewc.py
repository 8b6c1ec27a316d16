"""Elastic weight consolidation: weights that mattered are pulled back to where they were.

Kirkpatrick et al., PNAS 2017. In integers (hls/NUMERICS.md 1.13): before each update a weight gives up 2^-k of its
distance from where it stood after the last experience. lr * lambda * F of Eq. 3, F the diagonal Fisher information,
becomes the nearest power of two, so that no multiplier is needed. F is the mean square of the gradients of single
samples, which the kernel itself computes: with a learning rate and a momentum of 0, what a step leaves in the momentum
is the gradient.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from strop.host.checked import real, whole
from strop.host.continual.strategies.latent_replay import LatentReplay
from strop.host.continual.strategies.strategy import Arrays, Strategy, below, option_error
from strop.host.cursor import TrainingSettings
from strop.host.data.dataset import Dataset
from strop.host.order import raw_bits
from strop.host.residence import MOMENTUM
from strop.runtime.anchors import MAX_IMPORTANCE
from strop.runtime.contract import C
from strop.runtime.hyperparameters import Hyperparameters
from strop.runtime.session import Minibatch, Session

if TYPE_CHECKING:
    from strop.host.continual.learner import Learner

ASKING = 6  # stream of the seed: which samples the importance is measured on
GRADIENT_FRACTION = 16  # gradients are squared in units of 2^-16,
FISHER_FRACTION = 40  # and their mean is kept in units of 2^-40
ANCHOR, FISHER = "anchor.", "fisher."  # in front of the parameters' names, of arrays in a checkpoint


class ElasticWeightConsolidation(Strategy):
    """Pull every weight back by `strength` times its importance, summed over experiences (one anchor: the last).

    strength: lambda; with the learner's learning rate, over 1 - momentum as SGD's own steps, it makes k. A pull is 2^-1
    at most, so that no step overshoots, and 2^-31 at least, or none. samples: of each experience, on which importance
    is measured, one at a time. Kept: 8 bytes of importance and 4 of anchor a weight.
    """

    name: ClassVar[str] = "ewc"

    def __init__(self, strength: float = 100.0, samples: int = 500, seed: int = 0) -> None:
        self.strength, self.samples = real("strength", strength), whole("samples", samples, 1)
        if not 0.0 < self.strength <= 2.0**20:
            raise option_error(self.name, "strength", strength, "above 0, up to 2^20")
        self.seed, self._ended = whole("seed", seed, 0), 0
        self._step = 1.0  # learning rate / (1 - momentum)
        self._anchors: Arrays = {}  # int32, by the parameter's name
        self._fisher: Arrays = {}  # int64, LSB 2^-40

    @property
    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"strength": self.strength, "samples": self.samples, "seed": self.seed}

    def join(self, learner: Learner) -> None:
        """Refuse a network that will be cut: its weights change their names. Take the size of a step."""
        if any(isinstance(strategy, LatentReplay) for strategy in learner.strategies):
            raise option_error(self.name, "strategies", "latent replay beside it", "image replay, or none")
        self._step = learner.settings.learning_rate / (1.0 - learner.settings.hyper.effective_momentum)

    def settings(self, settings: TrainingSettings) -> TrainingSettings:
        """Return settings for updates with a pull, once there is something to pull to."""
        return replace(settings, hyper=replace(settings.hyper, elastic=True)) if self._anchors else settings

    def prepare(self, session: Session) -> None:
        """Give the device anchors and importances."""
        if self._anchors:
            session.load_anchors(self._anchors, {name: self._pull(fisher) for name, fisher in self._fisher.items()})

    def _pull(self, fisher: NDArray[Any]) -> NDArray[np.uint8]:
        """Return k of the power of two nearest to step * strength * F, 0 for none: uint8, as `fisher`."""
        scaled = np.rint(fisher.astype(np.float64) * (self._step * self.strength))
        mantissa, exponent = np.frexp(scaled)  # scaled = mantissa * 2^exponent, 1/2 <= mantissa < 1
        k = FISHER_FRACTION - np.where(mantissa >= 0.75, exponent, exponent - 1)
        return np.where((scaled > 0) & (k <= MAX_IMPORTANCE), np.maximum(k, 1), 0).astype(np.uint8)

    def after(self, learner: Learner, dataset: Dataset) -> None:
        """Measure importance on samples of the experience, and drop anchor."""
        model = learner.model
        order = np.argsort(raw_bits(self.seed, ASKING, self._ended, count=len(dataset)), kind="stable")
        rows = order[: self.samples]
        state, steps = model.state(), model.steps
        names = [name.removesuffix(MOMENTUM) for name in state if name.endswith(MOMENTUM)]
        squares = {name: np.zeros(state[name].shape, np.int64) for name in names}
        settings = TrainingSettings(1, Hyperparameters(momentum=0.0, statistics="frozen"))
        try:
            for row in rows:
                one = Minibatch(dataset.images[row : row + 1], dataset.labels[row : row + 1], 0.0)
                model.train_on([one], settings)
                found = model.state()
                for name in names:
                    fraction = C.WEIGHT_FRACTION if name.endswith(".weight") else C.PARAMETER_FRACTION
                    gradient = found[name + MOMENTUM].astype(np.int64) >> (fraction - GRADIENT_FRACTION)
                    squares[name] += gradient * gradient
        finally:
            model.load_state(state, steps=steps)
        for name in names:
            mean = (squares[name] << (FISHER_FRACTION - 2 * GRADIENT_FRACTION)) // len(rows)
            self._fisher[name] = self._fisher[name] + mean if name in self._fisher else mean
        self._anchors = {name: state[name] for name in names}
        self._ended += 1

    def facts(self) -> dict[str, Any]:
        """Return how many experiences have ended."""
        return {"ended": self._ended}

    def arrays(self) -> Arrays:
        """Return anchors and importances."""
        anchors = {ANCHOR + name: array.copy() for name, array in self._anchors.items()}
        return {**anchors, **{FISHER + name: array.copy() for name, array in self._fisher.items()}}

    def restore(self, facts: dict[str, Any], arrays: Arrays) -> None:
        """Become what `facts` and `arrays` described."""
        self._ended = int(facts["ended"])
        self._anchors, self._fisher = below(ANCHOR, arrays), below(FISHER, arrays)
