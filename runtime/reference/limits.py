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
_POOLS_WHOLE_MAP = (C.OP_GLOBAL_AVERAGE_POOL_FORWARD, C.OP_GLOBAL_AVERAGE_POOL_BACKWARD)


def word_beyond_limit(command: Any) -> int | None:
    """Return the index of the first word that its opcode uses and the contract does not allow, or None."""
    if int(command["flags"]) & C.FLAG_TRANSPOSED:
        return _index("flags")
    allowed = _ALLOWED[int(command["opcode"])]
    wrong = [_index(name) for name, (low, high) in allowed.items() if not low <= int(command[name]) <= high]
    if "kernel_h" in allowed:
        for padding, kernel in (("pad_top", "kernel_h"), ("pad_left", "kernel_w")):
            if int(command[padding]) >= max(1, int(command[kernel])):
                wrong.append(_index(padding))
    if "groups" in allowed and any(
        int(command[channels]) % max(1, int(command["groups"])) for channels in ("channels_in", "channels_out")
    ):
        wrong.append(_index("groups"))
    pools_whole_map = int(command["opcode"]) in _POOLS_WHOLE_MAP
    if pools_whole_map and int(command["height_in"]) * int(command["width_in"]) > C.MAX_POOL_PLANE:
        wrong.append(_index("height_in"))
    return min(wrong, default=None)


def _index(name: str) -> int:
    fields = COMMAND.fields
    assert fields is not None
    return int(fields[name][1]) // 4
