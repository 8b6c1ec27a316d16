"""The cost model of one batch-normalization layer, forward and backward: Table IV of Wu et al., TNNLS 2018.

Counts are functions of m, the values of a channel in a mini-batch, and c, the channels. Costs are of one operation in
the paper's synthesis for SMIC 0.13 um; the paper prints them for float32 and int8 only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Norm = Literal["l1", "l2"]
OPERATIONS = ("sign", "abs", "add", "sub", "mul", "div", "square", "sqrt")


@dataclass(frozen=True)
class NormLayer:
    """A batch-normalization layer: channels, and the values that each has in a mini-batch (m)."""

    channels: int
    values: int


@dataclass(frozen=True)
class Cost:
    """Of one operation: time in ns, power in uW, area in um^2."""

    time_ns: float
    power_uw: float
    area_um2: float


def _rows(times: tuple[float, ...], powers: tuple[float, ...], areas: tuple[float, ...]) -> dict[str, Cost]:
    return {name: Cost(*cost) for name, *cost in zip(OPERATIONS, times, powers, areas, strict=True)}


COSTS = {
    "float32": _rows(
        (0.00, 0.71, 43.00, 43.00, 35.83, 99.49, 27.23, 99.50),
        (0.00, 0.01, 29.50, 29.60, 97.20, 254.00, 39.10, 59.00),
        (0.00, 3.39, 8095, 8097, 19625, 36387, 11539, 11280),
    ),
    "int8": _rows(
        (0.00, 3.47, 5.25, 5.45, 11.46, 24.90, 8.54, 7.60),
        (0.00, 0.59, 0.77, 0.87, 9.55, 5.90, 3.64, 0.82),
        (0.00, 256, 272, 306, 2319, 1762, 1241, 277),
    ),
}


def operation_counts(norm: Norm, layer: NormLayer) -> dict[str, int]:
    """Return how often Table IV has each of `OPERATIONS` in one forward and backward pass of `layer`."""
    c, mc = layer.channels, layer.channels * layer.values
    of_l2 = norm == "l2"
    counts = (
        0 if of_l2 else mc,
        0 if of_l2 else mc,
        5 * mc + c,
        2 * mc,
        (4 if of_l2 else 3) * mc + 2 * c,
        2 * c,
        mc if of_l2 else 0,
        c if of_l2 else 0,
    )
    return dict(zip(OPERATIONS, counts, strict=True))


def costs_of(number_type: str) -> dict[str, Cost]:
    """Return the cost of each operation. Raises ValueError for a type that Table IV has no rows for."""
    if number_type not in COSTS:
        raise ValueError(f"Table IV has no costs for {number_type!r}; it has them for {', '.join(COSTS)}")
    return COSTS[number_type]


def time_ns(norm: Norm, number_type: str, layers: Iterable[NormLayer]) -> float:
    """Return the time of all operations of `layers`, one after the other, in ns."""
    costs = costs_of(number_type)
    return sum(n * costs[name].time_ns for layer in layers for name, n in operation_counts(norm, layer).items())


def energy_fj(norm: Norm, number_type: str, layers: Iterable[NormLayer]) -> float:
    """Return the energy of all operations of `layers`, each its time by its power, in fJ."""
    costs = costs_of(number_type)
    return sum(
        n * costs[name].time_ns * costs[name].power_uw
        for layer in layers
        for name, n in operation_counts(norm, layer).items()
    )
