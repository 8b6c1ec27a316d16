"""The top function's arguments, whose names become registers and ports of the hardware."""

from __future__ import annotations

import re

from hdl_keywords import SYSTEM_VERILOG, VHDL
from strop.hls import SOURCE_FOLDER


def test_no_argument_is_a_keyword_of_the_hardwares_languages() -> None:
    """Protects the register names: Vitis HLS appends _r to a keyword, and the driver would not know its own .hwh."""
    declared = (SOURCE_FOLDER / "kernel.hpp").read_text(encoding="utf-8")
    (arguments,) = re.findall(r"void strop_kernel\((.*?)\);", declared, flags=re.DOTALL)
    names = re.findall(r"(\w+)(?:,|$)", arguments.replace("\n", " "))
    assert len(names) == 13
    assert set(names) & (VHDL | SYSTEM_VERILOG) == set()
    assert {"report", "program", "signal"} <= VHDL | SYSTEM_VERILOG
