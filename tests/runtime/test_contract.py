"""Python's view of contract.h against the compiler's, and the header against its own rules."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import Any

import cffi
import numpy as np
import pytest

from strop.hls import SOURCE_FOLDER, contract
from strop.runtime import _kernel
from strop.runtime import contract as contract_module
from strop.runtime.contract import (
    COMMAND,
    OPCODE_NAMES,
    REGISTER_OFFSETS,
    REPORT,
    SITE,
    SLOT,
    STATISTICS,
    STATUS_NAMES,
    C,
    Registers,
)

HEADER = SOURCE_FOLDER / "contract.h"
STRUCTS = {
    "strop_command": (COMMAND, 256),
    "strop_site": (SITE, 32),
    "strop_channel_statistics": (STATISTICS, 16),
    "strop_slot": (SLOT, 64),
    "strop_report": (REPORT, 32),
}


def named(prefix: str) -> dict[str, int]:
    """Return the constants whose names begin with `prefix`, without it."""
    return {name[len(prefix) :]: value for name, value in vars(C).items() if name.startswith(prefix)}


@pytest.mark.parametrize("name", STRUCTS)
def test_structs_are_as_the_compiler_laid_them_out(name: str) -> None:
    """Protects every byte that crosses over: sizes, names, offsets and kinds are those of the compiled kernel."""
    dtype, nbytes = STRUCTS[name]
    assert dtype.itemsize == nbytes == _kernel.ffi.sizeof(name)
    compiled = dict(_kernel.ffi.typeof(name).fields)
    assert dtype.fields is not None
    assert list(dtype.fields) == list(compiled)
    end = 0
    for field, (kind, offset, *_) in dtype.fields.items():
        assert offset == end == compiled[field].offset, f"{name}.{field}: a gap before it"
        assert offset % kind.base.alignment == 0, f"{name}.{field}: not naturally aligned"
        element = compiled[field].type.item if kind.shape else compiled[field].type
        assert np.dtype(element.cname.removesuffix("_t")) == kind.base
        end = offset + kind.itemsize
    assert end == nbytes


def test_constants_are_those_of_the_compiled_kernel() -> None:
    """Protects against a second list of numbers: each #define has the value that the compiler saw."""
    defined = re.findall(r"#\s*define\s+STROP_(\w+)\s", contract())
    assert len(defined) > 80
    assert set(defined) == vars(C).keys()
    assert {name: getattr(_kernel.lib, f"STROP_{name}") for name in defined} == vars(C)


def test_the_kernel_reports_the_versions_of_the_header() -> None:
    """Protects the check of hardware against host: contract << 16 | numerics."""
    assert _kernel.lib.strop_emulator_version() == C.CONTRACT_VERSION << 16 | C.NUMERICS_VERSION


def test_an_unknown_constant_names_the_header() -> None:
    """Protects the reader of a typing mistake."""
    with pytest.raises(AttributeError, match=r"contract\.h defines no STROP_MAX_BATHC"):
        _ = C.MAX_BATHC


def test_hidden_padding_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the rule "no implicit padding": a struct with a gap cannot be imported."""
    gapped: Any = cffi.FFI()
    gapped.cdef("typedef struct gapped { uint8_t a; uint32_t b; } gapped;")
    monkeypatch.setattr(contract_module, "_ffi", gapped)
    with pytest.raises(ImportError, match="gapped has hidden padding"):
        contract_module._struct_dtype("gapped")


def test_every_opcode_and_status_has_a_name() -> None:
    """Protects error messages, and opcodes against holes and doubles."""
    assert sorted(OPCODE_NAMES) == list(range(C.OP_COUNT))
    assert len(set(OPCODE_NAMES.values())) == C.OP_COUNT
    assert OPCODE_NAMES[C.OP_L1BN_FORWARD] == "l1bn_forward"
    assert STATUS_NAMES == {value: name.lower() for name, value in named("STATUS_").items()}
    assert sorted(STATUS_NAMES) == list(range(len(STATUS_NAMES)))


def test_flags_are_distinct_bits() -> None:
    """Protects flags that are combined."""
    flags = sorted(named("FLAG_").values())
    assert flags == [1 << bit for bit in range(len(flags))]


def test_registers_do_not_overlap() -> None:
    """Protects the register map: HLS gives a 64-bit argument two words and a gap, and a 32-bit one a word and a gap."""
    registers = named("REG_")
    assert len(set(registers.values())) == len(registers)
    offsets = sorted(offset for offset in registers.values() if offset >= 0x10)
    wide = {offset for name, offset in registers.items() if name.startswith("ARENA_")}
    assert offsets[0] == 0x10  # below it lies the block-level control of HLS
    for offset, following in zip(offsets, offsets[1:], strict=False):
        assert following - offset == (12 if offset in wide else 8)
    assert list(REGISTER_OFFSETS) == [field.name for field in fields(Registers)]
    assert set(REGISTER_OFFSETS.values()) == set(offsets[4:-1]), "all but the arena's addresses and the version"


def test_int32_sums_hold_the_longest_reduction_and_not_one_more() -> None:
    """Protects the limit that keeps accumulators from overflowing (NUMERICS.md 1.9)."""
    widest = max(127 * 127, 254 << C.STATISTIC_FRACTION)
    assert C.MAX_REDUCTION * widest < 2**31 <= (C.MAX_REDUCTION + 1) * widest


def test_the_header_holds_only_definitions_and_structs() -> None:
    """Protects its three readers: integers by #define, structs of fixed-width integers, and nothing else."""
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(encoding="utf-8"), flags=re.DOTALL)
    text = re.sub(r"\\\n\s*", "", text)  # a definition on two lines
    allowed = (
        r"#ifndef STROP_CONTRACT_H",
        r"#define STROP_CONTRACT_H",
        r"#endif",
        r"#include <stdint\.h>",
        r"#define STROP_[A-Z0-9_]+ (0x[0-9A-F]+|\d+)",
        r"typedef struct strop_\w+ \{",
        r"u?int(32|64)_t \w+(\[\d+\])?;",
        r"\} strop_\w+;",
    )
    strange = [
        line
        for line in map(str.strip, text.splitlines())
        if line and not any(re.fullmatch(pattern, line) for pattern in allowed)
    ]
    assert strange == []


def test_the_header_is_plain_c99(tmp_path: Path) -> None:
    """Protects the readers that are stricter than g++: a C compiler takes it without a warning."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc on this machine")
    source = tmp_path / "reader.c"
    source.write_text('#include "contract.h"\nstrop_command command;\n', encoding="utf-8")
    strict = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Wpadded", "-pedantic", "-Werror", "-fsyntax-only"]
    done = subprocess.run([*strict, "-I", str(SOURCE_FOLDER), str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
