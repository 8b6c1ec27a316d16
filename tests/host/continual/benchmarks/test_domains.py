"""Domains: samples that no two experiences share, changed as their names say, training and test alike."""

from __future__ import annotations

import numpy as np
import pytest

from strop.host.continual.benchmarks import load_benchmark
from strop.host.continual.benchmarks.chance import SAMPLES, order
from strop.host.continual.benchmarks.domains import ANGLES, SENSOR
from strop.host.data import SHIFTS, blur, dead_pixels, load_fashion_mnist_subset, rotate

SUBSET = "fashion-mnist-subset"
CHANGES = {
    "rotated-fashion-mnist": {
        "0 degrees": lambda images: images,
        **{f"{angle} degrees": lambda images, angle=angle: rotate(images, angle) for angle in (36, 72, 108, 144)},
    },
    "corrupted-fashion-mnist": {
        "clean": lambda images: images,
        "noise": SHIFTS["noise"],
        "blur": blur,
        "low contrast": SHIFTS["contrast"],
        "dead pixels": dead_pixels,
    },
}


@pytest.mark.parametrize("name", CHANGES)
def test_experiences_are_disjoint_samples_changed_alike(name: str) -> None:
    """Protects the protocol: each training image in one experience, the whole test split in each, both changed."""
    benchmark = load_benchmark(name, source=SUBSET, seed=3)
    whole, test = load_fashion_mnist_subset("train"), load_fashion_mnist_subset("test")
    assert benchmark.scenario == "domain-incremental" and benchmark.classes == whole.classes
    assert [experience.name for experience in benchmark.experiences] == [*CHANGES[name]]
    chosen = np.split(order(2000, 3, SAMPLES), 5)
    assert np.array_equal(np.sort(np.concatenate(chosen)), np.arange(2000))
    for experience, rows, change in zip(benchmark.experiences, chosen, CHANGES[name].values(), strict=True):
        part = whole.subset(np.sort(rows))
        assert np.array_equal(experience.train.images, change(part.images))
        assert np.array_equal(experience.train.labels, part.labels)
        assert np.array_equal(experience.test.images, change(test.images))
        assert np.array_equal(experience.test.labels, test.labels) and not experience.ordered


def test_changes_change() -> None:
    """Protects against a domain that is none: each one differs from the first in most images."""
    assert ANGLES == (0, 36, 72, 108, 144)
    images = load_fashion_mnist_subset("test").images[:50]
    for title, change in [*SENSOR.items()][1:]:
        assert (change(images) != images).any(axis=(1, 2, 3)).all(), title
