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
_ACTIVATION = {"activation": (C.ACTIVATION_NONE, C.ACTIVATION_RELU)}
_EXPONENT = {"exponent": (0, C.MAX_EXPONENT)}
_L1BN = {**_ACTIVATION, **_BATCH, **_OUT, **_EXPONENT}
_POOL = {**_BATCH, **_IN, **_OUT_SIZE, **_WINDOW}
_UPSAMPLE = {**_BATCH, **_IN, **_OUT_SIZE, "stride_h": (1, C.MAX_STRIDE), "stride_w": (1, C.MAX_STRIDE)}
_MAP = {**_BATCH, **_IN}
_LOSS = {**_BATCH, "channels_out": (1, C.MAX_CLASSES)}
_ROWS = {"rows": (1, 2**31 - 1), "columns": (1, 2**31 - 1)}
_VIEW = {name: _CONVOLUTION[name] for name in ("channels_in", "channels_out", "kernel_h", "kernel_w", "groups")}

_ALLOWED: dict[int, dict[str, tuple[int, int]]] = {
    C.OP_INPUT: {**_MAP, **_OUT_SIZE},
    C.OP_CONV_FORWARD: _CONVOLUTION,
    C.OP_CONV_INPUT_GRADIENT: _CONVOLUTION,
    C.OP_CONV_WEIGHT_GRADIENT: _CONVOLUTION,
    C.OP_L1BN_FORWARD: _L1BN,
    C.OP_L1BN_BACKWARD: _L1BN,
    C.OP_MAX_POOL_FORWARD: _POOL,
    C.OP_MAX_POOL_BACKWARD: _POOL,
    C.OP_GLOBAL_AVERAGE_POOL_FORWARD: {**_MAP, "exponent": (0, C.MAX_POOL_GAIN)},
    C.OP_GLOBAL_AVERAGE_POOL_BACKWARD: _MAP,
    C.OP_FLATTEN: _MAP,
    C.OP_UNFLATTEN: _MAP,
    C.OP_SOFTMAX_CROSS_ENTROPY: _LOSS,
    C.OP_SGD: _ROWS,
    C.OP_WEIGHT_VIEW: {**_VIEW, **_ROWS},
    C.OP_ADD_FORWARD: _L1BN,
    C.OP_ADD_BACKWARD: {**_ACTIVATION, **_BATCH, **_OUT},
    C.OP_ACTIVATION_FORWARD: {**_BATCH, **_OUT, **_EXPONENT},
    C.OP_ACTIVATION_BACKWARD: {**_BATCH, **_OUT},
    C.OP_AVERAGE_POOL_FORWARD: _POOL,
    C.OP_AVERAGE_POOL_BACKWARD: _POOL,
    C.OP_ADD_GRADIENT: {**_BATCH, **_OUT},
    C.OP_ELASTIC_PULL: {**_ROWS, "rows": (1, 1)},
    C.OP_UPSAMPLE_FORWARD: _UPSAMPLE,
    C.OP_UPSAMPLE_BACKWARD: _UPSAMPLE,
    C.OP_SIGMOID_CROSS_ENTROPY: _LOSS,
    C.OP_SQUARED_ERROR: _LOSS,
}
_CONVOLUTIONS = (C.OP_CONV_FORWARD, C.OP_CONV_INPUT_GRADIENT, C.OP_CONV_WEIGHT_GRADIENT)
_NOT_TRANSPOSED = C.FLAG_PIXELS | C.FLAG_LOGITS | C.FLAG_BIAS | C.FLAG_FLAT
_NORMS = (C.OP_L1BN_FORWARD, C.OP_L1BN_BACKWARD)
_TAKE_PIXELS = (C.OP_INPUT, C.OP_CONV_FORWARD, C.OP_CONV_WEIGHT_GRADIENT, C.OP_SGD, C.OP_WEIGHT_VIEW)
_WITH_PIXELS = {"channels_in": (1, C.MAX_PIXEL_CHANNELS), "groups": (1, 1)}
_UPSAMPLES = (C.OP_UPSAMPLE_FORWARD, C.OP_UPSAMPLE_BACKWARD)
_POOLS_WHOLE_MAP = (C.OP_GLOBAL_AVERAGE_POOL_FORWARD, C.OP_GLOBAL_AVERAGE_POOL_BACKWARD)


def word_beyond_limit(command: Any) -> int | None:
    """Return the index of a word that its opcode uses and the contract does not allow, or None.

    Words that are wrong by themselves come first, the lowest of them; then those that contradict others.
    """
    opcode, flags = int(command["opcode"]), int(command["flags"])
    pixels = bool(flags & C.FLAG_PIXELS)
    if flags & C.FLAG_TRANSPOSED and (opcode not in _CONVOLUTIONS or flags & _NOT_TRANSPOSED):
        return _index("flags")
    if pixels and opcode not in _TAKE_PIXELS:
        return _index("flags")
    if flags & C.FLAG_FIXED and flags & (C.FLAG_RUNNING | C.FLAG_SOFT):
        return _index("flags")
    allowed = dict(_ALLOWED[opcode])
    if opcode == C.OP_SGD and flags & C.FLAG_VIEW:
        allowed |= _VIEW
    if pixels:
        allowed |= {name: bounds for name, bounds in _WITH_PIXELS.items() if name in allowed}
        allowed |= {"columns": (0, C.MAX_KERNEL - 1)} if opcode == C.OP_INPUT else {}
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
    if "kernel_h" in allowed and "stride_h" in allowed:
        yield "pad_top", c["pad_top"] >= c["kernel_h"]
        yield "pad_left", c["pad_left"] >= (1 if c["flags"] & C.FLAG_PIXELS else c["kernel_w"])
        for (pad, size_in, size_out), stride in zip(axes, ("stride_h", "stride_w"), strict=True):
            yield size_out, (c[size_out] - 1) * c[stride] >= c[size_in] + c[pad]
    for (_, size_in, size_out), stride in zip(axes, ("stride_h", "stride_w"), strict=True):
        yield size_out, opcode in _UPSAMPLES and c[size_out] != c[size_in] * c[stride]
    for size in ("height_out", "width_out"):
        yield size, opcode == C.OP_CONV_FORWARD and bool(c["flags"] & C.FLAG_LOGITS) and c[size] != 1
    if "groups" in allowed:
        yield "groups", bool(c["channels_in"] % c["groups"] or c["channels_out"] % c["groups"])
        taps = c["kernel_h"] * c["kernel_w"]
        per_input, per_output = (c[name] // c["groups"] * taps for name in ("channels_in", "channels_out"))
        if "rows" in allowed:
            yield "rows", c["rows"] != c["channels_out"]
            yield "columns", c["columns"] != per_input
    if opcode in (*_CONVOLUTIONS, *_NORMS):
        yield "batch", c["batch"] * c["height_out"] * c["width_out"] > C.MAX_REDUCTION
    if opcode in _CONVOLUTIONS:
        yield "channels_in", per_input > C.MAX_REDUCTION
        yield "channels_out", per_output > C.MAX_REDUCTION


def _index(name: str) -> int:
    fields = COMMAND.fields
    assert fields is not None
    return int(fields[name][1]) // 4
