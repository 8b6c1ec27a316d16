"""`hls/contract.h` as Python sees it: its constants, and numpy dtypes of its structs. There is no second list.

The header is parsed by cffi without a compiler, so this works wherever Python does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cffi
import numpy as np

from strop.hls import contract

_ffi: Any = cffi.FFI()
_ffi.cdef(contract())
_lib: Any = _ffi.dlopen(None)


class _Constants:
    """The header's `#define STROP_X` as the attribute `X`."""

    def __init__(self) -> None:
        for name in dir(_lib):
            value = getattr(_lib, name)
            if isinstance(value, int):
                setattr(self, name.removeprefix("STROP_"), value)

    def __getattr__(self, name: str) -> int:
        raise AttributeError(f"contract.h defines no STROP_{name}")


C = _Constants()


def _struct_dtype(name: str) -> np.dtype[Any]:
    """Return the packed numpy dtype of a struct of the header. Hidden padding is an error: no reader may guess it."""
    kind = _ffi.typeof(name)
    fields: list[Any] = []
    for field_name, field in kind.fields:
        element: Any = field.type
        shape: tuple[int, ...] = ()
        if element.kind == "array":
            element, shape = element.item, (element.length,)
        fields.append((field_name, np.dtype(element.cname.removesuffix("_t")), shape))
    dtype = np.dtype(fields)
    if dtype.itemsize != _ffi.sizeof(name):
        raise ImportError(
            f"contract.h: {name} has hidden padding ({_ffi.sizeof(name)} bytes, its fields {dtype.itemsize})"
        )
    return dtype


COMMAND = _struct_dtype("strop_command")
SITE = _struct_dtype("strop_site")
STATISTICS = _struct_dtype("strop_channel_statistics")
SLOT = _struct_dtype("strop_slot")
REPORT = _struct_dtype("strop_report")

OPCODE_NAMES = {
    value: name[3:].lower() for name, value in vars(C).items() if name.startswith("OP_") and name != "OP_COUNT"
}
STATUS_NAMES = {value: name[7:].lower() for name, value in vars(C).items() if name.startswith("STATUS_")}


@dataclass(frozen=True)
class Registers:
    """What a start of the kernel is given; all offsets are bytes in the arena. `REGISTER_OFFSETS` says where."""

    program: int
    commands: int
    steps: int
    slots: int
    slot_stride: int
    slot_count: int
    first_slot: int
    report: int


# Where each field of `Registers` goes: byte offsets in the kernel's register block.
REGISTER_OFFSETS = {
    "program": C.REG_PROGRAM_AT,
    "commands": C.REG_COMMANDS,
    "steps": C.REG_STEPS,
    "slots": C.REG_SLOTS,
    "slot_stride": C.REG_SLOT_STRIDE,
    "slot_count": C.REG_SLOT_COUNT,
    "first_slot": C.REG_FIRST_SLOT,
    "report": C.REG_REPORT_AT,
}
