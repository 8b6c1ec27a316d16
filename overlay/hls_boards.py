"""What hls/ says of the boards, read from its own headers, so that nothing of it is typed a second time.

The rows of `kBoards` (hls/model/board_facts.hpp) and of `kTileShapes` (hls/boards.hpp) are plain lists of literals;
their columns are the fields of `strop_board` and `TileShape`. Anything that does not look exactly so is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from strop.hls import SOURCE_FOLDER, contract, model_api

FACTS = "model/board_facts.hpp"
SHAPES = "boards.hpp"


class BoardTableError(ValueError):
    """A table of boards that cannot be understood; names the file and the row."""


@dataclass(frozen=True)
class Budget:
    """Parts of an FPGA. A BRAM has 36 Kib, a URAM 288 Kib."""

    luts: int
    flip_flops: int
    dsps: int
    brams: int
    urams: int


@dataclass(frozen=True)
class HlsBoard:
    """A board as the kernel and its cycle model know it. hls_name: the value of STROP_BOARD, e.g. "kPynqZ2"."""

    name: str
    hls_name: str
    part: str
    clock_mhz: int
    port_bytes: int  # of one memory port, a cycle
    dram_mbytes_second: int
    dram_mbytes: int
    mac_rows: int
    array_macs: int  # multiply-adds a cycle
    budget: Budget


def hls_boards() -> dict[str, HlsBoard]:
    """Return every board that hls/ can be built for, by name. Raises BoardTableError."""
    facts = (SOURCE_FOLDER / FACTS).read_text(encoding="utf-8")
    shapes = (SOURCE_FOLDER / SHAPES).read_text(encoding="utf-8")
    return parse_boards(facts, shapes)


def parse_boards(facts: str, shapes: str) -> dict[str, HlsBoard]:
    """Return the boards of the texts of the two headers; the emulator's row, which is no board, is left out."""
    facts, shapes = _without_comments(facts), _without_comments(shapes)
    names = _match(r"enum Board : uint32_t \{([\w\s,]+), kBoardCount \};", shapes, SHAPES, "enum Board")
    order = [name.strip() for name in names.split(",")]
    columns = _fields(_match(r"struct TileShape \{(.*?)\};", shapes, SHAPES, "struct TileShape"), SHAPES)
    shape_rows = _rows(shapes, SHAPES, "kTileShapes", columns, r"\d+")
    fact_columns = _fields(_match(r"struct strop_board \{(.*?)\}", model_api(), "native/model.h", "strop_board"), FACTS)
    fact_rows = _rows(facts, FACTS, "kBoards", fact_columns, r'"[^"]*"|\d+|ArrayMacs\(\w+\)')
    for table, rows, file in (("kTileShapes", shape_rows, SHAPES), ("kBoards", fact_rows, FACTS)):
        if len(rows) != len(order):
            raise BoardTableError(f"hls/{file}: {table} has {len(rows)} rows, but enum Board names {len(order)} boards")
    found = {}
    for hls_name, shape, row in zip(order, shape_rows, fact_rows, strict=True):
        if row["array_macs"] != f"ArrayMacs({hls_name})":
            raise BoardTableError(
                f"hls/{FACTS}: the row of {row['name']} stands where enum Board has {hls_name}, "
                f"but its array is {row['array_macs']}; rows follow the enum"
            )
        board = _board(hls_name, row, int(shape["mac_rows"]))
        if board.part:
            found[board.name] = board
    return found


def _board(hls_name: str, row: dict[str, str], mac_rows: int) -> HlsBoard:
    number = {name: int(value) for name, value in row.items() if value.isdigit()}
    try:
        return HlsBoard(
            name=row["name"].strip('"'),
            hls_name=hls_name,
            part=row["part"].strip('"'),
            clock_mhz=number["clock_mhz"],
            port_bytes=number["port_bytes"],
            dram_mbytes_second=number["dram_mbytes_second"],
            dram_mbytes=number["dram_mbytes"],
            mac_rows=mac_rows,
            array_macs=mac_rows * contract_number("STROP_IMAGE_GROUP") * contract_number("STROP_QUAD"),
            budget=Budget(*(number[part] for part in ("luts", "flip_flops", "dsps", "brams", "urams"))),
        )
    except KeyError as missing:
        raise BoardTableError(f"hls/{FACTS}: the row of {row.get('name')} has no number for {missing}") from None


def contract_number(name: str) -> int:
    """Return a `#define` of hls/contract.h. Raises BoardTableError if there is none of that name."""
    return int(_match(rf"#define {name}\s+(0[xX][0-9A-Fa-f]+|\d+)\b", contract(), "contract.h", name), 0)


def _without_comments(text: str) -> str:
    return re.sub(r"//[^\n]*", "", text)


def _match(pattern: str, text: str, file: str, what: str) -> str:
    found = re.search(pattern, text, re.DOTALL)
    if found is None:
        raise BoardTableError(f"hls/{file}: {what} is not there, or is written in a way that this parser does not know")
    return found[1]


def _fields(body: str, file: str) -> list[str]:
    """Return the names of a C struct's fields, one declaration each."""
    names = []
    for declaration in filter(None, (part.strip() for part in body.split(";"))):
        field = re.fullmatch(r"(?:uint32_t |const char \*)(\w+)", declaration)
        if field is None:
            raise BoardTableError(
                f"hls/{file}: a column is declared as {declaration!r}; a number or a text was expected"
            )
        names.append(field[1])
    return names


def _rows(text: str, file: str, table: str, columns: list[str], value: str) -> list[dict[str, str]]:
    body = _match(rf"\b{table}\[kBoardCount\] = \{{(.*?)\n?\}};", text, file, table)
    rows = []
    for row in filter(None, (part.strip() for part in re.split(r"\}\s*,", body))):
        if not row.startswith("{"):
            raise BoardTableError(f"hls/{file}: {table} has {row!r} where a row in braces was expected")
        values = [part.strip() for part in row.strip("{}").split(",")]
        wrong = [part for part in values if not re.fullmatch(value, part)]
        if wrong or len(values) != len(columns):
            raise BoardTableError(
                f"hls/{file}: a row of {table} is not understood: {' '.join(row.split())}; "
                + (f"{wrong[0]!r} is no literal" if wrong else f"{len(columns)} values were expected: {columns}")
            )
        rows.append(dict(zip(columns, values, strict=True)))
    return rows
