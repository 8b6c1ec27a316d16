"""Anchors of the elastic pull (NUMERICS.md 1.13): where each parameter is held, and how firmly.

After a task a host keeps the masters as anchors, and as importances how much each parameter mattered there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.runtime.errors import InputError
from strop.runtime.state import StateLayout

MAX_IMPORTANCE = 31  # 2^-31 of the distance


def check_anchors(
    layout: StateLayout, anchors: Mapping[str, NDArray[Any]], importances: Mapping[str, NDArray[Any]]
) -> None:
    """Raise `InputError` unless both hold every parameter of `layout`, by name, in its shape.

    anchors: int32, with the fraction bits of the masters. importances: uint8, 0 for no pull, else k of 2^-k, 1 to 31.
    """
    for what, given, dtype in (("anchors", anchors, np.int32), ("importances", importances, np.uint8)):
        missing, unknown = sorted(set(layout.parameters) - given.keys()), sorted(given.keys() - set(layout.parameters))
        if missing or unknown:
            raise InputError(
                f"{what}: missing {missing or 'nothing'}, unknown {unknown or 'nothing'}; all of the network's "
                f"parameters are needed: {', '.join(layout.parameters)}"
            )
        for name, array in given.items():
            shape = layout.tensors[name].shape
            if array.dtype != dtype or array.shape != shape:
                raise InputError(
                    f"{what} of {name} are {array.dtype}{list(array.shape)}; expected "
                    f"{np.dtype(dtype)}{list(shape)}, one for each value"
                )
    for name, array in importances.items():
        if array.max() > MAX_IMPORTANCE:
            raise InputError(
                f"importances of {name} reach {int(array.max())}; allowed: 0, which pulls nothing, or k of 1 to "
                f"{MAX_IMPORTANCE}, which pulls by 2^-k of the distance from the anchor"
            )
