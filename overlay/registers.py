"""The kernel's registers as Vitis HLS names them in an .hwh, made from the offsets in hls/contract.h.

An argument `steps` has the offset STROP_REG_STEPS. The tool splits a 64-bit address `arena_maps` into arena_maps_1
(low word) and arena_maps_2, and lets an output be followed by a `_ctrl` word with its valid bit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from strop.hls import contract

KERNEL_NAME = "strop_kernel"
KERNEL_VLNV = f"strop:hls:{KERNEL_NAME}:1.0"
CONTROL = {  # block-level control: the tool's own names
    "CONTROL": "CTRL",
    "GLOBAL_INTERRUPT": "GIER",
    "INTERRUPT_ENABLE": "IP_IER",
    "INTERRUPT_STATUS": "IP_ISR",
}
OUTPUTS = ("version",)
_ADDRESS = "arena_"  # arguments of this name are addresses


@dataclass(frozen=True)
class Register:
    """One 32-bit register: its name in an .hwh, byte offset, and access ("read-write", "read-only" or "write-only")."""

    name: str
    offset: int
    access: str


def registers(address_bits: int) -> tuple[Register, ...]:
    """Return the registers of a kernel whose memory ports have addresses of 32 or 64 bits, by offset."""
    if address_bits not in (32, 64):
        raise ValueError(f"address_bits is {address_bits}; allowed: 32 (Zynq-7000) and 64 (Zynq UltraScale+)")
    made = []
    for name, offset in contract_offsets().items():
        if name in CONTROL:
            made.append(Register(CONTROL[name], offset, "read-write"))
            continue
        argument = name.lower()
        if argument in OUTPUTS:
            made += [Register(argument, offset, "read-only"), Register(f"{argument}_ctrl", offset + 4, "read-only")]
        elif argument.startswith(_ADDRESS) and address_bits == 64:
            made += [Register(f"{argument}_{word + 1}", offset + 4 * word, "write-only") for word in range(2)]
        else:
            made.append(Register(argument, offset, "write-only"))
    return tuple(sorted(made, key=lambda register: register.offset))


def contract_offsets() -> dict[str, int]:
    """Return NAME: byte offset for each STROP_REG_NAME of the contract."""
    found = re.findall(r"^\s*#define STROP_REG_(\w+)\s+(0[xX][0-9A-Fa-f]+|\d+)\s*$", contract(), re.MULTILINE)
    return {name: int(value, 0) for name, value in found}


def contract_versions() -> tuple[int, int]:
    """Return (contract version, numerics version) of hls/contract.h."""
    found = dict(re.findall(r"^\s*#define STROP_(CONTRACT|NUMERICS)_VERSION\s+(\d+)\s*$", contract(), re.MULTILINE))
    return int(found["CONTRACT"]), int(found["NUMERICS"])
