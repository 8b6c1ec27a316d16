"""Learning without Forgetting: the model before an experience teaches the model in it (Li and Hoiem, ECCV 2016)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from strop.host.checked import real, whole
from strop.host.continual.strategies.strategy import Arrays, Strategy, option_error
from strop.host.cursor import TrainingSettings
from strop.host.data.dataset import Dataset
from strop.runtime.session import Minibatch
from strop.runtime.soft_targets import ONE, one_hot, softmax

if TYPE_CHECKING:
    from strop.host.continual.learner import Learner


class LearningWithoutForgetting(Strategy):
    """Aim at a mix of the label and of what the model said of the image before the experience began.

    In integers (hls/NUMERICS.md, soft targets): the kernel's logit error is p - t for any target t in Q15. With a share
    a, t = (1 - a) onehot + a q, q the earlier model's softmax at `temperature` over the classes it knew. That is the
    gradient of (1 - a) CE(label) + a CE(q), with both at temperature 1 in the model that learns; the paper raises the
    temperature on both sides. The first experience has no teacher. Kept while an experience lasts: 2 bytes for each of
    its samples and classes.
    """

    name: ClassVar[str] = "lwf"

    def __init__(self, share: float = 0.5, temperature: int = 2) -> None:
        self.share, self.temperature = real("share", share), whole("temperature", temperature, 1, 16)
        if not 0.0 < self.share < 1.0:
            raise option_error(self.name, "share", share, "above 0, below 1")
        if self.temperature & (self.temperature - 1):
            raise option_error(self.name, "temperature", temperature, "1, 2, 4, 8 or 16")
        self._known: set[int] = set()  # labels of earlier experiences
        self._targets: NDArray[np.uint16] | None = None  # Q15 [samples, classes]

    @property
    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"share": self.share, "temperature": self.temperature}

    def settings(self, settings: TrainingSettings) -> TrainingSettings:
        """Return settings for a loss with soft targets."""
        return replace(settings, hyper=replace(settings.hyper, soft_targets=True))

    def before(self, learner: Learner, dataset: Dataset) -> None:
        """Ask the model, which is still the teacher, about every image that comes."""
        self._targets = None
        if self._known:
            logits = learner.model.predict(dataset.images).logits
            self._targets = self._mixed(logits, dataset.labels, learner.model.graph.classes)

    def _mixed(self, logits: NDArray[np.float64], labels: NDArray[np.int32], classes: int) -> NDArray[np.uint16]:
        """Return the targets Q15 [n, classes]; their sums are 1 exactly, since the label has what the others leave."""
        known = sorted(self._known)
        teacher = softmax(logits[:, known], self.temperature)
        targets = np.zeros((len(labels), classes), np.int64)
        # below ONE: each rounded probability loses at least what it may have been rounded up by
        targets[:, known] = teacher * min(round(self.share * ONE), ONE - 1) // ONE
        rows = np.arange(len(labels))
        targets[rows, labels] += ONE - targets.sum(axis=1)
        return targets.astype(np.uint16)

    def extend(self, minibatch: Minibatch, rows: NDArray[np.int64]) -> Minibatch:
        """Give the new samples their targets; others keep theirs."""
        if self._targets is None:
            return minibatch
        targets = minibatch.targets
        if targets is None:
            targets = one_hot(minibatch.labels, self._targets.shape[1])
        targets[: len(rows)] = self._targets[rows]
        return replace(minibatch, targets=targets)

    def after(self, learner: Learner, dataset: Dataset) -> None:
        """Know the classes of the experience."""
        self._known.update(np.unique(dataset.labels).tolist())
        self._targets = None

    def facts(self) -> dict[str, Any]:
        """Return which labels are known."""
        return {"known": sorted(self._known)}

    def arrays(self) -> Arrays:
        """Return the targets of the experience under way."""
        return {} if self._targets is None else {"targets": self._targets.copy()}

    def restore(self, facts: dict[str, Any], arrays: Arrays) -> None:
        """Become what `facts` and `arrays` described."""
        self._known = set(map(int, facts["known"]))
        self._targets = arrays["targets"].copy() if "targets" in arrays else None
