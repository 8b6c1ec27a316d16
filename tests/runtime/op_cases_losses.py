"""Random losses for the equality tests, as those of op_cases: any logits, exponents and targets."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from op_cases import Case, counters, generators, int32_tensors
from op_programs import slot_head
from strop.runtime.contract import C


@st.composite
def soft_targets(draw: st.DrawFn, classes: int, samples: int) -> NDArray[np.int32]:
    """Draw targets [K, N] of which those of a sample sum to 32768: spread evenly, unevenly, or all on one class."""
    spread = draw(st.sampled_from([0.0, 1.0, 30.0]))
    shares = np.exp(spread * draw(generators).normal(size=(classes, samples)))
    up_to = np.rint(32768 * np.cumsum(shares, axis=0) / shares.sum(axis=0)).astype(np.int32)
    return np.diff(up_to, axis=0, prepend=0).astype(np.int32)


@st.composite
def losses(draw: st.DrawFn) -> Case:
    """Draw SOFTMAX_CROSS_ENTROPY: any logits, ties among them, any exponent; labels or soft targets."""
    f = {"channels_out": draw(st.integers(1, 130)), "batch": draw(st.integers(1, 150))}
    f["flags"] = draw(st.sampled_from([0, C.FLAG_FIXED, C.FLAG_SOURCE_IN_SLOT]))
    if not f["flags"] & C.FLAG_FIXED:
        f["flags"] |= draw(st.sampled_from([0, C.FLAG_SOFT]))
    logits = draw(int32_tensors(f["channels_out"], f["batch"]))
    inputs = {
        "source": logits,
        "source_exponent": draw(st.integers(-10, 40)),
        "labels": draw(generators).integers(0, f["channels_out"], f["batch"]),
        "slot": slot_head(),
        "source_2": draw(soft_targets(f["channels_out"], f["batch"])),
        "dither": draw(counters),
    }
    return C.OP_SOFTMAX_CROSS_ENTROPY, f, inputs


@st.composite
def output_losses(draw: st.DrawFn) -> Case:
    """Draw SIGMOID_CROSS_ENTROPY or SQUARED_ERROR, in training or not: logits near targets or anywhere."""
    opcode = draw(st.sampled_from([C.OP_SIGMOID_CROSS_ENTROPY, C.OP_SQUARED_ERROR]))
    shape = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    flags = draw(st.sampled_from([0, C.FLAG_FIXED])) | draw(st.sampled_from([0, C.FLAG_SOURCE_IN_SLOT]))
    lowest = 0 if opcode == C.OP_SIGMOID_CROSS_ENTROPY else -32768
    targets = draw(generators).integers(lowest, 32769, shape)
    if draw(st.booleans()):  # as data have them
        targets = draw(generators).choice(np.array([lowest, 16383, 16384, 32768]), shape)
    exponent = draw(st.integers(-20, 60))
    logits = draw(int32_tensors(*shape))
    if draw(st.booleans()):
        exponent = draw(st.integers(8, 20))
        near = np.rint(targets * 2.0 ** (exponent - 15)) + draw(generators).integers(-40000, 40001, shape)
        logits = near.astype(np.int32)
    inputs = {
        "source": logits,
        "source_exponent": exponent,
        "source_2": targets,
        "slot": slot_head(),
        "dither": draw(counters),
    }
    return opcode, {"channels_out": shape[0], "batch": shape[1], "flags": flags}, inputs
