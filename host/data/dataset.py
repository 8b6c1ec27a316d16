"""A labelled set of images, checked when it is made, so that everything after it may trust the arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from strop.host.data.image_stream import ImageStream
from strop.host.order import epoch_order
from strop.runtime.contract import C
from strop.runtime.errors import InputError

Layout = Literal["NCHW", "NHWC"]
Split = Literal["train", "test", "all"]  # "all": the whole of a source that knows no splits


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images uint8 [count, C, H, W] with labels int32 [count]; both C-contiguous and read-only.

    `classes[label]` is a label's name. Arrays that are writable or not contiguous are copied, so that no later change
    by the caller reaches the data set. The images may be an `ImageStream`, which decodes them when they are asked for.
    Raises InputError for other shapes or dtypes, no samples, and labels out of range.
    """

    images: NDArray[np.uint8] = field(repr=False)
    labels: NDArray[np.int32] = field(repr=False)
    classes: tuple[str, ...]
    name: str

    def __post_init__(self) -> None:
        _check_images(self.images)
        _check_classes(self.classes)
        if not isinstance(self.labels, np.ndarray) or self.labels.dtype != np.int32 or self.labels.ndim != 1:
            raise InputError("labels must be a numpy array int32 [count]; Dataset.from_arrays takes any integers")
        _check_labels(self.labels, len(self.images), len(self.classes))
        if not isinstance(self.images, ImageStream):
            object.__setattr__(self, "images", _protected(self.images))
        object.__setattr__(self, "labels", _protected(self.labels))

    @classmethod
    def from_arrays(
        cls,
        images: NDArray[Any],
        labels: ArrayLike,
        *,
        classes: Sequence[str] | None = None,
        name: str = "arrays",
        layout: Layout | None = None,
    ) -> Dataset:
        """Return a data set of uint8 images [count, H, W], [count, C, H, W], or by layout="NHWC" [count, H, W, 1 or 3].

        Labels are integers [count] or [count, 1], of any width. Without `classes` there are max(label) + 1, named by
        their numbers. A 4-d array that looks like NHWC is refused until `layout` says what it is.
        """
        pixels, numbers = _to_nchw(images, layout), _label_numbers(labels)
        if classes is None:
            classes = numbered_classes(numbers)
        elif isinstance(classes, str):
            raise InputError(f"classes is the single string {classes!r}; pass one name per class")
        _check_labels(numbers, len(pixels), len(classes))  # before int32 could wrap a label into range
        return cls(pixels, _owned(numbers.astype(np.int32)), tuple(classes), name)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def subset(self, indices: ArrayLike) -> Dataset:
        """Return the samples at `indices` (integers [n], 0 <= index < len, repeats allowed), in that order."""
        rows = np.asarray(indices)
        if rows.ndim != 1 or rows.size == 0 or rows.dtype.kind not in "iu":
            raise InputError(f"indices must be a non-empty list of integers, got {rows.dtype} {list(rows.shape)}")
        bad = (rows < 0) | (rows >= len(self))
        if bad.any():
            position = int(bad.argmax())
            raise InputError(f"indices[{position}] is {rows[position]}; {self.name} has samples 0 to {len(self) - 1}")
        images = self.images
        chosen = images.subset(rows).as_images() if isinstance(images, ImageStream) else _owned(images[rows])
        return Dataset(chosen, _owned(self.labels[rows]), self.classes, self.name)

    def split(self, count: int, seed: int) -> tuple[Dataset, Dataset]:
        """Return `count` samples chosen by `seed` (an integer >= 0), and the others; each part in this set's order."""
        if not 1 <= count < len(self):
            raise InputError(
                f"cannot split {count} of {len(self)} samples from {self.name}: allowed are 1 to {len(self) - 1}"
            )
        order = epoch_order(len(self), _checked_seed(seed), 0)
        return self.subset(np.sort(order[:count])), self.subset(np.sort(order[count:]))

    def take(self, n: int, seed: int) -> Dataset:
        """Return `n` samples chosen by `seed` (an integer >= 0), in this set's order, each class with its share.

        Shares are n * class count / len, rounded by largest remainder (ties: the lower label): none is off by 1.
        """
        if not 1 <= n <= len(self):
            raise InputError(f"cannot take {n} of {len(self)} samples from {self.name}: allowed are 1 to {len(self)}")
        counts = np.bincount(self.labels, minlength=len(self.classes)).astype(np.int64)
        shares, remainders = np.divmod(n * counts, len(self))
        shares[np.argsort(-remainders, kind="stable")[: n - int(shares.sum())]] += 1
        order = epoch_order(len(self), _checked_seed(seed), 0)
        chosen = [order[self.labels[order] == label][:share] for label, share in enumerate(shares)]
        return self.subset(np.sort(np.concatenate(chosen)))


def check_split(split: str) -> Split:
    """Return `split`; InputError where it is none."""
    if split not in get_args(Split):
        raise InputError(f'split {split!r} is unknown; allowed are "train", "test" and "all"')
    return cast(Split, split)


def numbered_classes(*labels: NDArray[Any]) -> tuple[str, ...]:
    """Return the names "0", "1", ... that the integer arrays `labels` need between them."""
    highest = max((int(part.max()) for part in labels if part.size), default=0)  # below 0: for the range check to name
    if highest >= C.MAX_CLASSES:
        raise InputError(f"label {highest} is out of range: allowed are 0 to {C.MAX_CLASSES - 1}")
    return tuple(str(label) for label in range(max(highest, 0) + 1))


def _check_images(images: NDArray[Any]) -> None:
    if not isinstance(images, (np.ndarray, ImageStream)):
        raise InputError(f"images must be a numpy array, got {type(images).__name__}")
    if images.dtype != np.uint8:
        raise InputError(
            f"images must be uint8 pixels, got {images.dtype}; scale floats from [0, 1] with "
            "np.round(images * 255).astype(np.uint8)"
        )
    if images.ndim != 4:
        raise InputError(f"images must be [count, channels, height, width], got the shape {list(images.shape)}")
    if 0 in images.shape:
        raise InputError(f"images of the shape {list(images.shape)} are empty; every dimension must be at least 1")


def _check_classes(classes: tuple[str, ...]) -> None:
    if not isinstance(classes, tuple) or not all(isinstance(name, str) for name in classes):
        raise InputError(f"classes must be a tuple of strings, got {classes!r}")
    if not 1 <= len(classes) <= C.MAX_CLASSES:
        raise InputError(f"{len(classes)} classes are not possible: allowed are 1 to {C.MAX_CLASSES}")
    if len(set(classes)) != len(classes):
        double = next(name for position, name in enumerate(classes) if name in classes[:position])
        raise InputError(f"the class name {double!r} occurs twice; names must differ")


def _check_labels(labels: NDArray[Any], count: int, class_count: int) -> None:
    if len(labels) != count:
        raise InputError(f"{count} images with {len(labels)} labels; there must be one label per image")
    bad = (labels < 0) | (labels >= class_count)
    if bad.any():
        first = int(bad.argmax())
        raise InputError(f"labels[{first}] is {labels[first]}; {class_count} classes allow 0 to {class_count - 1}")


def _label_numbers(labels: ArrayLike) -> NDArray[Any]:
    try:
        numbers = np.asarray(labels)
    except (ValueError, TypeError) as error:
        raise InputError(f"labels must be integers [count]: {error}") from error
    if numbers.ndim == 2 and numbers.shape[1] == 1:
        numbers = numbers[:, 0]
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise InputError(f"labels must be integers [count], got {numbers.dtype} {list(numbers.shape)}")
    return numbers


def _to_nchw(images: NDArray[Any], layout: Layout | None) -> NDArray[Any]:
    if layout not in (None, "NCHW", "NHWC"):
        raise InputError(f'layout {layout!r} is unknown; allowed are "NCHW" and "NHWC"')
    if not isinstance(images, np.ndarray) or images.ndim not in (3, 4):
        shape = list(np.shape(images))
        raise InputError(f"images must be [count, height, width] or [count, channels, height, width], got {shape}")
    if images.ndim == 3:
        return images[:, np.newaxis]
    if layout == "NHWC":
        if images.shape[3] not in (1, 3):
            raise InputError(f"NHWC images must have 1 or 3 channels, got the shape {list(images.shape)}")
        return _owned(images.transpose(0, 3, 1, 2).copy(order="C"))
    if layout is None and images.shape[3] in (1, 3) and images.shape[1] not in (1, 3):
        raise InputError(f'images of the shape {list(images.shape)} look like NHWC; say layout="NHWC" or layout="NCHW"')
    return images


def _owned(array: NDArray[Any]) -> NDArray[Any]:
    """Mark an array that nobody else holds as read-only, which spares the constructor's copy."""
    array.flags.writeable = False
    return array


def _protected(array: NDArray[Any]) -> NDArray[Any]:
    return array if array.flags.c_contiguous and not array.flags.writeable else _owned(array.copy(order="C"))


def _checked_seed(seed: int) -> int:
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InputError(f"seed must be an integer of at least 0, got {seed!r}")
    return int(seed)
