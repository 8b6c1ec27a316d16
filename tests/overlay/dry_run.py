"""Runs the Vivado scripts in a Tcl interpreter against the mock of Vivado's commands (vivado_mock.tcl).

`python3 tests/overlay/dry_run.py BOARD` does so for a person, where strop can be imported, and prints what the scripts
would build.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from strop.overlay.boards import BOARDS, BoardSpec, tcl_dictionary
from strop.overlay.registers import KERNEL_VLNV, registers

HERE = Path(__file__).resolve().parent
SCRIPTS = HERE.parents[1] / "overlay" / "vivado"
CATALOG = (
    "xilinx.com:ip:processing_system7:5.5",
    "xilinx.com:ip:zynq_ultra_ps_e:3.4",
    "xilinx.com:ip:zynq_ultra_ps_e:3.5",
    "xilinx.com:ip:smartconnect:1.0",
    "xilinx.com:ip:proc_sys_reset:5.0",
    "xilinx.com:ip:axi_intc:4.1",
    KERNEL_VLNV,
)
ROUTED = """Design Route Status
   # of logical nets.......................... :        1200 :
       # of nets not needing routing.......... :         200 :
       # of routable nets..................... :        1000 :
           # of fully routed nets............. :        1000 :
       # of nets with routing errors.......... :           0 :
"""
USED_ZYNQ7 = """| Slice LUTs                 | 31415 |     0 |          0 |     53200 | 59.05 |
| Slice Registers            | 27182 |     0 |          0 |    106400 | 25.55 |
| Block RAM Tile    | 99.5 |     0 |          0 |       140 | 71.07 |
| DSPs           |  161 |     0 |          0 |       220 | 73.18 |
"""
USED_ZYNQMP = """| CLB LUTs*                  | 31415 |     0 |          0 |    230400 | 13.63 |
| CLB Registers              | 27182 |     0 |          0 |    460800 |  5.90 |
| Block RAM Tile    | 99.5 |     0 |          0 |       312 | 31.89 |
| URAM              |   48 |     0 |          0 |        96 | 50.00 |
| DSPs      |  161 |     0 |          0 |      1728 |  9.32 |
"""


@dataclass
class DryRun:
    """What a run of the scripts did. Records are the fields of the mock's lines, by their first field."""

    folder: Path
    succeeded: bool
    error: str
    output: str
    records: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)

    def calls(self) -> list[str]:
        """Return the names of the Vivado commands called, in order."""
        return [record[0] for record in self.records.get("call", [])]

    def project(self) -> dict[str, str]:
        """Return the project's properties."""
        return {record[0]: record[1] for record in self.records["project"]}

    def settings(self, cell: str) -> dict[str, str]:
        """Return a cell's settings, without CONFIG."""
        return {name: value for owner, name, value in self.records["setting"] if owner == cell}


def scenario(board: BoardSpec) -> dict[str, object]:
    """Return a Vivado in which all goes well: the board's files are installed and timing is met."""
    high = max(0, board.dram_mbytes - 2048) << 20
    # presets ask for another clock than the table does, and that of Zynq UltraScale+ for another PLL, too, and for a
    # master that nothing uses
    presets = {
        "zynq7": ("PCW_FPGA0_PERIPHERAL_FREQMHZ", 50),
        "zynqmp": (
            *("PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ", 100, "PSU__CRL_APB__PL0_REF_CTRL__SRCSEL", "RPLL"),
            *("PSU__USE__M_AXI_GP1", 1),
        ),
    }
    return {
        "version": board.vivado,
        "catalog": CATALOG,
        "board_parts": ("xilinx.com:zcu102:part0:3.4", board.board_part),
        "preset": presets[board.family],
        "products": "beside",
        "high_dram": high,
        "address_bits": board.address_bits,
        "clock_ratio": 1.0,
        "registers": [
            part
            for register in registers(board.address_bits)
            for part in (register.name, register.offset, register.access)
        ],
        "setup_slack": 0.123,
        "hold_slack": 0.021,
        "pulse_width_slack": 1.5,
        "route_report": ROUTED,
        "no_clock": 0,
        "unconstrained": 0,
        "utilization_report": USED_ZYNQ7 if board.family == "zynq7" else USED_ZYNQMP,
    }


def dry_run(
    board: BoardSpec, folder: Path, scripts: Path = SCRIPTS, component: str = "component.xml", **changes: object
) -> DryRun:
    """Run the scripts for a board in an empty folder. Further keyword arguments replace entries of `scenario`.

    component: where in the IP's folder its description stands.
    """
    tclsh = shutil.which("tclsh")
    if tclsh is None:
        raise FileNotFoundError("tclsh is not installed; on Debian and Ubuntu: sudo apt-get install tcl")
    ip = folder / "ip"
    description = ip / component
    description.parent.mkdir(parents=True)
    description.write_text("<xilinx:xilinxVersion>2024.1</xilinx:xilinxVersion>\n", encoding="utf-8")
    (folder / "board.tcl").write_text(tcl_dictionary(board), encoding="utf-8")
    (folder / "scenario.tcl").write_text(tcl_list(scenario(board) | changes), encoding="utf-8")
    built = folder / "built"
    record = folder / "record.txt"
    ran = subprocess.run(
        [tclsh, HERE / "vivado_mock.tcl", folder / "scenario.tcl", record, scripts / "build.tcl"]
        + ["board.tcl", "ip", "built"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    result = DryRun(built, ran.returncode == 0, ran.stderr, ran.stdout)
    if record.exists():
        for line in record.read_text(encoding="utf-8").splitlines():
            kind, *fields = line.split("\t")
            result.records.setdefault(kind, []).append(tuple(fields))
    return result


def tcl_list(table: dict[str, object]) -> str:
    """Return a table as a Tcl dictionary; no value of it may hold an unpaired brace or a backslash."""
    return _tcl_words([part for pair in table.items() for part in pair])


def _tcl_words(values: list[object] | tuple[object, ...]) -> str:
    return " ".join(
        "{" + (_tcl_words(value) if isinstance(value, list | tuple) else str(value)) + "}" for value in values
    )


def main() -> int:
    """Run one board's scripts and print the block design that they make."""
    parser = argparse.ArgumentParser(description="run the Vivado scripts against a mock: nothing is synthesized")
    parser.add_argument("board", choices=list(BOARDS))
    board = BOARDS[parser.parse_args().board]
    with tempfile.TemporaryDirectory() as folder:
        ran = dry_run(board, Path(folder))
    for kind in ("cell", "setting", "interface", "net", "segment"):
        for record in ran.records.get(kind, []):
            print(kind, *record)
    print(f"dry run for {board.title} against a mock of Vivado: {'passed' if ran.succeeded else ran.error.strip()}")
    print("Nothing was synthesized.")
    return 0 if ran.succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
