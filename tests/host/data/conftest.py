"""Writers of small files, and a meter of memory. The writers share no code with strop's readers."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray


def _idx_bytes(array: NDArray[Any], type_code: int = 8) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, type_code, array.ndim, *array.shape) + array.tobytes()


def _write_idx(path: Path, array: NDArray[Any]) -> Path:
    data = _idx_bytes(array)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def _write_idx_folder(folder: Path, train: int = 7, test: int = 4, side: int = 5, suffix: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, count, classes in (("train", train, 3), ("t10k", test, 2)):
        images = np.repeat(np.arange(count, dtype=np.uint8), side * side).reshape(count, side, side)
        _write_idx(folder / f"{prefix}-images-idx3-ubyte{suffix}", images)
        _write_idx(folder / f"{prefix}-labels-idx1-ubyte{suffix}", (np.arange(count) % classes).astype(np.uint8))
    return folder


@contextmanager
def _at_most(limit_bytes: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit_bytes, f"took {peak} bytes, allowed are {limit_bytes}"


@pytest.fixture(scope="session")
def idx_bytes() -> Callable[..., bytes]:
    """`idx_bytes(array, type_code=8)`: an array as the bytes of an idx file."""
    return _idx_bytes


@pytest.fixture(scope="session")
def write_idx() -> Callable[[Path, NDArray[Any]], Path]:
    """`write_idx(path, array)`: write an idx file, gzipped if its name ends in .gz."""
    return _write_idx


@pytest.fixture(scope="session")
def write_idx_folder() -> Callable[..., Path]:
    """`write_idx_folder(folder, train=7, test=4, side=5, suffix="")`: a folder with MNIST's file names.

    Image i is filled with i; label i is i % 3 in the training set and i % 2 in the test set, which so lacks class 2.
    """
    return _write_idx_folder


@pytest.fixture(scope="session")
def at_most() -> Callable[[int], AbstractContextManager[None]]:
    """`with at_most(n):` fails where the block's peak of allocated memory (Python's and numpy's) reaches n bytes."""
    return _at_most
