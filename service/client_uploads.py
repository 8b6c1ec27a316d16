"""What the client sends: images as base64, data sets as .npz, files as streams."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from strop.host.data import Dataset
from strop.runtime.errors import DataError, InputError

FORMATS = {".npz": "npz", ".zip": "zip"}
IN_MEMORY = 1 << 20  # a larger data set is packed into a file

Image: TypeAlias = "NDArray[np.uint8] | bytes | str | Path"  # as text: old numpy has no | for its arrays


def encode_image(image: Image) -> str:
    """Return an image as the API takes it: base64 of uint8 pixels [C, H, W], or of a PNG or JPEG file's bytes."""
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8:
            raise InputError(f"images must be uint8 pixels, got {image.dtype}")
        content = image.tobytes()
    elif isinstance(image, bytes):
        content = image
    else:
        content = _read(Path(image).expanduser())
    return base64.b64encode(content).decode()


def format_of(path: Path) -> str:
    """Return the format of a file of data, by its name."""
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise InputError(f"{path}: allowed are {', '.join(FORMATS)}, or a Dataset (strop.host.load_dataset reads more)")
    return found


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file to stream. Raises DataError where it cannot be read."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    with file:
        yield file


@contextmanager
def packed(dataset: Dataset) -> Iterator[IO[bytes]]:
    """Give a data set as an .npz file. The same samples give the same bytes, which the service then has only once."""
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as file:
        np.savez_compressed(file, images=dataset.images, labels=dataset.labels, classes=np.array(dataset.classes))
        file.seek(0)
        yield file


def _read(path: Path) -> bytes:
    with opened(path) as file:
        return file.read()


def given(**words: Any) -> dict[str, Any]:
    """Return what is not None."""
    return {name: value for name, value in words.items() if value is not None}
