"""Random commands for the equality tests, as in op_cases: average pooling, upsampling, activations by table."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from op_cases import Case, batches, counters, exponents, generators, int8_tensors, shape_of, windows
from strop.runtime.contract import C


@st.composite
def plain_windows(draw: st.DrawFn) -> dict[str, int]:
    """Draw windows side by side, as most networks have them: those of 2x2 and of 2^n have loops of their own."""
    fields: dict[str, int] = {}
    for size, window, stride, out in (
        ("height_in", "kernel_h", "stride_h", "height_out"),
        ("width_in", "kernel_w", "stride_w", "width_out"),
    ):
        fields[window] = fields[stride] = draw(st.just(2) | st.integers(1, C.MAX_STRIDE))
        fields[out] = draw(st.integers(1, 9) | st.sampled_from([40, 130]))
        fields[size] = fields[out] * fields[window] + draw(st.integers(0, fields[window] - 1))
    if fields["height_in"] * fields["width_in"] > 3000:
        fields |= {"height_in": fields["kernel_h"], "height_out": 1}
    return {**fields, "pad_top": 0, "pad_left": 0}


@st.composite
def average_pools(draw: st.DrawFn) -> Case:
    """Draw AVERAGE_POOL_FORWARD or _BACKWARD: windows side by side, overlapping, with gaps, with padding."""
    shape = draw(plain_windows() if draw(st.booleans()) else windows(inside=True))
    f = {**shape, "channels_in": draw(st.integers(1, 11)), "batch": draw(batches)}
    f["flags"] = draw(st.sampled_from([0, C.FLAG_EXPONENT_PER_ROW]))
    count = f["channels_in"] if f["flags"] else 1
    backward = draw(st.booleans())
    sizes = ("height_out", "width_out") if backward else ("height_in", "width_in")
    inputs: dict[str, Any] = {
        "source": draw(int8_tensors(*shape_of(f, "channels_in", "batch", *sizes))),
        "source_exponent": draw(st.lists(exponents, min_size=count, max_size=count)),
        "dither": draw(counters),
    }
    return C.OP_AVERAGE_POOL_BACKWARD if backward else C.OP_AVERAGE_POOL_FORWARD, f, inputs


@st.composite
def upsamplings(draw: st.DrawFn) -> Case:
    """Draw UPSAMPLE_FORWARD or _BACKWARD by any factors, also of maps wider than what is on chip."""
    f = {"channels_in": draw(st.integers(1, 11)), "batch": draw(batches), "height_in": draw(st.integers(1, 9))}
    f["width_in"] = draw(st.integers(1, 9) | st.sampled_from([33, 70, 150]))
    if f["width_in"] > 9:
        f |= {"height_in": draw(st.integers(1, 2)), "batch": draw(st.integers(1, 17))}
    for stride, size, out in (("stride_h", "height_in", "height_out"), ("stride_w", "width_in", "width_out")):
        f[stride] = draw(st.just(2) | st.integers(1, C.MAX_STRIDE))
        f[out] = f[size] * f[stride]
    backward = draw(st.booleans())
    sizes = ("height_out", "width_out") if backward else ("height_in", "width_in")
    source = draw(int8_tensors(*shape_of(f, "channels_in", "batch", *sizes)))
    inputs = {"source": source, "source_exponent": draw(exponents), "dither": draw(counters)}
    return C.OP_UPSAMPLE_BACKWARD if backward else C.OP_UPSAMPLE_FORWARD, f, inputs


@st.composite
def tables(draw: st.DrawFn) -> NDArray[np.int32]:
    """Draw the words of any table: values of int8, slopes of int16, and bits between them that must not matter."""
    rng = draw(generators)
    values = rng.integers(-127, 128, C.TABLE_WORDS)
    bits = draw(st.integers(0, 15))
    slopes = rng.integers(-(2**bits), 2**bits, C.TABLE_WORDS)
    if draw(st.integers(0, 3)) == 0:
        slopes = rng.choice(np.array([-(2**15), -256, 0, 256, 2**15 - 1]), C.TABLE_WORDS)
    words = slopes << 16 | rng.integers(0, 256, C.TABLE_WORDS) << 8 | (values & 0xFF)
    return words.astype(np.int64).astype(np.int32)


@st.composite
def activations(draw: st.DrawFn) -> Case:
    """Draw ACTIVATION_FORWARD or _BACKWARD by any table, of a map or of features."""
    side = st.just(1) if draw(st.booleans()) else st.integers(1, 13)
    f = {"channels_out": draw(st.integers(1, 40)), "height_out": draw(side), "width_out": draw(side)}
    f |= {"batch": draw(batches), "exponent": draw(st.integers(0, C.MAX_EXPONENT))}
    shape = shape_of(f, "channels_out", "batch", "height_out", "width_out")
    inputs: dict[str, Any] = {"source": draw(int8_tensors(*shape)), "table": draw(tables())}
    if draw(st.booleans()):
        return C.OP_ACTIVATION_FORWARD, f, inputs
    inputs |= {"source_2": draw(int8_tensors(*shape)), "source_exponent": draw(exponents), "dither": draw(counters)}
    return C.OP_ACTIVATION_BACKWARD, f, inputs
