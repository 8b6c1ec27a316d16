"""The kernel's registers: every one of the contract, under the name that the tool gives it."""

from __future__ import annotations

import re

import pytest

from strop.hls import SOURCE_FOLDER
from strop.overlay.registers import (
    CONTROL,
    KERNEL_NAME,
    KERNEL_VLNV,
    OUTPUTS,
    Register,
    contract_offsets,
    contract_versions,
    registers,
)
from strop.runtime.contract import C

KERNEL = (SOURCE_FOLDER / "kernel.hpp").read_text(encoding="utf-8")


def arguments() -> dict[str, str]:
    """Return name: type of the top function's arguments, as the kernel declares them."""
    signature = re.search(rf"void {KERNEL_NAME}\((.*?)\);", KERNEL, re.DOTALL)
    assert signature is not None
    return {
        name: f"{kind.strip()}{star}"
        for kind, star, name in re.findall(r"((?:const )?\w+)\s+(\*?)(\w+)(?:,|$)", signature[1])
    }


def test_offsets_are_the_contracts() -> None:
    """Protects against a second reading of contract.h: cffi and this parser must agree on every register."""
    found = contract_offsets()
    assert found == {name[4:]: getattr(C, name) for name in dir(C) if name.startswith("REG_")}
    assert len(found) > len(CONTROL)
    assert contract_versions() == (C.CONTRACT_VERSION, C.NUMERICS_VERSION)


def test_each_argument_of_the_kernel_has_its_register() -> None:
    """Protects names and kinds: addresses and outputs are told apart by name here, by type in the kernel."""
    declared = arguments()
    assert set(declared) == {name.lower() for name in contract_offsets() if name not in CONTROL}
    pointers = {name for name, kind in declared.items() if kind.endswith("*")}
    assert {name for name in pointers if not name.startswith("arena_")} == set(OUTPUTS)
    names = {register.name for register in registers(64)}
    for name in declared:
        if name in pointers - set(OUTPUTS):
            assert {f"{name}_1", f"{name}_2"} <= names and name not in names
        else:
            assert name in names


def test_registers_look_as_the_tool_makes_them() -> None:
    """Protects the names that PYNQ reads from an .hwh: block-level control, halves of addresses, an output's valid."""
    wide = {register.name: register for register in registers(64)}
    offset = C.REG_ARENA_MAPS
    assert wide["arena_maps_1"] == Register("arena_maps_1", offset, "write-only")
    assert wide["arena_maps_2"] == Register("arena_maps_2", offset + 4, "write-only")
    assert wide["version"] == Register("version", C.REG_VERSION, "read-only")
    assert wide["version_ctrl"] == Register("version_ctrl", C.REG_VERSION + 4, "read-only")
    assert [wide[name].offset for name in ("CTRL", "GIER", "IP_IER", "IP_ISR")] == [0, 4, 8, 12]
    narrow = {register.name: register for register in registers(32)}
    assert narrow["arena_maps"] == Register("arena_maps", offset, "write-only")
    assert len(wide) - len(narrow) == 4 and "arena_maps_2" not in narrow


@pytest.mark.parametrize("address_bits", [32, 64])
def test_no_two_registers_share_a_word(address_bits: int) -> None:
    """Protects the contract's gaps: HLS would move a register that lacks room, and go on."""
    offsets = [register.offset for register in registers(address_bits)]
    assert offsets == sorted(set(offsets))
    assert all(offset % 4 == 0 for offset in offsets)


def test_other_address_widths_are_refused() -> None:
    """Protects against a map for a kernel that nobody builds."""
    with pytest.raises(ValueError, match="address_bits is 48; allowed: 32.*64"):
        registers(48)


def test_the_kernels_name_is_the_top_function() -> None:
    """Protects the VLNV that drivers bind to."""
    assert KERNEL_VLNV == "strop:hls:strop_kernel:1.0"
    assert f"void {KERNEL_NAME}(" in KERNEL
