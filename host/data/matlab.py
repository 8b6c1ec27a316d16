"""Variables of MATLAB 5 files (.mat) by scipy, an optional dependency; its errors come out as DataError."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from strop.runtime.errors import DataError

SCIPY_ERRORS = (  # what scipy raises on damaged bytes
    OSError, EOFError, ValueError, TypeError, LookupError, ArithmeticError, MemoryError, NotImplementedError,
    AttributeError, struct.error, zlib.error,
)  # fmt: skip


def matlab_variables(path: Path) -> dict[str, tuple[int, ...]]:
    """Return name and shape of each variable, from their headers alone. Raises DataError."""
    with _scipy_io(path) as scipy_io:
        return {str(name): tuple(map(int, shape)) for name, shape, _ in scipy_io.whosmat(str(path), appendmat=False)}


def read_matlab(path: Path, names: Sequence[str], **options: Any) -> dict[str, Any]:
    """Return the variables `names`, as scipy.io.loadmat makes them with `options`. Raises DataError if one lacks.

    Look at `matlab_variables` first: a few compressed bytes can declare a large array.
    """
    with _scipy_io(path) as scipy_io:
        found = scipy_io.loadmat(str(path), variable_names=list(names), appendmat=False, **options)
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(f"{path}: holds no variable {', '.join(missing)}; restore the file")
    return {name: found[name] for name in names}


@contextmanager
def _scipy_io(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        import scipy.io
        from scipy.io.matlab import MatReadError
    except ImportError as error:
        raise DataError(f"{path}: reading MATLAB files needs scipy; pip install scipy, or 'strop[datasets]'") from error
    try:
        yield scipy.io
    except (MatReadError, *SCIPY_ERRORS) as error:
        raise DataError(
            f"{path}: cannot be read as a MATLAB 5 file: {str(error) or type(error).__name__}; restore the file"
        ) from error
