"""What calibration images show of a float network: the means and deviations of L1BN, ranges of activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strop.host.quantization.float_forward import Maps, float_logits
from strop.host.quantization.float_network import FloatNetwork, Floats
from strop.runtime.contract import C
from strop.runtime.errors import InputError
from strop.runtime.graph import L1BN, TABLES, GlobalAveragePool, Node, Residual

TOLERATED_RATE = 2.0**-C.PRE_NORM_RATE_LOG2  # of values that a grid may cut, as the control of shifts has it
_LARGEST = 127.5  # of an int8 grid's steps


@dataclass(frozen=True, eq=False)
class Calibration:
    """means, deviations: of what each L1BN reads, float64 [K]; a deviation is the mean distance from the mean, Eq. 11.

    exponents: by node whose output has a grid of its own, the largest (up to 8) that cuts at most 2^-11 of its values.
    logits: float32 [n, classes], of the calibration images.
    """

    means: Mapping[str, Floats]
    deviations: Mapping[str, Floats]
    exponents: Mapping[str, int]
    logits: NDArray[np.float32]


def calibrate(network: FloatNetwork, images: NDArray[np.uint8]) -> Calibration:
    """Measure `network` on images uint8 [n, C, H, W], twice: deviations need the means.

    Raises `InputError` where more than 2^-11 of a map's values lie beyond the widest grid, that of exponent 0.
    """
    first = _Sums(None)
    logits = float_logits(network, images, first.watch)
    means = first.means()
    second = _Sums(means)
    float_logits(network, images, second.watch)
    return Calibration(means, second.means(), second.exponents(network), logits)


class _Sums:
    """Sums over the channels of what L1BN reads: of values, or of distances from `around` and, then, of ranges."""

    def __init__(self, around: Mapping[str, Floats] | None) -> None:
        self._around = around
        self._sums: dict[str, Floats] = {}
        self._counts: dict[str, int] = {}
        self._cut: dict[str, NDArray[np.int64]] = {}
        self._sizes: dict[str, int] = {}
        self._largest: dict[str, float] = {}

    def watch(self, node: Node, sources: tuple[Maps, ...], given: Maps) -> None:
        """Add what one part of the images gives."""
        if isinstance(node.layer, L1BN):
            x = sources[0]
            if self._around is not None:
                x = np.abs(x - self._around[node.name].astype(np.float32)[:, None, None])
            self._sums[node.name] = self._sums.get(node.name, 0.0) + x.sum(axis=(0, 2, 3), dtype=np.float64)
            self._counts[node.name] = self._counts.get(node.name, 0) + x[:, 0].size
        if self._around is not None:
            magnitude = np.abs(given)
            limits = [_LARGEST * 2.0**-e for e in range(_FINEST + 1)]
            found = np.array([np.count_nonzero(magnitude > limit) for limit in limits], np.int64)
            self._cut[node.name] = self._cut.get(node.name, 0) + found
            self._sizes[node.name] = self._sizes.get(node.name, 0) + given.size
            self._largest[node.name] = float(np.maximum(self._largest.get(node.name, 0.0), magnitude.max()))

    def means(self) -> dict[str, Floats]:
        """Return the mean of each channel."""
        return {name: total / self._counts[name] for name, total in self._sums.items()}

    def exponents(self, network: FloatNetwork) -> dict[str, int]:
        """Return the exponents; those of an L1BN and a sum by what their ReLU gives, if one follows."""
        graph, found = network.graph, {}
        for node in graph.nodes:
            if isinstance(node.layer, (L1BN, Residual, GlobalAveragePool, *TABLES)):
                readers = graph.readers(node.name)
                seen = readers[0].name if len(readers) == 1 and readers[0].layer.kind == "relu" else node.name
                found[node.name] = self._exponent(seen, graph.name)
        return found

    def _exponent(self, seen: str, network: str) -> int:
        allowed = self._cut[seen] <= TOLERATED_RATE * self._sizes[seen]
        if not (allowed.any() and np.isfinite(self._largest[seen])):
            raise InputError(
                f"{seen} of {network} gives values up to {self._largest[seen]:.4g}, and {self._cut[seen][0]:,} of "
                f"{self._sizes[seen]:,} beyond {_LARGEST - 0.5:g}, the most that int8 holds here; at most "
                f"{TOLERATED_RATE:.2%} may be cut: divide the weights and the bias of the layer before it and multiply "
                "the weights of the layer behind it, check mean, std and scale, or train with batch normalization"
            )
        return int(np.flatnonzero(allowed)[-1])


_FINEST = C.MAX_EXPONENT + C.MAX_POOL_GAIN
