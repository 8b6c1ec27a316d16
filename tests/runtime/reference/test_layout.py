"""Packed maps and weight views against the contract's own formulas, counted byte by byte in memory_layout.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from memory_layout import Region
from strop.runtime.reference import layout

few = settings(max_examples=80, deadline=None)
map_shapes = st.tuples(st.integers(1, 11), st.integers(1, 40), st.integers(1, 4), st.integers(1, 6))


def values_of(shape: tuple[int, ...]) -> NDArray[np.int8]:
    """Return an array in which every element differs from its neighbours, and none is 0."""
    return (np.arange(np.prod(shape)) % 127 + 1).astype(np.int8).reshape(shape)


def placed(kind: str, values: NDArray[np.int8], groups: int = 1) -> NDArray[np.int8]:
    """Return the bytes that the formulas give."""
    region = Region("tensor", values.shape, np.dtype(np.int8), True, True, False, kind, groups)
    plane = region.plane_bytes(0)
    memory = np.full(region.nbytes(plane), 0x5A, np.uint8)
    region.put(memory, 0, plane, values)
    assert np.array_equal(region.take(memory, 0, plane), values)
    return memory.view(np.int8)


@few
@given(shape=map_shapes)
def test_feature_maps(shape: tuple[int, int, int, int]) -> None:
    """Protects quads, image groups and the zeros that fill them."""
    values = values_of(shape)
    words = layout.pack_map(values)
    assert words.shape == layout.map_words(*shape)
    assert np.array_equal(words.ravel(), placed("map", values))
    assert np.array_equal(layout.unpack_map(words, *shape[:2]), values)


@few
@given(shape=map_shapes)
def test_pixel_maps(shape: tuple[int, int, int, int]) -> None:
    """Protects the four pixels of a word, and the zeros right of the map."""
    values = values_of(shape)
    words = layout.pack_pixels(values)
    assert words.shape == layout.pixel_words(*shape)
    assert np.array_equal(words.ravel(), placed("pixels", values))
    assert np.array_equal(layout.unpack_pixels(words, shape[1]), values)


@few
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(1, 5))
def test_weight_views(groups: int, per_input: int, per_output: int, r: int, s: int) -> None:
    """Protects merged groups: which quad of an output channel holds which of its weights, and zeros for the others."""
    w8 = values_of((groups * per_output, per_input, r, s))
    view = layout.pack_weights(w8, groups, pixels=False)
    assert view.shape == layout.view_shape(w8.shape, groups, pixels=False)
    assert np.array_equal(view.ravel(), placed("view", w8, groups))
    assert np.array_equal(layout.unpack_weights(view, w8.shape, groups, pixels=False), w8)


@few
@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 5), st.integers(1, 15))
def test_pixel_views(k: int, channels: int, r: int, s: int) -> None:
    """Protects rows of taps that fill no whole word."""
    w8 = values_of((k, channels, r, s))
    view = layout.pack_weights(w8, 1, pixels=True)
    assert view.shape == layout.view_shape(w8.shape, 1, pixels=True)
    assert np.array_equal(view.ravel(), placed("pixel view", w8))
    assert np.array_equal(layout.unpack_weights(view, w8.shape, 1, pixels=True), w8)


@pytest.mark.parametrize(
    ("channels_in", "channels_out", "groups", "depth"),
    [
        (16, 16, 16, 1),  # depthwise: four groups are a quad
        (3, 3, 3, 1),  # no four there: all groups at once
        (6, 12, 6, 1),  # one channel to two: four groups again
        (12, 6, 6, 2),  # two channels to one: four groups for whole quads out, two quads in
        (8, 4, 2, 2),  # whole quads in, half a quad out
        (8, 8, 2, 1),  # whole quads as they are
        (12, 8, 4, 3),  # three channels to two
        (10, 7, 1, 3),
    ],
)
def test_depth_of_merged_groups(channels_in: int, channels_out: int, groups: int, depth: int) -> None:
    """Protects the number of quads by hand-counted cases."""
    assert layout.view_shape((channels_out, channels_in // groups, 3, 2), groups, pixels=False)[1] == depth


def test_a_view_by_hand() -> None:
    """Protects the order of a small view: two groups of one channel to one, merged into one quad."""
    w8 = np.array([7, 9], np.int8).reshape(2, 1, 1, 1)
    assert layout.pack_weights(w8, 2, pixels=False).ravel().tolist() == [7, 0, 0, 0, 0, 9, 0, 0]
