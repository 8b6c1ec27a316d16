"""Data sets in .npz files, under the names that people give the arrays.

| split | images, labels |
|---|---|
| train | `x_train`, `y_train` (Keras) or `train_images`, `train_labels` (MedMNIST) |
| test | `x_test`, `y_test` or `test_images`, `test_labels` |
| none: the whole | `images`, `labels` or `x`, `y` |

An array `classes` of strings may name the classes. Other arrays are left alone.
"""

from __future__ import annotations

from pathlib import Path

from strop.host.data.bounded import DEFAULT_MAX_BYTES
from strop.host.data.dataset import Dataset, Layout, Split, check_split, numbered_classes
from strop.host.data.npz import NpzArchive
from strop.runtime.errors import DataError, InputError

PAIRS: dict[Split, tuple[tuple[str, str], ...]] = {
    "train": (("x_train", "y_train"), ("train_images", "train_labels")),
    "test": (("x_test", "y_test"), ("test_images", "test_labels")),
    "all": (("images", "labels"), ("x", "y")),
}


def load_npz(
    path: str | Path,
    split: Split = "train",
    *,
    layout: Layout | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
    name: str | None = None,
) -> Dataset:
    """Return a split of an .npz file, with images and labels as `Dataset.from_arrays` takes them.

    A file without splits serves as "train" and as "all", but not as "test": nobody should test on what was trained on.
    Raises DataError where the file is missing, damaged, larger than `max_bytes` when inflated, or holds something else.
    """
    path = Path(path)
    check_split(split)
    with NpzArchive(path, max_bytes=max_bytes) as archive:
        pairs = _pairs(archive)
        if split == "train" and "train" not in pairs and "all" in pairs:
            split = "all"
        if split not in pairs:
            raise DataError(f"{path}: has no images and labels for {split!r}: {_holdings(archive)}")
        images_name, labels_name = pairs[split]
        labels = archive.read(labels_name, "iu")
        images = archive.read(images_name)
        try:
            if "classes" in archive.names:
                classes = _class_names(archive)
            else:  # by the labels of all splits, for a test set may lack a class
                others = (archive.read(pair[1], "iu") for part, pair in pairs.items() if part != split)
                classes = numbered_classes(labels, *others)
            name = name or f"{path.stem}/{split}"
            return Dataset.from_arrays(images, labels, classes=classes, name=name, layout=layout)
        except DataError:
            raise
        except InputError as error:
            raise DataError(f"{path}: {images_name}, {labels_name}: {error}") from error


def _pairs(archive: NpzArchive) -> dict[Split, tuple[str, str]]:
    """Return, for each split that the file holds, the names of its arrays."""
    found: dict[Split, tuple[str, str]] = {}
    for split, names in PAIRS.items():
        for pair in names:
            if split not in found and set(pair) <= set(archive.names):
                found[split] = pair
    return found


def _class_names(archive: NpzArchive) -> tuple[str, ...]:
    names = archive.read("classes", "U")
    if names.ndim != 1:
        raise DataError(f"{archive.path}: classes has the shape {list(names.shape)}; expected is one name per class")
    try:
        return tuple(str(name) for name in names)
    except (ValueError, SystemError) as error:  # 32-bit characters beyond Unicode
        raise DataError(f"{archive.path}: classes holds characters that are none: {error}") from error


def _holdings(archive: NpzArchive) -> str:
    allowed = "; ".join(f"{split}: {' or '.join(' + '.join(pair) for pair in names)}" for split, names in PAIRS.items())
    return f"it holds {', '.join(archive.names) or 'no arrays'}; allowed are {allowed}"
