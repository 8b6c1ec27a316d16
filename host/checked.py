"""Arguments of the wrong type, told at the door: each function returns what it was given, or raises `InputError`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from strop.host.data.dataset import Dataset
from strop.runtime.device import Device, open_device
from strop.runtime.errors import InputError

MAX_THREADS = 1 << 16  # no machine has as many; a device may allow fewer


def whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Return an integer (numpy's too) from `least` to `most`."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < least:
        raise InputError(f"{name} is {value!r}; it is a whole number, at least {least}")
    if most is not None and int(value) > most:
        raise InputError(f"{name} is {value!r}; allowed: {least} to {most}")
    return int(value)


def real(name: str, value: Any) -> float:
    """Return a number (numpy's too) as a float."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InputError(f"{name} is {value!r}; it is a number")
    return float(value)


def layer_names(names: Any) -> frozenset[str]:
    """Return the names of frozen layers."""
    if isinstance(names, str):
        raise InputError(f'frozen is the single string {names!r}; pass a list of layer names, as ["{names}"]')
    found = tuple(names) if isinstance(names, Iterable) else None
    if found is None or not all(isinstance(name, str) for name in found):
        raise InputError(f"frozen is {names!r}; it is a list of layer names, as ['conv1'], and empty for none")
    return frozenset(found)


def class_count(classes: Any) -> int:
    """Return how many classes a number of them, or their names, stand for."""
    if isinstance(classes, (tuple, list)) and all(isinstance(name, str) for name in classes):
        return len(classes)
    if isinstance(classes, (str, tuple, list)) or not hasattr(classes, "__index__"):
        raise InputError(f"classes is {classes!r}; it is a tuple of names, or how many there are")
    return whole("classes", classes, 2)


def data_set(dataset: Any, what: str) -> Dataset:
    """Return a `Dataset`."""
    if not isinstance(dataset, Dataset):
        raise InputError(
            f"{what} is of type {type(dataset).__name__}; expected a Dataset: make one by Dataset.from_arrays(images, "
            "labels), or by load_dataset(name or path)"
        )
    return dataset


def pixels(images: ArrayLike) -> NDArray[Any]:
    """Return images as an array [n, C, H, W]; whether dtype and sizes fit a network is not looked at."""
    try:
        array = np.asarray(images)
    except (ValueError, TypeError) as error:
        raise InputError(f"images must be one array, uint8 [n, channels, height, width]: {error}") from error
    if array.ndim != 4:
        raise InputError(
            f"images must be uint8 [n, channels, height, width], got {array.dtype} {list(array.shape)}; for a single "
            "image pass image[np.newaxis]"
        )
    return array


def file_path(path: Any) -> Path:
    """Return a file's path."""
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise InputError(f"{path!r} is no path of a file; pass a string or a pathlib.Path")
    return Path(path)


def not_a_source(target: Path, *sources: str | Path) -> Path:
    """Return the path of a file to write; InputError where it is one of the files that it is made of, by any name."""
    for source in sources:
        path = Path(source).expanduser()
        if target.exists() and path.exists() and os.path.samefile(target, path):
            raise InputError(f"{target} is {source} itself, which is read for it; name another file to write")
    return target


def device_of(device: Any, threads: Any) -> Device:
    """Return an open device as it is, and open one that is named. Raises what `open_device` does, too."""
    if not isinstance(device, str):
        if not all(hasattr(device, name) for name in ("allocate", "write", "read", "run", "close")):
            raise InputError(
                f'device is {device!r}; pass "auto", "board", "emulator", "reference", or what open_device returned'
            )
        found: Device = device
        return found
    return open_device(device, None if threads is None else whole("threads", threads, 1, MAX_THREADS))
