"""Learners in float32 PyTorch that train on each experience: plainly, with replay, or held to what they were.

What chance decides (first weights, order, replayed samples) comes from strop's own streams, so that a run is given by
its seed, and starts where an int8 run with that seed starts.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from kept_samples import BalancedMemory, Reservoir
from protocols import Protocol
from strop.host.order import epoch_order
from strop.host.pytorch.float_twin import FloatTwin, Norm, initial_parameters
from strop.runtime.graph import NetworkGraph

FISHER_SAMPLES = 1000
LWF_TEMPERATURE = 2.0
GDUMB_EPOCHS = 30
GDUMB_LAST_RATE = 0.01  # of the first one, where the cosine ends


class Naive:
    """SGD on each experience as it comes: what forgets. Images are uint8 [n, C, H, W], labels int [n]."""

    def __init__(self, graph: NetworkGraph, norm: Norm, protocol: Protocol, seed: int) -> None:
        self.graph, self.norm, self.protocol, self.seed = graph, norm, protocol, seed
        self.network: FloatTwin
        self.optimizer: torch.optim.SGD
        self._begin()
        self._epochs_done = 0

    @property
    def kept_bytes(self) -> int:
        """Bytes kept for the sake of old experiences, beside the network."""
        return 0

    def learn(self, images: NDArray[np.uint8], labels: NDArray[Any]) -> None:
        """Train on an experience, `protocol.epochs` times over."""
        self._fit(images, labels, self.protocol.epochs)

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the class of each image, int64 [n], by inference; nothing moves."""
        self.network.eval()
        with torch.inference_mode():
            return torch.cat([self.network(part).argmax(1) for part in in_parts(images)]).numpy()

    def _begin(self) -> None:
        """Set out with the seed's first weights and without momentum."""
        self.network = FloatTwin(self.graph, self.norm, initial_parameters(self.graph, self.seed))
        self.optimizer = torch.optim.SGD(
            self.network.parameters(), lr=self.protocol.learning_rate, momentum=self.protocol.momentum
        )

    def _fit(self, samples: NDArray[Any], labels: NDArray[Any], epochs: int) -> None:
        self.network.train()
        batch = self.protocol.batch
        for epoch in range(epochs):
            order = epoch_order(len(samples), self.seed, self._epochs_done)
            self._epochs_done += 1
            for start in range(0, len(order) - batch + 1, batch):
                chosen = order[start : start + batch]
                self._step(samples[chosen], labels[chosen].astype(np.int64), first_visit=epoch == 0)

    def _step(self, samples: NDArray[Any], labels: NDArray[np.int64], first_visit: bool) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(torch.from_numpy(samples), torch.from_numpy(labels))
        if not torch.isfinite(loss):  # inference would name class 0 from then on, which looks like a result
            raise FloatingPointError(f"{type(self).__name__}, seed {self.seed}: the loss is {loss.item()}; it diverged")
        loss.backward()
        self.optimizer.step()

    def _loss(self, samples: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(self._logits(samples), labels)

    def _logits(self, samples: Tensor) -> Tensor:
        return self.network(samples)


class Replay(Naive):
    """Experience replay: kept images, drawn anew for each step, join the mini-batch, and share its statistics.

    What is drawn was kept before the step, so the first step replays nothing. `capacity` uint8 images are kept, a
    reservoir of everything seen.
    """

    def __init__(self, graph: NetworkGraph, norm: Norm, protocol: Protocol, seed: int, capacity: int) -> None:
        super().__init__(graph, norm, protocol, seed)
        self.memory = Reservoir(capacity, graph.input, np.uint8, seed)

    @property
    def kept_bytes(self) -> int:
        return self.memory.nbytes

    def _step(self, samples: NDArray[Any], labels: NDArray[np.int64], first_visit: bool) -> None:
        old, old_labels = self.memory.draw(self.protocol.replay_batch)
        super()._step(np.concatenate([samples, old]), np.concatenate([labels, old_labels]), first_visit)
        if first_visit:
            self.memory.add(samples, labels)


class EWC(Naive):
    """Elastic weight consolidation: strength/2 * F (theta - theta*)^2 joins the loss (Kirkpatrick et al., PNAS 2017).

    F is the diagonal of the empirical Fisher information, from 1,000 samples of each experience in inference, summed
    over experiences; theta* is where the last one ended (one anchor: Huszar, PNAS 2018). Each step takes the loss's
    gradient first and then the pull, implicitly: theta* + (theta - theta*) / (1 + rate * strength * F). That is the
    same to first order and stable for every strength; as a gradient, the pull diverges where rate * strength * F > 2.
    """

    def __init__(self, graph: NetworkGraph, norm: Norm, protocol: Protocol, seed: int, strength: float) -> None:
        super().__init__(graph, norm, protocol, seed)
        self.strength = strength
        self.anchors: list[Tensor] = []
        self.fisher: list[Tensor] = []

    @property
    def kept_bytes(self) -> int:
        return 8 * sum(parameter.numel() for parameter in self.network.parameters())

    def learn(self, images: NDArray[np.uint8], labels: NDArray[Any]) -> None:
        super().learn(images, labels)
        parameters = list(self.network.parameters())
        fresh = self._fisher_of(images, labels)
        self.fisher = [old + new for old, new in zip(self.fisher, fresh, strict=True)] if self.fisher else fresh
        self.anchors = [parameter.detach().clone() for parameter in parameters]

    def _fisher_of(self, images: NDArray[np.uint8], labels: NDArray[Any]) -> list[Tensor]:
        chosen = epoch_order(len(images), self.seed, self._epochs_done)[:FISHER_SAMPLES]
        parameters = list(self.network.parameters())
        total = [torch.zeros_like(parameter) for parameter in parameters]
        self.network.eval()
        for index in chosen:
            logits = self.network(torch.tensor(images[index : index + 1]))
            loss = functional.cross_entropy(logits, torch.tensor([int(labels[index])]))
            for part, gradient in zip(total, torch.autograd.grad(loss, parameters), strict=True):
                part.addcmul_(gradient, gradient)
        return [part / len(chosen) for part in total]

    def _step(self, samples: NDArray[Any], labels: NDArray[np.int64], first_visit: bool) -> None:
        super()._step(samples, labels, first_visit)
        if not self.anchors:
            return
        scale = self.protocol.learning_rate * self.strength
        with torch.no_grad():
            for parameter, anchor, fisher in zip(self.network.parameters(), self.anchors, self.fisher, strict=True):
                parameter.copy_(anchor + (parameter - anchor) / (1 + scale * fisher))


class LwF(Naive):
    """Learning without forgetting (Li & Hoiem, ECCV 2016): the last experience's network teaches its classes.

    Its softened outputs (temperature 2) for the classes seen before, against the same of the network in training:
    the divergence, times the temperature squared, joins the cross-entropy over all classes.
    """

    def __init__(self, graph: NetworkGraph, norm: Norm, protocol: Protocol, seed: int) -> None:
        super().__init__(graph, norm, protocol, seed)
        self.teacher: FloatTwin | None = None
        self.known: list[int] = []

    @property
    def kept_bytes(self) -> int:
        return 4 * sum(parameter.numel() for parameter in self.network.parameters())

    def learn(self, images: NDArray[np.uint8], labels: NDArray[Any]) -> None:
        super().learn(images, labels)
        self.teacher = copy.deepcopy(self.network).eval()
        self.known = sorted({*self.known, *np.unique(labels).tolist()})

    def _loss(self, samples: Tensor, labels: Tensor) -> Tensor:
        logits = self._logits(samples)
        loss = functional.cross_entropy(logits, labels)
        if self.teacher is None:
            return loss
        with torch.no_grad():
            told = functional.log_softmax(self.teacher(samples)[:, self.known] / LWF_TEMPERATURE, 1)
        said = functional.log_softmax(logits[:, self.known] / LWF_TEMPERATURE, 1)
        divergence = functional.kl_div(said, told, reduction="batchmean", log_target=True)
        return loss + LWF_TEMPERATURE**2 * divergence


class GDumb(Naive):
    """GDumb (Prabhu et al., ECCV 2020): keeps a balanced memory, and trains anew on it alone when asked.

    30 epochs over the memory from the first weights, the learning rate falling as a cosine to a hundredth.
    """

    def __init__(self, graph: NetworkGraph, norm: Norm, protocol: Protocol, seed: int, capacity: int) -> None:
        super().__init__(graph, norm, protocol, seed)
        self.memory = BalancedMemory(capacity, graph.input, seed)

    @property
    def kept_bytes(self) -> int:
        return self.memory.nbytes

    def learn(self, images: NDArray[np.uint8], labels: NDArray[Any]) -> None:
        order = epoch_order(len(images), self.seed, self._epochs_done)
        self._epochs_done += 1
        self.memory.add(images[order], labels[order])
        self._begin()
        for epoch in range(GDUMB_EPOCHS):
            share = (1 + np.cos(np.pi * epoch / GDUMB_EPOCHS)) / 2
            rate = self.protocol.learning_rate * (GDUMB_LAST_RATE + (1 - GDUMB_LAST_RATE) * share)
            for group in self.optimizer.param_groups:
                group["lr"] = float(rate)
            self._fit(*self.memory.all(), epochs=1)


def in_parts(images: NDArray[np.uint8], size: int = 1000) -> Iterator[Tensor]:
    """Yield images [n, C, H, W] as tensors of at most `size` of them, in their order."""
    for start in range(0, len(images), size):
        yield torch.tensor(images[start : start + size])
