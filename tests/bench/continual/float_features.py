"""Learners in float32 PyTorch on the features of a frozen front: latent replay, and streaming LDA."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from float_learners import Naive, in_parts
from kept_samples import Reservoir
from protocols import Protocol
from strop.host.order import epoch_order
from strop.host.pytorch.float_twin import Norm
from strop.runtime.cut import cut
from strop.runtime.graph import NetworkGraph

SHRINKAGE = 1e-4
CALIBRATION_SAMPLES = 10_000


class LatentReplay(Naive):
    """Latent replay (Pellegrini et al., IROS 2020): kept maps, float32, join the mini-batch behind layer `after`.

    Experience 1 trains the whole network. Then the layers up to `after` are frozen, statistics included, and what they
    give of experience 1 is offered to a reservoir of `capacity` maps. Later experiences train the rest.
    """

    def __init__(
        self, graph: NetworkGraph, norm: Norm, protocol: Protocol, seed: int, capacity: int, after: str
    ) -> None:
        super().__init__(graph, norm, protocol, seed)
        self.after = after
        self.memory = Reservoir(capacity, cut(graph, after).rear.input, np.float32, seed)
        self._frozen = False

    @property
    def kept_bytes(self) -> int:
        return self.memory.nbytes

    def learn(self, images: NDArray[np.uint8], labels: NDArray[Any]) -> None:
        if self._frozen:
            self._fit(self._features(images), labels, self.protocol.epochs)
            return
        order = epoch_order(len(images), self.seed, self._epochs_done)  # that of the first epoch
        super().learn(images, labels)
        self._frozen = True  # from here on nothing runs the front but `features`, in inference
        self.memory.add(self._features(images[order]), labels[order])

    def _features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return features(self, images, self.after)

    def _step(self, samples: NDArray[Any], labels: NDArray[np.int64], first_visit: bool) -> None:
        if not self._frozen:
            super()._step(samples, labels, first_visit)
            return
        old, old_labels = self.memory.draw(self.protocol.replay_batch)
        super()._step(np.concatenate([samples, old]), np.concatenate([labels, old_labels]), first_visit)
        if first_visit:
            self.memory.add(samples, labels)

    def _logits(self, samples: Tensor) -> Tensor:
        return self.network.rear(samples, self.after) if self._frozen else self.network(samples)


class SLDA(Naive):
    """Streaming linear discriminant analysis on features behind layer `after` (Hayes & Kanan, CVPR Workshops 2020).

    A mean for each class and one covariance within classes, shrunk by 1e-4 towards the identity; no images are kept.
    All are sums: an experience added at once gives what its samples one by one would. The features are "trained":
    `front_epochs` over experience 1 by the protocol's recipe; or "random": first weights, with batch norm's running
    statistics from 10,000 images of experience 1. Then they stay as they are.
    """

    def __init__(
        self,
        graph: NetworkGraph,
        norm: Norm,
        protocol: Protocol,
        seed: int,
        after: str,
        front: Literal["trained", "random"] = "trained",
        front_epochs: int = 1,
    ) -> None:
        super().__init__(graph, norm, protocol, seed)
        self.after, self.front, self.front_epochs = after, front, front_epochs
        width = cut(graph, after).map_bytes
        self._counts = torch.zeros(graph.classes, dtype=torch.float64)
        self._sums = torch.zeros(graph.classes, width, dtype=torch.float64)
        self._products = torch.zeros(width, width, dtype=torch.float64)
        self._weight: Tensor | None = None
        self._bias: Tensor

    @property
    def kept_bytes(self) -> int:
        """Bytes of means and covariance in float32; the sums here are float64."""
        return 4 * (self._sums.numel() + self._products.numel())

    def learn(self, images: NDArray[np.uint8], labels: NDArray[Any]) -> None:
        if self._weight is None:
            self._make_front(images, labels)
        x = torch.from_numpy(features(self, images, self.after)).flatten(1).double()
        y = torch.from_numpy(labels.astype(np.int64))
        self._counts += torch.bincount(y, minlength=len(self._counts))
        self._sums.index_add_(0, y, x)
        self._products += x.T @ x
        self._solve()

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the class of each image, int64 [n], among those seen; before any, the untrained network's."""
        if self._weight is None:
            return super().predict(images)
        x = torch.from_numpy(features(self, images, self.after)).flatten(1)
        return (x @ self._weight.float().T + self._bias.float()).argmax(1).numpy()

    def _make_front(self, images: NDArray[np.uint8], labels: NDArray[Any]) -> None:
        if self.front == "trained":
            self._fit(images, labels, self.front_epochs)
            return
        self.network.train()
        with torch.no_grad():
            chosen = epoch_order(len(images), self.seed, 0)[:CALIBRATION_SAMPLES]
            for part in in_parts(images[chosen], 100):
                self.network.front(part, self.after)

    def _solve(self) -> None:
        seen = self._counts > 0
        means = self._sums / self._counts.clamp(min=1)[:, None]
        within = self._products - (means.T * self._counts) @ means
        within = (1 - SHRINKAGE) * within / self._counts.sum() + SHRINKAGE * torch.eye(len(within), dtype=torch.float64)
        self._weight = torch.linalg.solve(within, means.T).T
        bias = -(self._weight * means).sum(1) / 2
        self._bias = torch.where(seen, bias, torch.full_like(bias, -torch.inf))


def features(learner: Naive, images: NDArray[np.uint8], after: str) -> NDArray[np.float32]:
    """Return what the learner's network gives behind layer `after` in inference, float32 [n, C, H, W]."""
    learner.network.eval()
    with torch.inference_mode():
        return torch.cat([learner.network.front(part, after) for part in in_parts(images)]).numpy()
