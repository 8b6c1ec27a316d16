"""Which word of a command lies beyond the limits of contract.h: what STATUS_BAD_COMMAND reports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from strop.runtime.contract import COMMAND, C

_BATCH = {"batch": (1, C.MAX_BATCH)}
_IN = {"channels_in": (1, C.MAX_CHANNELS), "height_in": (1, C.MAX_SIDE), "width_in": (1, C.MAX_SIDE)}
_OUT = {"channels_out": (1, C.MAX_CHANNELS), "height_out": (1, C.MAX_SIDE), "width_out": (1, C.MAX_SIDE)}
_OUT_SIZE = {name: _OUT[name] for name in ("height_out", "width_out")}
_WINDOW = {
    "kernel_h": (1, C.MAX_KERNEL),
    "kernel_w": (1, C.MAX_KERNEL),
    "stride_h": (1, C.MAX_STRIDE),
    "stride_w": (1, C.MAX_STRIDE),
}
_CONVOLUTION = {
    **_BATCH,
    **_IN,
    **_OUT,
    **_WINDOW,
    "groups": (1, C.MAX_CHANNELS),
    "dilation_h": (1, 1),
    "dilation_w": (1, 1),
}
_L1BN = {
    "activation": (C.ACTIVATION_NONE, C.ACTIVATION_RELU),
    **_BATCH,
    **_OUT,
    "exponent": (0, C.MAX_EXPONENT),
}
_MAX_POOL = {**_BATCH, **_IN, **_OUT_SIZE, **_WINDOW}
_MAP = {**_BATCH, **_IN}

_ALLOWED: dict[int, dict[str, tuple[int, int]]] = {
    C.OP_INPUT: {**_MAP, **_OUT_SIZE},
    C.OP_CONV_FORWARD: _CONVOLUTION,
    C.OP_CONV_INPUT_GRADIENT: _CONVOLUTION,
    C.OP_CONV_WEIGHT_GRADIENT: _CONVOLUTION,
    C.OP_L1BN_FORWARD: _L1BN,
    C.OP_L1BN_BACKWARD: _L1BN,
    C.OP_MAX_POOL_FORWARD: _MAX_POOL,
    C.OP_MAX_POOL_BACKWARD: _MAX_POOL,
    C.OP_GLOBAL_AVERAGE_POOL_FORWARD: _MAP,
    C.OP_GLOBAL_AVERAGE_POOL_BACKWARD: _MAP,
    C.OP_FLATTEN: _MAP,
    C.OP_UNFLATTEN: _MAP,
    C.OP_SOFTMAX_CROSS_ENTROPY: {**_BATCH, "channels_out": (1, C.MAX_CLASSES)},
    C.OP_SGD: {"rows": (1, 2**31 - 1), "columns": (1, 2**31 - 1)},
    C.OP_WEIGHT_VIEW: {"rows": (1, 2**31 - 1), "columns": (1, 2**31 - 1)},
}
_POOLS_WHOLE_MAP = (C.OP_GLOBAL_AVERAGE_POOL_FORWARD, C.OP_GLOBAL_AVERAGE_POOL_BACKWARD)


def word_beyond_limit(command: Any) -> int | None:
    """Return the index of a word that its opcode uses and the contract does not allow, or None.

    Words that are wrong by themselves come first, the lowest of them; then those that contradict others.
    """
    if int(command["flags"]) & C.FLAG_TRANSPOSED:
        return _index("flags")
    allowed = _ALLOWED[int(command["opcode"])]
    wrong = [_index(name) for name, (low, high) in allowed.items() if not low <= int(command[name]) <= high]
    if wrong:
        return min(wrong)
    for name, contradicts in _contradictions(command, allowed):
        if contradicts:
            return _index(name)
    return None


def _contradictions(command: Any, allowed: dict[str, tuple[int, int]]) -> Iterator[tuple[str, bool]]:
    """Yield words that may contradict others, and whether they do, in the order in which they are reported."""
    c = {name: int(command[name]) for name in COMMAND.names or () if name != "reserved"}
    opcode = c["opcode"]
    yield "height_in", opcode in _POOLS_WHOLE_MAP and c["height_in"] * c["width_in"] > C.MAX_POOL_PLANE
    axes = (("pad_top", "height_in", "height_out"), ("pad_left", "width_in", "width_out"))
    for pad, size_in, size_out in axes:
        yield pad, opcode == C.OP_INPUT and c[pad] + c[size_in] > c[size_out]
    if "kernel_h" in allowed:
        yield "pad_top", c["pad_top"] >= c["kernel_h"]
        yield "pad_left", c["pad_left"] >= c["kernel_w"]
        for (pad, size_in, size_out), stride in zip(axes, ("stride_h", "stride_w"), strict=True):
            yield size_out, (c[size_out] - 1) * c[stride] >= c[size_in] + c[pad]
    if "groups" in allowed:
        yield "groups", bool(c["channels_in"] % c["groups"] or c["channels_out"] % c["groups"])
    if "groups" in allowed or "activation" in allowed:
        yield "batch", c["batch"] * c["height_out"] * c["width_out"] > C.MAX_REDUCTION
    if "groups" in allowed:
        taps = c["kernel_h"] * c["kernel_w"]
        yield "channels_in", c["channels_in"] // c["groups"] * taps > C.MAX_REDUCTION
        yield "channels_out", c["channels_out"] // c["groups"] * taps > C.MAX_REDUCTION


def _index(name: str) -> int:
    fields = COMMAND.fields
    assert fields is not None
    return int(fields[name][1]) // 4
