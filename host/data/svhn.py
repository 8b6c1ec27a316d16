"""SVHN, cropped digits (Netzer et al., 2011): train_32x32.mat, test_32x32.mat, extra_32x32.mat. Needs scipy.

X is uint8 [32, 32, 3, count] (height, width, colour), y [count, 1] with labels 1 to 10, of which 10 is the digit 0.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from strop.host.data.bounded import DEFAULT_MAX_BYTES, check_claim
from strop.host.data.dataset import Dataset, Split, check_split
from strop.host.data.matlab import matlab_variables, read_matlab
from strop.runtime.errors import DataError

CLASSES = tuple("0123456789")
MOST_LABEL_BYTES = 8  # MATLAB's own numbers are float64


def is_svhn(path: Path) -> bool:
    """Return whether `path` is a MATLAB file, or a folder that holds one of SVHN's names."""
    if path.is_file():
        return path.suffix.lower() == ".mat"
    return any((path / f"{split}_32x32.mat").is_file() for split in ("train", "test"))


def load_svhn(
    path: str | Path, split: Split = "train", *, max_bytes: int = DEFAULT_MAX_BYTES, name: str | None = None
) -> Dataset:
    """Return SVHN's digits, 3 x 32 x 32, from a folder with train_32x32.mat and test_32x32.mat, or from one such file.

    A file by itself (such as extra_32x32.mat) has no splits: it serves as "train" and "all". Raises DataError for what
    is missing, damaged or no SVHN, and where scipy is not installed.
    """
    path = Path(path)
    check_split(split)
    if path.is_dir():
        if split == "all":
            raise DataError(f'{path}: SVHN has the splits "train" and "test"')
        file = path / f"{split}_32x32.mat"
    else:
        if split == "test":
            raise DataError(f"{path}: one file has no test split; name the folder that holds test_32x32.mat")
        file = path
    _check_variables(file, max_bytes)
    arrays = read_matlab(file, ("X", "y"))
    pixels, labels = arrays["X"], np.asarray(arrays["y"]).reshape(-1)
    if pixels.dtype != np.uint8 or labels.dtype.kind not in "iuf" or (labels != np.floor(labels)).any():
        raise DataError(f"{file}: X must be uint8 and y whole numbers, got {pixels.dtype} and {labels.dtype}")
    bad = (labels < 1) | (labels > 10)
    if bad.any():
        raise DataError(f"{file}: y[{int(bad.argmax())}] is {labels[bad.argmax()]:g}; SVHN's labels are 1 to 10")
    images = np.ascontiguousarray(pixels.reshape(32, 32, 3, -1).transpose(3, 2, 0, 1))
    images.flags.writeable = False
    digits = (labels.astype(np.int32) % 10).astype(np.int32)
    return Dataset.from_arrays(images, digits, classes=CLASSES, name=name or f"svhn/{file.stem}", layout="NCHW")


def _check_variables(file: Path, max_bytes: int) -> None:
    """Raise DataError unless the file declares X and y as SVHN's are, in sizes that can be read."""
    shapes: dict[str, tuple[int, ...]] = matlab_variables(file)
    images, labels = shapes.get("X"), shapes.get("y")
    if images is None or labels is None:
        raise DataError(f"{file}: holds {', '.join(shapes) or 'nothing'}; SVHN's files hold X and y")
    if len(images) == 3:
        images = (*images, 1)  # MATLAB drops a last dimension of 1
    if len(images) != 4 or images[:3] != (32, 32, 3):
        raise DataError(f"{file}: X has the shape {list(images)}; SVHN's cropped digits are [32, 32, 3, count]")
    if math.prod(labels) != images[3] or not images[3]:
        raise DataError(
            f"{file}: {images[3]} images with {math.prod(labels)} labels; there must be one label per image"
        )
    claimed = math.prod(images) + MOST_LABEL_BYTES * images[3]
    check_claim(str(file), claimed, max_bytes, file.stat().st_size)
