"""Adversarial training (Goodfellow et al., NIPS 2014) in int8: a generator and a discriminator, as DCGAN trains them.

Both are one network (networks/dcgan.py), cut behind the images that the generator makes. Those are int8 on the grid of
images, so the discriminator, the rear of the cut, reads made and real ones alike. It trains alone; the generator trains
in the whole network, in which the discriminator is frozen and passes the gradient on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.host.models import initial_state
from strop.host.networks.dcgan import IMAGES_BEHIND
from strop.host.order import raw_bits
from strop.runtime.contract import C
from strop.runtime.cut import MAP_OFFSET, cut
from strop.runtime.device import Device
from strop.runtime.errors import InputError
from strop.runtime.graph import NetworkGraph
from strop.runtime.hyperparameters import Hyperparameters
from strop.runtime.session import Minibatch, Session, StepResult
from strop.runtime.soft_targets import ONE

State = dict[str, NDArray[Any]]
_NOISE, _SHOWN = 10, 11  # streams of the seed: what is trained with, and what is shown
_MOMENTUM = 0.5  # the first moment's decay of Radford et al.


@dataclass(frozen=True)
class GanStep:
    """One step: the discriminator's mean loss and the share of images it tells apart, and the generator's mean loss.

    Losses are in nats.
    """

    discriminator: float
    told_apart: float
    generator: float


class Gan:
    """A generator and a discriminator in training with mini-batches of `batch`.

    open: gives a device, and is asked twice, since both parts have an arena of their own. The same seed trains to the
    same bytes on every device. Raises `InputError` for a network that has not one output or cannot be cut.
    """

    def __init__(
        self,
        graph: NetworkGraph,
        open: Callable[[], Device],
        *,
        batch: int = 64,
        seed: int = 0,
        images_behind: str = IMAGES_BEHIND,
        momentum: float = _MOMENTUM,
    ) -> None:
        if graph.classes != 1:
            raise InputError(f"{graph.name} has {graph.classes} outputs; a discriminator has one: real or made")
        self.graph, self.batch, self.seed = graph, batch, seed
        self._cut = cut(graph, images_behind)
        if self._cut.rear.input_exponent != C.INPUT_EXPONENT:
            raise InputError(
                f"{graph.name}: {images_behind} gives steps of 2^-{self._cut.rear.input_exponent}; images have "
                f"2^-{C.INPUT_EXPONENT}: end the generator in Tanh()"
            )
        hyper = Hyperparameters(momentum=momentum, loss="binary_cross_entropy")
        rear = frozenset(node.name for node in graph.weighted) - self._cut.frozen
        self._generator = Session(graph, open(), batch=batch, hyper=hyper, frozen=rear)
        self._discriminator = Session(self._cut.rear, open(), batch=2 * batch, hyper=hyper)
        self.load_state(initial_state(graph, seed), steps=0)

    def state(self) -> State:
        """Return a copy of everything that must survive beside `steps`, under the whole network's names."""
        return self._cut.joined(self._generator.state(), self._discriminator.state())

    def load_state(self, state: State, *, steps: int) -> None:
        """Replace the state by one after `steps` steps; raises `CheckpointMismatch` for that of another network."""
        self._generator.load_state(state)
        self._discriminator.load_state(self._cut.rear_state(state))
        self.steps = steps

    def step(self, images: NDArray[np.uint8], learning_rate: float = 0.02) -> GanStep:
        """Train both on real images uint8 [batch, C, H, W]; return how they did before that.

        The discriminator sees real and made images in one mini-batch: in two, L1BN's statistics would tell them apart,
        and those that it runs by while the generator trains would be of neither. Raises `InputError` for images of
        another size or number.
        """
        if images.shape != (self.batch, *self._cut.rear.input):
            raise InputError(f"images are {list(images.shape)}; needed: {[self.batch, *self._cut.rear.input]}")
        noise = self._noise(_NOISE, self.steps, self.batch)
        yes, no = np.full((self.batch, 1), ONE, np.int32), np.zeros((self.batch, 1), np.int32)
        if self.steps == 0:  # the generator's first step needs the shifts of the discriminator
            _train(self._discriminator, images, yes, 0.0)
        self._generator.load_state(self.state())  # the discriminator that it is judged by
        generator = _train(self._generator, noise, yes, learning_rate)
        both = np.concatenate([images, self._generated(noise)])
        discriminator = _train(self._discriminator, both, np.concatenate([yes, no]), learning_rate)
        self.steps += 1
        return GanStep(discriminator.loss, discriminator.accuracy, generator.loss)

    def generate(self, count: int, seed: int = 0) -> NDArray[np.uint8]:
        """Return `count` made images, uint8 [count, C, H, W], by running statistics; changes no state."""
        return self._generated(self._noise(_SHOWN, seed, count))

    def close(self) -> None:
        """Close both devices."""
        self._generator.close()
        self._discriminator.close()

    def _noise(self, stream: int, number: int, count: int) -> NDArray[np.uint8]:
        words = raw_bits(self.seed, stream, number, count=count * int(np.prod(self.graph.input)))
        return np.asarray(words >> np.uint64(56), np.uint8).reshape(count, *self.graph.input)

    def _generated(self, noise: NDArray[np.uint8]) -> NDArray[np.uint8]:
        maps = self._generator.features(noise, self._cut.after)
        return np.asarray(maps.astype(np.int16) + MAP_OFFSET, np.uint8)


def _train(session: Session, images: NDArray[np.uint8], targets: NDArray[np.int32], rate: float) -> StepResult:
    (result,) = session.train([Minibatch(images, np.zeros(len(images), np.int32), rate, targets)])
    return result
