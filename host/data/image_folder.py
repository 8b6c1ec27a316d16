"""Folders of images, one subfolder per class: folder/class_name/*.png. Needs Pillow (`pip install pillow`)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from strop.host.data.bounded import DEFAULT_MAX_BYTES, allocate, check_claim
from strop.host.data.dataset import Dataset, Split, check_split
from strop.host.data.image_file import BILINEAR, GREY_MODES, SUFFIXES, Mode, as_planes, check_size, opened_image
from strop.runtime.errors import DataError, InputError


def load_image_folder(
    folder: str | Path,
    split: Split = "train",
    *,
    size: tuple[int, int] | None = None,
    mode: Mode | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
    name: str | None = None,
) -> Dataset:
    """Return the images of `folder`, or of its train/ or test/ where these hold class folders, sorted by name.

    `size` (height, width) resizes every image (bilinear); without it all must have one size. `mode` is "L" (grey) or
    "RGB"; without it grey where every image is. Transparency is dropped, EXIF rotation is not applied, of several
    frames the first is taken. A folder without train/ and test/ serves as "train" and as "all". Hidden files (.name)
    are passed over; any other file that is no image is an error. Raises DataError, which names the file, and
    InputError for a wrong `size` or `mode`.
    """
    folder = Path(folder)
    check_size(size, mode)
    root, classes = _root_and_classes(folder, check_split(split))
    files = list(image_files(root, classes))
    shape, mode = _common_shape([path for path, _ in files], size, mode)
    total = len(files) * math.prod(shape)
    check_claim(str(root), total, max_bytes)
    images = allocate(str(root), total).reshape(len(files), *shape)
    for row, (path, _) in enumerate(files):
        images[row] = _pixels(path, shape, mode, resize=size is not None)
    images.flags.writeable = False
    labels = np.array([label for _, label in files], np.int32)
    try:
        return Dataset(images, labels, classes, name or f"{folder.name}/{split}")
    except InputError as error:
        raise DataError(f"{root}: {error}") from error


def load_image(path: str | Path, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return one image file as uint8 [C, H, W] of `shape`, resized (bilinear) if need be; grey if C is 1, RGB if 3.

    Raises DataError, which names the file, and InputError for a number of channels that no image file has.
    """
    if shape[0] not in (1, 3):
        raise InputError(f"image files have 1 or 3 channels, not {shape[0]}; pass arrays")
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    return _pixels(path, shape, "L" if shape[0] == 1 else "RGB", resize=True)


def _root_and_classes(folder: Path, split: Split) -> tuple[Path, tuple[str, ...]]:
    """Return the folder that holds the split's class folders, and the names of all classes."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    parts = {part: folder / part for part in ("train", "test") if subfolders(folder / part)}
    if not parts:
        if split == "test":
            raise DataError(f"{folder}: has no test/ with class folders; add one, or hold out samples: Dataset.split")
        classes = class_names(folder)
        if not classes:
            raise DataError(f"{folder}: holds no class folders; expected are folder/class_name/*{', *'.join(SUFFIXES)}")
        return folder, classes
    if split not in parts:
        raise DataError(f"{folder}: has no {split!r} split; it is split into {' and '.join(parts)}")
    classes = class_names(parts.get("train", parts[split]))
    strangers = set(class_names(parts[split])) - set(classes)
    if strangers:
        raise DataError(
            f"{parts[split]}: has a class {min(strangers)!r} that {folder / 'train'} lacks; rename or remove it"
        )
    return parts[split], classes


def image_files(root: Path, classes: tuple[str, ...]) -> Iterator[tuple[Path, int]]:
    """Yield each image's path and label: class by class, sorted. Raises DataError for what is no image."""
    for label, name in enumerate(classes):
        if not (root / name).is_dir():
            continue  # a test set may lack a class
        files = visible_entries(root / name)
        if not files:
            raise DataError(f"{root / name}: holds no images; add some or remove the folder")
        for path in files:
            if not path.is_file() or path.suffix.lower() not in SUFFIXES:
                raise DataError(f"{path}: is not an image; allowed are files *{', *'.join(SUFFIXES)}")
            yield path, label


def class_names(root: Path) -> tuple[str, ...]:
    """Return the names of the class folders, sorted. Raises DataError where anything else lies beside them."""
    for path in visible_entries(root):
        if not path.is_dir():
            raise DataError(f"{path}: lies beside class folders; move it into one, or away")
    return tuple(path.name for path in visible_entries(root))


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in `folder`, sorted; none where it is no folder."""
    return [path for path in visible_entries(folder) if path.is_dir()] if folder.is_dir() else []


def visible_entries(folder: Path) -> list[Path]:
    """Return what lies in `folder`, sorted, but for hidden files (.name)."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _common_shape(
    paths: list[Path], size: tuple[int, int] | None, mode: Mode | None
) -> tuple[tuple[int, int, int], Mode]:
    """Return channels, height, width and mode for all images; reads their headers only."""
    all_grey = True
    for path in paths:
        with opened_image(str(path), path) as image:
            own = (image.height, image.width)
            all_grey = all_grey and image.mode in GREY_MODES
        if path == paths[0]:
            first = own
        if size is None and own != first:
            raise DataError(
                f"{path}: is {own[0]} x {own[1]} pixels (height x width), {paths[0]} is {first[0]} x {first[1]}; "
                "pass size=(height, width) to resize all"
            )
    chosen: Mode = mode or ("L" if all_grey else "RGB")
    return (1 if chosen == "L" else 3, *(size or first)), chosen


def _pixels(path: Path, shape: tuple[int, int, int], mode: Mode, resize: bool) -> NDArray[np.uint8]:
    """Return uint8 [C, H, W]."""
    channels, height, width = shape
    with opened_image(str(path), path) as image:
        converted = image.convert(mode)
        if resize and converted.size != (width, height):
            converted = converted.resize((width, height), BILINEAR)
        pixels = as_planes(converted, channels)
    if pixels.shape != shape:
        raise DataError(f"{path}: changed its size while the folder was read; try again when nothing writes to it")
    return pixels
