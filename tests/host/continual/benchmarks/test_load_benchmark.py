"""Benchmarks by name: their bytes for ever, their names, and clear words for what cannot be."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from strop.host.continual.benchmarks import BENCHMARKS, load_benchmark
from strop.host.continual.experience import Benchmark
from strop.host.data import Dataset, load_fashion_mnist_subset
from strop.runtime.errors import DataError, InputError

SUBSET = "fashion-mnist-subset"
GOLDEN = {
    "split-fashion-mnist": [
        "f13f190f0900f2bad7289ff25d55ff36c48e3a86cd357166e0d8ac586f1649db",
        "592a51eb479d15828cc1097a21932ef7524da6026f7060b1919e8d809db4dfb6",
    ],
    "split-fashion-mnist-domain": [
        "3fc8bf41d100b5a83931f89532c5dc44b4c52f77901018256dee2d17c5551fef",
        "5c5091a796aa1ea5b5abfba0b795562f676da29ddcb199536b379ac7542b1605",
    ],
    "rotated-fashion-mnist": [
        "49279bc349c4fc0b9dddf75e0cbc7aa148d49cc6ae0b717abeb9d1a7f8e690b3",
        "3d9d8bf4648f0ef091b808e1a63dbaf81b1b0ca480c557777f8819832f7a861d",
    ],
    "blurred-fashion-mnist": [
        "8f33c1d80b178ae8327c3da9a14143ac017015a81eef332468edf0b5b66441dc",
        "e5219f1db9f23d69e895ad9df87745ae561d585d6753d89eab35677ee00232bf",
    ],
    "corrupted-fashion-mnist": [
        "8c6cad74a639b8ef418901e71de3cd05eb9de346cf9a660b1494a77f49d9cd17",
        "6d5d57e3b9413a465eb7b926e7efb426fd2863286fef1718b95f1261a8bdae6c",
    ],
}


def digest(benchmark: Benchmark) -> str:
    """Return the sha256 of everything that a learner gets to see."""
    seen = hashlib.sha256(repr((benchmark.scenario, benchmark.classes)).encode())
    for experience in benchmark.experiences:
        seen.update(repr((experience.name, experience.classes, experience.ordered)).encode())
        for part in (experience.train, experience.test):
            seen.update(part.images.tobytes())
            seen.update(part.labels.astype("<i4").tobytes())
    return seen.hexdigest()


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_bytes_stay_the_same(name: str) -> None:
    """Protects comparisons: a benchmark is the same on every platform, with every numpy, in every version of strop."""
    shuffled = {"class_order": "shuffled"} if "rotated" not in name and "corrupted" not in name else {}
    made = [
        digest(load_benchmark(name, source=SUBSET)),
        digest(load_benchmark(name, source=SUBSET, seed=1, per_experience=50, **shuffled)),
    ]
    assert made == GOLDEN[name]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_seeds_and_names(name: str) -> None:
    """Protects records: what is not the default benchmark is not called so; a seed changes samples, not the name."""
    first = load_benchmark(name, source=SUBSET, per_experience=30)
    assert first.name == f"{name} ({SUBSET}, 30 per experience)" and first.description
    second = load_benchmark(name, source=SUBSET, per_experience=30, seed=7)
    assert second.name == first.name and digest(second) != digest(first)
    assert [len(experience.train) for experience in second.experiences] == [30] * 5


@pytest.mark.parametrize("per_experience", [None, 10_000])
def test_defaults_in_words_are_the_defaults(per_experience: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects tables: who asks for 10,000 images, as is the default, has run the plain benchmark."""
    subset = load_fashion_mnist_subset("train")
    whole = Dataset(np.tile(subset.images, (25, 1, 1, 1)), np.tile(subset.labels, 25), subset.classes, "whole")
    monkeypatch.setattr(
        "strop.host.continual.benchmarks.source.load_dataset", lambda _, split: whole if split == "train" else subset
    )
    benchmark = load_benchmark("corrupted-fashion-mnist", per_experience=per_experience)
    assert benchmark.name == "corrupted-fashion-mnist"
    assert [len(experience.train) for experience in benchmark.experiences] == [10_000] * 5


def test_unknown_names_are_told_with_those_that_are_known() -> None:
    """Protects users from guessing."""
    with pytest.raises(
        InputError, match="'permuted' is unknown; allowed are split-fashion-mnist, split-fashion-mnist-"
    ):
        load_benchmark("permuted")
    with pytest.raises(InputError, match="is unknown"):
        load_benchmark(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"seed": 0.5}, "seed is 0.5"),
        ({"per_experience": 0}, "per_experience is 0"),
        ({"per_experience": 401}, "Trouser of 'fashion-mnist-subset' have 400 training samples: allowed are 2 to 400"),
        ({"per_experience": 1}, "allowed are 2 to 400"),
        ({"class_order": "random"}, 'class_order \'random\' is unknown; allowed are "fixed" and "shuffled"'),
        ({"source": 3}, "source is 3"),
    ],
)
def test_impossible_choices_are_refused(choices: dict[str, Any], message: str) -> None:
    """Protects against a benchmark that is quietly smaller or other than what was asked for."""
    with pytest.raises(InputError, match=message):
        load_benchmark("split-fashion-mnist", **{"source": SUBSET, **choices})


@pytest.mark.parametrize("name", ["rotated-fashion-mnist", "corrupted-fashion-mnist"])
def test_experiences_of_all_classes_share_no_samples(name: str) -> None:
    """Protects against too many samples an experience, and a class order that would do nothing."""
    message = "per_experience is 401; 'fashion-mnist-subset' has 2000 .* 5 experiences that share none: .* 1 to 400"
    with pytest.raises(InputError, match=message):
        load_benchmark(name, source=SUBSET, per_experience=401)
    with pytest.raises(InputError, match=f"{name} has all classes in each experience: leave it out"):
        load_benchmark(name, source=SUBSET, class_order="shuffled")


def write_source(path: Path, labels: list[int], test_labels: list[int]) -> str:
    """Write an .npz file of black images with both splits; return its path as a spec."""
    images = np.zeros((2, max(len(labels), len(test_labels)), 4, 4), np.uint8)
    np.savez(
        path,
        x_train=images[0, : len(labels)],
        y_train=np.array(labels),
        x_test=images[1, : len(test_labels)],
        y_test=np.array(test_labels),
    )
    return str(path)


@pytest.mark.parametrize(
    ("name", "labels", "test_labels", "message"),
    [
        ("split", [0, 1, 2], [0, 1, 2], "has 3 classes; pairs of them need an even number, at least 4"),
        ("split-fashion-mnist-domain", [0, 1], [0, 1], "has 2 classes; pairs of them need an even number"),
        ("blurred", [0, 1, 3], [0, 1, 2, 3], "own/train has no samples of the class '2'; pairs of classes need them"),
        ("split", [0, 1, 2, 3], [0, 2, 3], "own/test has no samples of the class '1'"),
        ("rotated", [0, 1, 0, 1], [0, 1], "own.npz' has 4 training samples, for 5 experiences that share none"),
    ],
)
def test_sources_that_cannot_be_cut_are_refused(
    tmp_path: Path, name: str, labels: list[int], test_labels: list[int], message: str
) -> None:
    """Protects other data sets: an odd number of classes, too few, classes without samples, too few samples."""
    own = write_source(tmp_path / "own.npz", labels, test_labels)
    with pytest.raises(InputError, match=message):
        load_benchmark(name if name in BENCHMARKS else f"{name}-fashion-mnist", source=own)


def test_sources_that_do_not_exist_are_refused() -> None:
    """Protects against a typing error in a path."""
    with pytest.raises(DataError, match="neither a data set nor a path"):
        load_benchmark("split-fashion-mnist", source="nowhere")


def test_any_data_set_with_both_splits_will_do(tmp_path: Path) -> None:
    """Protects a user's own data: the name says that it is not Fashion-MNIST's."""
    own = write_source(tmp_path / "own.npz", [0, 1, 2] * 8, [0, 1, 2])
    benchmark = load_benchmark("rotated-fashion-mnist", source=own)
    assert benchmark.name == "rotated-fashion-mnist (own.npz)" and benchmark.classes == ("0", "1", "2")
    assert [len(experience.train) for experience in benchmark.experiences] == [4] * 5
