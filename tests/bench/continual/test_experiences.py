"""Protects the split protocol's data: pairs of classes in order, nothing lost, labels as they were."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from experiences import load_experiences, split
from protocols import ROTATED, SPLIT
from strop.host import load_dataset
from strop.runtime.errors import InputError

TRAIN, TEST = load_dataset("fashion-mnist-subset", "train"), load_dataset("fashion-mnist-subset", "test")


def test_pairs_of_classes_in_their_order() -> None:
    """Experience i has exactly the samples of classes 2i and 2i + 1, in the data set's order, to train and to test."""
    parts = split(TRAIN, TEST)
    assert len(parts) == 5
    for index, part in enumerate(parts):
        for data, images, labels in ((TRAIN, *part[:2]), (TEST, *part[2:])):
            mine = data.labels // 2 == index
            np.testing.assert_array_equal(images, data.images[mine])
            np.testing.assert_array_equal(labels, data.labels[mine])


def test_classes_that_do_not_divide_are_refused() -> None:
    """Ten classes do not make experiences of three; no class is left out silently."""
    with pytest.raises(InputError, match="10 classes cannot be split 3 by 3"):
        split(TRAIN, TEST, 3)


def test_the_rotated_protocol_reads_the_benchmark() -> None:
    """Its experiences are those of strop's own benchmark, as many samples each as the protocol says."""
    continual = pytest.importorskip("strop.host.continual")
    protocol = dataclasses.replace(ROTATED, per_experience=20)
    try:
        benchmark = continual.load_benchmark(protocol.benchmark, seed=3, per_experience=20)
    except InputError as error:
        pytest.skip(str(error))  # the whole of Fashion-MNIST is not installed
    parts = load_experiences(protocol, seed=3)
    assert [len(part.train_images) for part in parts] == [20] * 5
    for part, experience in zip(parts, benchmark.experiences, strict=True):
        np.testing.assert_array_equal(part.train_images, experience.train.images)
        np.testing.assert_array_equal(part.test_labels, experience.test.labels)


def test_both_protocols_share_one_recipe() -> None:
    """What differs between the protocols is the data: a table may show their figures side by side."""
    same = {"name": "", "benchmark": "", "per_experience": None}
    assert dataclasses.replace(SPLIT, **same) == dataclasses.replace(ROTATED, **same)
