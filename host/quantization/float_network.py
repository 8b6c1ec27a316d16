"""A float network in strop's own layers: what every import goes through, and what int8 is made of.

Batch normalization in inference is y = scale * x + shift, with scale = gamma / sqrt(var + eps) and shift = beta - scale
* mean; a convolution with a bias has scale 1. Which mean and deviation L1BN normalizes by is found by calibration
(host/quantization).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strop.runtime.graph import NetworkGraph

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FloatNetwork:
    """`graph` with float parameters, of images as strop reads them: a pixel p is max(p - 128, -127) / 128.

    weights: by layer with weights, in the shape of its state. scales, shifts: [K] by L1BN, of what it reads. bias: of
    the last layer. notes: where it is not quite what was imported, in words; empty where it is the same function.
    """

    graph: NetworkGraph
    weights: Mapping[str, Floats]
    scales: Mapping[str, Floats]
    shifts: Mapping[str, Floats]
    bias: Floats
    notes: tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        """How many numbers the network has learnt."""
        parts = (*self.weights.values(), *self.scales.values(), *self.shifts.values(), self.bias)
        return sum(part.size for part in parts)
