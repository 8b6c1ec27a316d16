"""How feature maps and weight views lie in memory: contract.h, "Memory". From arrays to bytes and back; nothing else.

A map is an array [C, N, H, W]; its words are int8 [quads, image groups, H, W, 16, 4], those of a pixel map
[C, image groups, H, W, 16, 4]. Weights are an array [K, C/groups, R, S]; their view is int8 [K, D, R, S, 4], with
pixels [K, C, R, ceil(S/4), 4].
"""

from __future__ import annotations

from math import gcd
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from strop.runtime.contract import C

Shape = tuple[int, ...]
Bytes: TypeAlias = NDArray[np.int8]


def _up(count: int, unit: int) -> int:
    return -(-count // unit)


def _filled(values: NDArray[Any], lengths: dict[int, int]) -> Bytes:
    """Return `values` as int8 with zeros behind, so that the axes in `lengths` have these lengths."""
    filled = np.zeros([lengths.get(axis, length) for axis, length in enumerate(values.shape)], np.int8)
    filled[tuple(slice(length) for length in values.shape)] = values
    return filled


# ---- feature maps ----------------------------------------------------------------------------------------------------


def map_words(channels: int, batch: int, height: int, width: int) -> Shape:
    """Return the shape of a feature map's words."""
    return _up(channels, C.QUAD), _up(batch, C.IMAGE_GROUP), height, width, C.IMAGE_GROUP, C.QUAD


def pack_map(values: NDArray[Any]) -> Bytes:
    """Return the words of a map [C, N, H, W]; bytes of no channel and of no image are 0."""
    quads, groups, height, width, images, quad = map_words(*values.shape)
    full = _filled(values, {0: quads * quad, 1: groups * images})
    words: Bytes = full.reshape(quads, quad, groups, images, height, width).transpose(0, 2, 4, 5, 3, 1)
    return words


def unpack_map(words: Bytes, channels: int, batch: int) -> Bytes:
    """Return the map int8 [C, N, H, W] that lies in `words`."""
    quads, groups, height, width, images, quad = words.shape
    full = words.transpose(0, 5, 1, 4, 2, 3).reshape(quads * quad, groups * images, height, width)
    values: Bytes = full[:channels, :batch]
    return values


def pixel_words(channels: int, batch: int, height: int, width: int) -> Shape:
    """Return the shape of a pixel map's words."""
    return channels, _up(batch, C.IMAGE_GROUP), height, width, C.IMAGE_GROUP, C.QUAD


def pack_pixels(values: NDArray[Any]) -> Bytes:
    """Return the pixel map of [C, N, H, W]: byte j of a word is the pixel j to the right, 0 beyond the map."""
    channels, groups, height, width, images, quad = pixel_words(*values.shape)
    full = _filled(values, {1: groups * images, 3: width + quad})
    shifts = np.stack([full[..., j : j + width] for j in range(quad)], axis=-1)
    words: Bytes = shifts.reshape(channels, groups, images, height, width, quad).transpose(0, 1, 3, 4, 2, 5)
    return words


def unpack_pixels(words: Bytes, batch: int) -> Bytes:
    """Return the map int8 [C, N, H, W] of a pixel map: the first byte of every word."""
    channels, groups, height, width, images, _ = words.shape
    full = words[..., 0].transpose(0, 1, 4, 2, 3).reshape(channels, groups * images, height, width)
    values: Bytes = full[:, :batch]
    return values


# ---- weight views ----------------------------------------------------------------------------------------------------


def _channels_read(channels_in: int, channels_out: int, groups: int) -> tuple[NDArray[np.int64], int]:
    """Return for each output channel k, as [K, C/groups], the places in its quads of the channels it reads; and D."""
    per_in, per_out = channels_in // groups, channels_out // groups
    merged = 1
    if groups > 1:
        whole = max(
            C.QUAD // gcd(C.QUAD, per_in), C.QUAD // gcd(C.QUAD, per_out)
        )  # powers of two: the larger serves both
        merged = min(whole, groups)
    group = np.arange(channels_out) // per_out
    first_channel = group // merged * merged * per_in // C.QUAD * C.QUAD
    places = (group * per_in - first_channel)[:, None] + np.arange(per_in)
    return places, _up(merged * per_in, C.QUAD)


def view_shape(weights: Shape, groups: int, pixels: bool) -> Shape:
    """Return the shape of the view of weights [K, C/groups, R, S]."""
    k, per_group, r, s = weights
    if pixels:
        return k, per_group, r, _up(s, C.QUAD), C.QUAD
    return k, _channels_read(per_group * groups, k, groups)[1], r, s, C.QUAD


def pack_weights(w8: NDArray[Any], groups: int, pixels: bool) -> Bytes:
    """Return the view of w8 [K, C/groups, R, S]."""
    k, per_group, r, s = w8.shape
    shape = view_shape(w8.shape, groups, pixels)
    if pixels:
        taps: Bytes = _filled(w8, {3: shape[3] * C.QUAD}).reshape(shape)
        return taps
    places, depth = _channels_read(per_group * groups, k, groups)
    channels = np.zeros((k, depth * C.QUAD, r, s), np.int8)
    channels[np.arange(k)[:, None], places] = w8
    view: Bytes = channels.reshape(k, depth, C.QUAD, r, s).transpose(0, 1, 3, 4, 2)
    return view


def unpack_weights(view: Bytes, weights: Shape, groups: int, pixels: bool) -> Bytes:
    """Return int8 [K, C/groups, R, S], `weights`, from their view."""
    k, per_group, r, s = weights
    if pixels:
        taps: Bytes = view.reshape(k, per_group, r, -1)[..., :s]
        return taps
    places, depth = _channels_read(per_group * groups, k, groups)
    channels = view.transpose(0, 1, 4, 2, 3).reshape(k, depth * C.QUAD, r, s)
    w8: Bytes = channels[np.arange(k)[:, None], places]
    return w8
