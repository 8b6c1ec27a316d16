"""The one board table: boards.json, which holds what hls/ does not know, joined with what hls/ knows.

`python3 -m strop.overlay.boards` prints it; `python3 -m strop.overlay.boards pynq-z2 --tcl` prints one board as a Tcl
dictionary, which is how the Vivado scripts learn of it.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from strop.overlay.hls_boards import BoardTableError, Budget, HlsBoard, hls_boards

TABLE = Path(__file__).resolve().parent / "boards.json"
WIDE_ROWS = 8  # from here on the kernel is built with STROP_WIDE_ARRAY=1; hls/boards.hpp asserts it


class UnknownBoard(ValueError):
    """No board of that name; the message lists the names."""


@dataclass(frozen=True)
class BoardSpec:
    """All that is known of a board before anything is built for it.

    hls_board is the row of hls/ whose kernel it takes, hls_name that row's STROP_BOARD. pynq is a requirement as pip
    writes it; image is the board's newest PYNQ image, vivado what that image's overlays were built with; pynq_names are
    values of the image's environment variable BOARD. `unverified` names fields that nobody has checked.
    """

    name: str
    title: str
    family: str  # "zynq7" or "zynqmp"
    family_title: str
    part: str
    board_part: str
    hls_board: str
    hls_name: str
    clock_mhz: int
    port_bytes: int  # of one memory port, a cycle
    dram_mbytes_second: int
    dram_mbytes: int
    mac_rows: int
    array_macs: int  # multiply-adds a cycle
    budget: Budget
    address_bits: int  # of the kernel's memory ports: m_axi_addr64 is 0 with 32, 1 with 64
    ps_ip: str
    ps_master: str  # AXI master of the PS that reaches the kernel's registers
    memory_ports: tuple[str, ...]  # AXI slaves of the PS that reach DRAM
    clock_pin: str
    reset_pin: str
    interrupt_pin: str
    kernel_base: int
    intc_base: int
    pynq: str
    image: str
    vivado: str
    pynq_names: tuple[str, ...]
    unverified: tuple[str, ...]

    @property
    def wide_array(self) -> bool:
        """Whether the kernel is built with STROP_WIDE_ARRAY=1."""
        return self.mac_rows >= WIDE_ROWS


_FAMILY_KEYS = {
    *("title", "ps_ip", "ps_master", "memory_ports", "clock_pin", "reset_pin", "interrupt_pin"),
    *("kernel_base", "intc_base", "address_bits"),
}
_BOARD_KEYS = {
    *("title", "family", "hls_board", "board_part", "pynq", "image", "vivado", "pynq_names", "unverified"),
}


def read_table(path: Path = TABLE) -> dict[str, BoardSpec]:
    """Return the boards of a table, by name. Raises BoardTableError where it names what does not exist."""
    known = hls_boards()
    table = json.loads(path.read_text(encoding="utf-8"))
    boards = {}
    for name, row in table["boards"].items():
        _demand_keys(path, name, row, _BOARD_KEYS)
        if row["family"] not in table["families"]:
            raise BoardTableError(
                f"{path.name}: {name} is of family {row['family']!r}; known: {list(table['families'])}"
            )
        family = table["families"][row["family"]]
        _demand_keys(path, row["family"], family, _FAMILY_KEYS)
        if row["hls_board"] not in known:
            raise BoardTableError(f"{path.name}: {name} takes the kernel of {row['hls_board']!r}; known: {list(known)}")
        wrong = set(row["unverified"]) - {field.name for field in fields(BoardSpec)}
        if wrong:
            raise BoardTableError(f"{path.name}: {name}: unverified names no fields: {sorted(wrong)}")
        boards[name] = _board_spec(name, row, family, known[row["hls_board"]])
    return boards


def _demand_keys(path: Path, name: str, row: dict[str, Any], keys: set[str]) -> None:
    if set(row) != keys:
        raise BoardTableError(
            f"{path.name}: {name} lacks {sorted(keys - set(row))} and has unknown {sorted(set(row) - keys)}"
        )


def _board_spec(name: str, row: dict[str, Any], family: dict[str, Any], kernel: HlsBoard) -> BoardSpec:
    return BoardSpec(
        name=name,
        title=row["title"],
        family=row["family"],
        family_title=family["title"],
        part=kernel.part,
        board_part=row["board_part"],
        hls_board=kernel.name,
        hls_name=kernel.hls_name,
        clock_mhz=kernel.clock_mhz,
        port_bytes=kernel.port_bytes,
        dram_mbytes_second=kernel.dram_mbytes_second,
        dram_mbytes=kernel.dram_mbytes,
        mac_rows=kernel.mac_rows,
        array_macs=kernel.array_macs,
        budget=kernel.budget,
        address_bits=family["address_bits"],
        ps_ip=family["ps_ip"],
        ps_master=family["ps_master"],
        memory_ports=tuple(family["memory_ports"]),
        clock_pin=family["clock_pin"],
        reset_pin=family["reset_pin"],
        interrupt_pin=family["interrupt_pin"],
        kernel_base=int(family["kernel_base"], 16),
        intc_base=int(family["intc_base"], 16),
        pynq=row["pynq"],
        image=row["image"],
        vivado=row["vivado"],
        pynq_names=tuple(row["pynq_names"]),
        unverified=tuple(row["unverified"]),
    )


BOARDS: dict[str, BoardSpec] = read_table()


def board(name: str) -> BoardSpec:
    """Return a board by its name in this table. Raises UnknownBoard, which lists the names."""
    if name not in BOARDS:
        raise UnknownBoard(f"there is no board {name!r}; known boards: {', '.join(BOARDS)}")
    return BOARDS[name]


def board_for_pynq(name: str) -> BoardSpec | None:
    """Return the board that PYNQ calls `name` (its environment variable BOARD), or None. Case does not matter."""
    for spec in BOARDS.values():
        if name.lower() in {known.lower() for known in (*spec.pynq_names, spec.name)}:
            return spec
    return None


def tcl_dictionary(spec: BoardSpec) -> str:
    """Return the fields that the Vivado scripts read, as a Tcl dictionary with one key a line."""
    values = {
        "name": spec.name,
        "part": spec.part,
        "board_part": spec.board_part,
        "family": spec.family,
        "clock_mhz": str(spec.clock_mhz),
        "port_bits": str(8 * spec.port_bytes),
        "address_bits": str(spec.address_bits),
        "dram_mbytes": str(spec.dram_mbytes),
        "ps_ip": spec.ps_ip,
        "ps_master": spec.ps_master,
        "memory_ports": " ".join(spec.memory_ports),
        "clock_pin": spec.clock_pin,
        "reset_pin": spec.reset_pin,
        "interrupt_pin": spec.interrupt_pin,
        "kernel_base": f"0x{spec.kernel_base:08X}",
        "intc_base": f"0x{spec.intc_base:08X}",
    }
    return "".join(f"{key} {{{value}}}\n" for key, value in values.items())


def table_text() -> str:
    """Return the whole table for people: one block a board, unverified facts marked so."""
    blocks = []
    for spec in BOARDS.values():
        lines = [f"{spec.name}: {spec.title}"]
        for field in fields(spec):
            if field.name in ("name", "title", "unverified"):
                continue
            value = getattr(spec, field.name)
            if isinstance(value, tuple):
                value = ", ".join(value)
            elif isinstance(value, Budget):
                value = ", ".join(f"{part.name} {getattr(value, part.name):,}" for part in fields(value))
            elif field.name.endswith("_base"):
                value = f"0x{value:08X}"
            mark = "  [unverified]" if field.name in spec.unverified else ""
            lines.append(f"  {field.name:<19} {value}{mark}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def main(arguments: list[str] | None = None) -> int:
    """Print the table, or one board for the Vivado scripts. Returns the exit code: 2 for an unknown board."""
    parser = argparse.ArgumentParser(prog="python3 -m strop.overlay.boards", description="the board table")
    parser.add_argument("board", nargs="?", help="one board; without it the whole table")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--tcl", action="store_true", help="print that board as a Tcl dictionary")
    choice.add_argument("--hls-board", action="store_true", help="print the board of hls/ whose kernel it takes")
    options = parser.parse_args(arguments)
    if options.board is None:
        if options.tcl or options.hls_board:
            parser.error("--tcl and --hls-board need the name of a board")
        print(table_text())
        return 0
    try:
        spec = board(options.board)
    except UnknownBoard as error:
        print(f"strop: {error}", file=sys.stderr)
        return 2
    if options.hls_board:
        print(spec.hls_board)
    else:
        print(tcl_dictionary(spec), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
