"""Benchmarks of the library Avalanche (avalanche-lib, `pip install 'strop[avalanche]'`) as strop's.

Neither Avalanche nor torch is imported: what is read of a benchmark is its streams, their experiences' data sets and
the items of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.host.continual.experience import Benchmark, Experience, Scenario, labels_of
from strop.host.data import Dataset
from strop.host.data.dataset import numbered_classes
from strop.runtime.errors import InputError

UNCHANGED = "make the benchmark with train_transform=None, eval_transform=None, or with ToTensor() alone"


def from_avalanche(
    benchmark: Any,
    *,
    name: str = "avalanche",
    classes: Sequence[str] | None = None,
    scenario: Scenario | None = None,
) -> Benchmark:
    """Return a benchmark with the experiences of an Avalanche benchmark, all of them read into memory.

    `benchmark` has train_stream and test_stream with as many experiences, whose `dataset` has items (x, y) or
    (x, y, task label). x is a PIL image in mode 1, L or RGB, or a tensor or array [H, W] or [C, H, W] of uint8 or of
    floats in 0 to 1, which are rounded to multiples of 1/255; y is a whole number. Transforms that Avalanche was given
    are applied, once. `classes` names the labels; without it they are numbers. `scenario` is by default
    "class-incremental" where no two experiences train on the same class, and else "domain-incremental".

    Raises InputError for other items, normalized images, and task labels that differ: strop's models are never told
    which task an image is of.
    """
    streams = [_experiences(benchmark, stream) for stream in ("train_stream", "test_stream")]
    if len(streams[0]) != len(streams[1]):
        raise InputError(
            f"the benchmark has {len(streams[0])} experiences to train on and {len(streams[1])} test sets; strop needs "
            "a test set for each experience: make the benchmark with one for each"
        )
    read = [
        [_read(experience, f"{stream}[{number}]") for number, experience in enumerate(experiences)]
        for stream, experiences in zip(("train_stream", "test_stream"), streams, strict=True)
    ]
    tasks = {task for parts in read for _, _, own in parts for task in own}
    if len(tasks) > 1:
        raise InputError(
            f"the benchmark has the task labels {sorted(tasks)}; strop's models are not told the task: make the "
            "benchmark with return_task_id=False, or task_labels=False"
        )
    names = _class_names(benchmark, classes, [labels for parts in read for _, labels, _ in parts])
    experiences = []
    for number, pair in enumerate(zip(*read, strict=True), start=1):
        train, test = (
            Dataset.from_arrays(images, labels, classes=names, name=f"{name}/{number}/{split}")
            for split, (images, labels, _) in zip(("train", "test"), pair, strict=True)
        )
        experiences.append(Experience(f"experience {number}", train, test, labels_of(train)))
    if scenario is None:
        held = [label for experience in experiences for label in experience.classes]
        scenario = "class-incremental" if len(set(held)) == len(held) else "domain-incremental"
    return Benchmark(name, scenario, tuple(experiences), f"{len(experiences)} experiences of an Avalanche benchmark")


def _experiences(benchmark: Any, stream: str) -> list[Any]:
    found = getattr(benchmark, stream, None)
    if not isinstance(found, Iterable):
        raise InputError(
            f"an object of type {type(benchmark).__name__} is no Avalanche benchmark: it has no {stream} that can be "
            "walked through"
        )
    return list(found)


def _read(experience: Any, where: str) -> tuple[NDArray[np.uint8], NDArray[np.int64], set[int]]:
    """Return images uint8 [count, C, H, W], labels int64 [count], and the task labels of an experience's items."""
    items: Any = getattr(experience, "dataset", None)
    if not hasattr(items, "__len__") or not hasattr(items, "__getitem__"):
        raise InputError(f"{where} has no dataset with a length and items; it must be an experience of Avalanche")
    images, labels, tasks = [], [], set()
    for number in range(len(items)):
        item, place = items[number], f"{where}.dataset[{number}]"
        if not isinstance(item, (tuple, list)) or len(item) not in (2, 3):
            raise InputError(f"{place} is no (x, y) or (x, y, task label), but of type {type(item).__name__}")
        images.append(_image(item[0], place))
        labels.append(_whole(item[1], "label", place))
        tasks |= {_whole(task, "task label", place) for task in item[2:]}
        if images[-1].shape != images[0].shape:
            raise InputError(
                f"{place} is an image of {images[-1].shape}, the first one of {images[0].shape}; all images of a "
                "benchmark must have one shape: add a transform that resizes them"
            )
    if not images:
        raise InputError(f"{where} has no samples; leave out experiences that are empty")
    return np.stack(images), np.array(labels, np.int64), tasks


def _image(x: Any, place: str) -> NDArray[np.uint8]:
    """Return an image as uint8 [C, H, W]."""
    if hasattr(x, "getbands"):  # PIL
        if x.mode not in ("1", "L", "RGB"):
            raise InputError(f'{place} is an image in mode {x.mode}; add a transform to mode "L" or "RGB"')
        array = np.asarray(x.convert("L") if x.mode == "1" else x)
        array = array.transpose(2, 0, 1) if array.ndim == 3 else array
    else:
        try:
            array = np.asarray(x.detach().cpu().numpy() if hasattr(x, "detach") else x)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"{place}: its image cannot be read as an array: {error}") from error
    if array.ndim not in (2, 3):
        raise InputError(f"{place} is an image of the shape {list(array.shape)}; allowed are [H, W] and [C, H, W]")
    array = array[np.newaxis] if array.ndim == 2 else array
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f":
        raise InputError(f"{place} is an image of {array.dtype}; allowed are uint8, and floats in 0 to 1")
    if not ((array >= 0.0) & (array <= 1.0)).all():  # NaN, too
        raise InputError(
            f"{place} has pixels from {array.min():.3g} to {array.max():.3g}, so it was normalized; floats must be in "
            f"0 to 1: {UNCHANGED}"
        )
    return np.rint(array.astype(np.float64) * 255.0).astype(np.uint8)


def _whole(value: Any, what: str, place: str) -> int:
    found = value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found < 1 << 31:
        raise InputError(f"{place} has the {what} {value!r}; it is a whole number, at least 0 and below 2^31")
    return found


def _class_names(benchmark: Any, classes: Sequence[str] | None, labels: list[NDArray[np.int64]]) -> Sequence[str]:
    if classes is not None:
        return classes
    told = getattr(benchmark, "n_classes", 0)  # of classification benchmarks; may count classes that do not occur
    return numbered_classes(*labels, np.array([told - 1 if isinstance(told, int) else 0]))
