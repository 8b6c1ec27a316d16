"""Whether samples fit a model."""

from __future__ import annotations

import numpy as np
import pytest

from strop.host.classes import numbered, wider
from strop.host.data import Dataset
from strop.host.samples import check_samples, known_labels
from strop.runtime.errors import InputError
from strop.runtime.session import Minibatch
from tiny_models import CLASSES, tiny_dataset, tiny_graph


def of(classes: tuple[str, ...]) -> Dataset:
    """A data set with these class names."""
    return Dataset.from_arrays(np.zeros((2, 8, 8), np.uint8), [0, 0], classes=classes)


@pytest.mark.parametrize("theirs", [CLASSES, CLASSES[:2], numbered(3), numbered(2)])
def test_labels_that_mean_the_same_are_taken(theirs: tuple[str, ...]) -> None:
    """Protects the usual cases: equal names, numbers for names, and data without the last classes."""
    check_samples(of(theirs), tiny_graph(), CLASSES, "the data set")
    check_samples(of(theirs), tiny_graph(), numbered(3), "the data set")


@pytest.mark.parametrize("theirs", [CLASSES[::-1], CLASSES[1:]])
def test_labels_that_mean_something_else_are_refused(theirs: tuple[str, ...]) -> None:
    """Protects a model from learning the wrong names: another order, or a gap."""
    with pytest.raises(InputError, match="labels must mean the same"):
        check_samples(of(theirs), tiny_graph(), CLASSES, "the data set")


@pytest.mark.parametrize("theirs", [(*CLASSES, "none"), numbered(4)])
def test_more_classes_than_the_model_names_are_counted(theirs: tuple[str, ...]) -> None:
    """Protects who has new classes: the message says both counts, and how the model gets more."""
    told = "the data set .* has 4 classes .*, the model 3 .*"
    with pytest.raises(InputError, match=told + r"with_spare_classes\(n\).*add_class.*finetune --add-class"):
        check_samples(of(theirs), tiny_graph(), CLASSES, "the data set")
    with pytest.raises(InputError, match=told + r"add_class\(name\) takes one of its 2 spare outputs"):
        check_samples(of(theirs), wider(tiny_graph(), 2), CLASSES, "the data set")


def test_labels_of_a_stream_are_those_of_classes() -> None:
    """Protects spare rows from a loop of one's own, which has no data set to be checked."""
    images = np.zeros((2, 1, 8, 8), np.uint8)
    good, bad = (Minibatch(images, np.array([0, label], np.int32), 0.1) for label in (2, 3))
    stream = known_labels([good, bad], CLASSES)
    assert next(stream) is good
    with pytest.raises(InputError, match="the label 3; the model has 3 classes, 0 to 2"):
        next(stream)


def test_other_shapes_are_refused() -> None:
    """Protects the device from images of another size."""
    with pytest.raises(InputError, match=r"\(1, 9, 8\).*\(1, 8, 8\)"):
        wide = Dataset.from_arrays(np.zeros((2, 9, 8), np.uint8), [0, 1])
        check_samples(wide, tiny_graph(), CLASSES, "the data set")
    check_samples(tiny_dataset(), tiny_graph(), CLASSES, "the data set")


def test_long_lists_of_classes_are_shortened() -> None:
    """Protects the reader of the message."""
    with pytest.raises(InputError, match="10, 11 and 988 more"):
        check_samples(of(numbered(1000)), tiny_graph(), CLASSES, "the data set")
