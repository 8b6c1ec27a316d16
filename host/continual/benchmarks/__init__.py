"""Benchmarks by name, cut out of a data set the same way on every machine.

| `load_benchmark(name)` | scenario | experiences |
|---|---|---|
| "split-fashion-mnist" | class-incremental | 5 pairs of classes, 10 outputs |
| "split-fashion-mnist-domain" | domain-incremental | the same pairs, 2 outputs: which of its pair an image is |
| "rotated-fashion-mnist" | domain-incremental | 0, 36, 72, 108, 144 degrees; 10,000 training images each, none twice |
| "blurred-fashion-mnist" | task-free | the pairs as a stream, in which one gives way to the next gradually |
| "corrupted-fashion-mnist" | domain-incremental | clean, noise, blur, low contrast, dead pixels; 10,000 images each |

The protocols are those of Hsu et al. 2018 ("Re-evaluating continual learning scenarios") and of van de Ven et al. 2022
("Three types of incremental learning"), on Fashion-MNIST.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from strop.host.continual.benchmarks.class_pairs import blurred, split, split_domain
from strop.host.continual.benchmarks.domains import SAMPLES_PER_EXPERIENCE, corrupted, rotated
from strop.host.continual.benchmarks.source import DEFAULT_SOURCE, ClassOrder, Source
from strop.host.continual.experience import Benchmark
from strop.runtime.errors import InputError

__all__ = ["BENCHMARKS", "ClassOrder", "load_benchmark"]

BENCHMARKS: Mapping[str, Callable[[Source, str], Benchmark]] = MappingProxyType(
    {
        "split-fashion-mnist": split,
        "split-fashion-mnist-domain": split_domain,
        "rotated-fashion-mnist": rotated,
        "blurred-fashion-mnist": blurred,
        "corrupted-fashion-mnist": corrupted,
    }
)
WITH_ALL_CLASSES = ("rotated-fashion-mnist", "corrupted-fashion-mnist")


def load_benchmark(
    name: str,
    *,
    source: str = DEFAULT_SOURCE,
    seed: int = 0,
    per_experience: int | None = None,
    class_order: ClassOrder = "fixed",
) -> Benchmark:
    """Return the benchmark `name`: one of BENCHMARKS.

    `source` is a data set as `load_dataset` takes it, with training and test splits: "fashion-mnist",
    "fashion-mnist-subset" or a path. `seed` (an integer >= 0) decides which samples and, for "blurred-fashion-mnist",
    in which order; nothing else does, and an equal seed gives equal bytes on every machine. `per_experience` is how
    many training samples each experience has; without it all of its classes', or, where all classes are in each
    experience, 10,000, or the experience's share of a source that has fewer. `class_order` is "fixed" (as the source
    numbers them) or "shuffled" (by `seed`), for the benchmarks of class pairs.

    What differs from the defaults, but for the seed, stands in parentheses in the benchmark's name. Raises InputError
    for unknown names, choices that the source cannot meet, and, as DataError, a source that cannot be loaded.
    """
    if not isinstance(name, str) or name not in BENCHMARKS:
        raise InputError(f"benchmark {name!r} is unknown; allowed are {', '.join(BENCHMARKS)}")
    if class_order != "fixed" and name in WITH_ALL_CLASSES:
        raise InputError(f"class_order is {class_order!r}; {name} has all classes in each experience: leave it out")
    loaded = Source.load(source, seed, per_experience, class_order)
    default = SAMPLES_PER_EXPERIENCE if name in WITH_ALL_CLASSES else None
    return BENCHMARKS[name](loaded, name + loaded.variant(default))
