"""Arithmetic that operations share: NUMERICS 1.1 primitives, 1.4 shift control, 1.5 dither. Exact, in int64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from strop.runtime.contract import C

Integers: TypeAlias = NDArray[np.int64]
Whole: TypeAlias = int | Integers


def rsh(x: Integers, s: Whole) -> Integers:
    """Return x * 2^-s rounded half up, s clipped to [-16, 62]; s broadcasts against x."""
    clipped = np.clip(np.asarray(s, np.int64), -16, 62)
    right, left = np.maximum(clipped, 0), np.maximum(-clipped, 0)
    half = (np.int64(1) << right) >> 1  # 0 where nothing is shifted out
    result: Integers = ((x + half) >> right) << left
    return result


def rdiv(a: Whole, b: Whole) -> Integers:
    """Return a / b, b > 0, rounded half up; numpy's floor division rounds down for negative a too."""
    dividend, divisor = np.asarray(a, np.int64), np.asarray(b, np.int64)
    result: Integers = (2 * dividend + divisor) // (2 * divisor)
    return result


def sat(x: Integers) -> Integers:
    """Clamp to [-127, 127], what an int8 element may hold."""
    return np.clip(x, -127, 127)


def sat32(x: Integers) -> Integers:
    """Clamp to [-(2^31 - 1), 2^31 - 1], what an int32 of the state may hold."""
    return np.clip(x, -(2**31 - 1), 2**31 - 1)


def bitlen(n: int) -> int:
    """Return the number of bits of n >= 0; 0 for 0."""
    return int(n).bit_length()


def bitlens(n: Integers) -> Integers:
    """Return `bitlen` of each element, 0 <= n < 2^53."""
    return np.frexp(n.astype(np.float64))[1].astype(np.int64)  # n = f * 2^e with f in [1/2, 1)


def advance_dither(counter: int) -> int:
    """Return the dither counter (uint32) after the draw of one command; its offset is the upper half (1.5)."""
    return (counter * C.DITHER_MULTIPLIER + C.DITHER_INCREMENT) % 2**32


def dither(counter: int, shape: tuple[int, ...]) -> Integers:
    """Return the 16-bit dither r of every element of a tensor of `shape`, in C order, for an advanced counter (1.5)."""
    index = np.arange(int(np.prod(shape)), dtype=np.int64)
    result: Integers = (((counter >> 16) + index) * C.DITHER_STEP) & 0xFFFF
    return result.reshape(shape)


def dsh(x: Integers, s: int, r: Integers) -> Integers:
    """Return x * 2^-s, s >= 0, rounded up or down by the dither r of each element."""
    if s == 0:
        return x
    d = r >> (16 - s) if s <= 16 else r << (s - 16)
    result: Integers = (x + d) >> s
    return result


@dataclass(frozen=True)
class Site:
    """The shift of one requantization and what controls it: the words of strop_site."""

    set: int
    next: int
    used: int
    over: int
    half: int
    reference: int = 0


def control(site: Site, v: Integers, rate_log2: int, exponent: int | None = None) -> tuple[int, Site]:
    """Return the shift for the tensor v (values before the shift), and the site for the next step (1.4).

    The control holds the share of saturated elements near 2^-rate_log2. `exponent` is what an error arrived with.
    """
    magnitude = np.abs(v)
    if not site.set:
        s = max(0, bitlen(int(magnitude.max())) - 7)
    elif exponent is None:
        s = site.next
    else:
        s = min(max(site.next + exponent - site.reference, 0), C.MAX_SHIFT)
    limit = 127 << s
    over = int(np.count_nonzero(magnitude > limit))
    half = int(np.count_nonzero(magnitude > limit >> 1))
    tolerated = v.size >> rate_log2
    if not site.set:
        following = s
    elif over > tolerated:
        following = min(s + 1, C.MAX_SHIFT)
    elif half <= tolerated and s > 0:
        following = s - 1
    else:
        following = s
    return s, Site(1, following, s, over, half, exponent or 0)
