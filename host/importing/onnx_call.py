"""One node of an ONNX graph as the operators' functions see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.host.importing.builder import Builder, Traced
from strop.host.importing.errors import Unsupported
from strop.host.importing.operations import Floats, Pair


@dataclass(frozen=True, eq=False)
class Call:
    """One node: its inputs, values or constants (None where an optional one is left out), and its attributes."""

    builder: Builder
    inputs: Sequence[Traced | NDArray[Any] | None]
    attributes: Mapping[str, Any]
    opset: int

    @property
    def x(self) -> Traced:
        """The first input, which depends on the images."""
        return self.value(0)

    def value(self, index: int) -> Traced:
        """Return an input that depends on the images."""
        found = self.inputs[index] if index < len(self.inputs) else None
        if not isinstance(found, Traced):
            raise Unsupported(f"its input {index + 1} is a constant, where images are expected", "swap its inputs")
        return found

    def constant(self, index: int) -> NDArray[Any] | None:
        """Return a constant input, or None where there is none."""
        found = self.inputs[index] if index < len(self.inputs) else None
        if isinstance(found, Traced):
            raise Unsupported(f"its input {index + 1} depends on the images", "strop's layers have fixed parameters")
        return found

    def needed(self, index: int) -> Floats:
        """Return a constant input that must be there, as float64."""
        found = self.constant(index)
        if found is None:
            raise Unsupported(f"its input {index + 1} is missing", "the file is damaged; export it again")
        if found.dtype.kind not in "fiu":
            raise Unsupported(f"its parameters are {found.dtype}", "export them as float32")
        return found.astype(np.float64)

    def number(self, name: str, default: float) -> float:
        """Return a float or int attribute."""
        found = self.attributes.get(name)
        return default if found is None else (found.f if found.type == 1 else found.i)

    def whole(self, name: str, default: int) -> int:
        """Return an int attribute."""
        return int(self.number(name, default))

    def text(self, name: str, default: str) -> str:
        """Return a string attribute."""
        found = self.attributes.get(name)
        return default if found is None else found.s.decode("utf-8", "replace")

    def numbers(self, name: str) -> list[int] | None:
        """Return a list of ints."""
        found = self.attributes.get(name)
        return None if found is None else [int(v) for v in found.ints]


def pair(values: list[int] | None, default: Pair) -> Pair:
    """Return (height, width) of an attribute, or the default where it is left out."""
    if values is None:
        return default
    if len(values) != 2:
        raise Unsupported(f"it has {len(values)} dimensions", "strop's maps have two; use two-dimensional layers")
    return values[0], values[1]


def nchw(x: Traced) -> Traced:
    """Return a map whose channels come first."""
    if x.channels_last and x.rank == 4:
        raise Unsupported("it reads a map whose channels come last", "the file contradicts itself; export it again")
    return x
