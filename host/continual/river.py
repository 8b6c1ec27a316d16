"""A learner under river's names (Montiel et al., JMLR 2021): dictionaries of features in, names of classes out.

Works without river. Where it is installed the adapter is one of its classifiers, for its evaluation and pipelines;
import it from here, since that takes river's own time to load.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from strop.host.classes import numbered
from strop.host.continual.learner import Learner
from strop.runtime.errors import InputError

try:
    from river.base import Classifier
except ImportError:
    Classifier = object


class RiverClassifier(Classifier):  # type: ignore[misc]
    """What river takes for a classifier, around `learner`.

    x is an image uint8 [C, H, W], or river's dictionary of pixels, whose values in their order are one. y is a class's
    name, or its label where that is no name; answers are in the kind of the last y, so that metrics can compare them
    (before the first: names, or labels where the classes have none of their own). Until something was learned nothing
    is predicted: None, and no probabilities, as river's own classifiers answer. Samples come one by one, so `learner`
    has statistics "running" or "frozen", or a replay memory that others have filled.
    """

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        classes = learner.model.classes
        self._with_labels = classes == numbered(len(classes))

    @property
    def _multiclass(self) -> bool:
        """River asks it: more than two classes are no trouble."""
        return True

    def learn_one(self, x: Mapping[Any, Any] | ArrayLike, y: Hashable) -> None:
        """Learn from one image. Raises `InputError` for another number of pixels and for unknown classes."""
        label = self._label(y)
        self.learner.learn_one(self._image(x), label)
        self._with_labels = y not in self.learner.model.classes

    def predict_one(self, x: Mapping[Any, Any] | ArrayLike) -> str | int | None:
        """Return the class of one image, by name or label; None before anything was learned."""
        if not self.learner.model.steps:
            return None
        return self._answer(self.learner.predict_one(self._image(x)))

    def predict_proba_one(self, x: Mapping[Any, Any] | ArrayLike) -> dict[str | int, float]:
        """Return the probability of each class, by name or label; empty before anything was learned."""
        if not self.learner.model.steps:
            return {}
        shares = self.learner.predict_proba_one(self._image(x))
        return {self._answer(label): share for label, share in shares.items()}

    def _answer(self, label: int) -> str | int:
        return label if self._with_labels else self.learner.model.classes[label]

    def _image(self, x: Mapping[Any, Any] | ArrayLike) -> NDArray[np.uint8]:
        shape = self.learner.model.graph.input
        values = np.asarray(list(x.values()) if isinstance(x, Mapping) else x)
        if values.size != np.prod(shape):
            raise InputError(f"x has {values.size} values; an image of this network has {'x'.join(map(str, shape))}")
        if values.dtype != np.uint8 and not (
            values.dtype.kind in "iuf" and np.array_equal(values, np.clip(np.rint(values), 0, 255))
        ):
            raise InputError(f"x is {values.dtype}; pixels are whole numbers from 0 to 255")
        return values.astype(np.uint8).reshape(shape)

    def _label(self, y: Hashable) -> int:
        names = self.learner.model.classes
        if y in names:
            return names.index(str(y))
        if isinstance(y, (int, np.integer)) and not isinstance(y, bool) and 0 <= y < len(names):
            return int(y)
        raise InputError(f"y is {y!r}; the model has the classes {', '.join(names)}")
