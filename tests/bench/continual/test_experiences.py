"""Protects the protocols' data: those of strop's own benchmarks, and as many samples as a protocol says."""

from __future__ import annotations

import dataclasses

import numpy as np

from experiences import load_experiences
from protocols import ROTATED, SPLIT
from strop.host import load_dataset

SUBSET = "fashion-mnist-subset"


def test_the_split_protocol_has_pairs_of_classes_in_their_order() -> None:
    """Experience i has all samples of classes 2i and 2i + 1, labels as they were, whatever the seed."""
    for seed in (0, 1):
        parts = load_experiences(SPLIT, seed, SUBSET)
        assert len(parts) == 5
        for index, part in enumerate(parts):
            for split, images, labels in (("train", *part[:2]), ("test", *part[2:])):
                data = load_dataset(SUBSET, split)
                mine = data.labels // 2 == index
                np.testing.assert_array_equal(images, data.images[mine])
                np.testing.assert_array_equal(labels, data.labels[mine])


def test_the_rotated_protocol_has_the_samples_that_it_asks_for() -> None:
    """Five angles, all classes in each; another seed chooses other samples, and the tests stay."""
    protocol = dataclasses.replace(ROTATED, per_experience=100)
    parts, others = load_experiences(protocol, 0, SUBSET), load_experiences(protocol, 1, SUBSET)
    assert [len(part.train_images) for part in parts] == [100] * 5
    for part, other in zip(parts, others, strict=True):
        assert set(part.train_labels.tolist()) == set(range(10))
        assert not np.array_equal(part.train_images, other.train_images)
        np.testing.assert_array_equal(part.test_images, other.test_images)


def test_both_protocols_share_one_recipe() -> None:
    """What differs between the protocols is the data: a table may show their figures side by side."""
    same = {"name": "", "benchmark": "", "per_experience": None}
    assert dataclasses.replace(SPLIT, **same) == dataclasses.replace(ROTATED, **same)
