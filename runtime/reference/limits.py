"""Which word of a command lies beyond the limits of contract.h: what STATUS_BAD_COMMAND reports."""

from __future__ import annotations

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
_L1BN = {"activation": (C.ACTIVATION_NONE, C.ACTIVATION_RELU), **_BATCH, **_OUT}
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


def word_beyond_limit(command: Any) -> int | None:
    """Return the index of the first word that its opcode uses and the contract does not allow, or None."""
    if int(command["flags"]) & C.FLAG_TRANSPOSED:
        return _index("flags")
    allowed = _ALLOWED[int(command["opcode"])]
    wrong = [_index(name) for name, (low, high) in allowed.items() if not low <= int(command[name]) <= high]
    return min(wrong, default=None)


def _index(name: str) -> int:
    fields = COMMAND.fields
    assert fields is not None
    return int(fields[name][1]) // 4
