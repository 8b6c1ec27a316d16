"""The board table: joined from two places, equal to the compiled model, strict about what it reads."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from strop.hls import SOURCE_FOLDER
from strop.overlay.boards import (
    BOARDS,
    TABLE,
    UnknownBoard,
    board,
    board_for_pynq,
    main,
    read_table,
    table_text,
    tcl_dictionary,
)
from strop.overlay.hls_boards import FACTS, SHAPES, BoardTableError, Budget, contract_number, hls_boards, parse_boards
from strop.runtime.estimate import boards as modelled_boards


def headers() -> tuple[str, str]:
    """Return the texts of the two headers."""
    facts = (SOURCE_FOLDER / FACTS).read_text(encoding="utf-8")
    return facts, (SOURCE_FOLDER / SHAPES).read_text(encoding="utf-8")


def test_the_table_says_what_the_compiled_model_says() -> None:
    """Protects every number that is read from the headers as text: the compiler reads the same."""
    modelled = modelled_boards()
    found = hls_boards()
    assert set(found) == set(modelled)
    for name, spec in found.items():
        model = modelled[name]
        for fact in ("part", "clock_mhz", "port_bytes", "dram_mbytes_second", "dram_mbytes", "array_macs"):
            assert getattr(spec, fact) == getattr(model, fact), (name, fact)
        for part in ("luts", "dsps", "brams", "urams"):
            assert getattr(spec.budget, part) == getattr(model.budget, part), (name, part)


# Product tables and manuals, independent of the headers: part, PS, LUTs, flip-flops, DSPs, BRAMs, URAMs.
PUBLIC = {
    "pynq-z1": ("xc7z020clg400-1", "processing_system7", Budget(53200, 106400, 220, 140, 0)),
    "pynq-z2": ("xc7z020clg400-1", "processing_system7", Budget(53200, 106400, 220, 140, 0)),
    "ultra96-v2": ("xczu3eg-sbva484-1-i", "zynq_ultra_ps_e", Budget(70560, 141120, 360, 216, 0)),
    "kv260": ("xck26-sfvc784-2LV-c", "zynq_ultra_ps_e", Budget(117120, 234240, 1248, 144, 64)),
    "zcu104": ("xczu7ev-ffvc1156-2-e", "zynq_ultra_ps_e", Budget(230400, 460800, 1728, 312, 96)),
}


def test_the_table_says_what_is_public() -> None:
    """Protects parts and budgets, flip-flops among them, which the model does not expose, from a slip in a header."""
    assert set(BOARDS) == set(PUBLIC)
    for name, (part, ps, budget) in PUBLIC.items():
        assert (BOARDS[name].part, BOARDS[name].ps_ip, BOARDS[name].budget) == (part, ps, budget), name


def test_which_kernel_a_board_takes() -> None:
    """Protects the kernels that are built: the PYNQ-Z1 takes that of the PYNQ-Z2, which has the same part."""
    assert {spec.name: (spec.hls_board, spec.hls_name) for spec in BOARDS.values()} == {
        "pynq-z1": ("pynq-z2", "kPynqZ2"),
        "pynq-z2": ("pynq-z2", "kPynqZ2"),
        "ultra96-v2": ("ultra96-v2", "kUltra96V2"),
        "kv260": ("kv260", "kKv260"),
        "zcu104": ("zcu104", "kZcu104"),
    }


def test_zynq_7000_needs_pynq_3() -> None:
    """Protects owners of a PYNQ-Z1 or Z2 from pynq 4, which dropped their boards."""
    assert {spec.name for spec in BOARDS.values() if spec.pynq.endswith(",<4")} == {"pynq-z1", "pynq-z2"}


def test_the_wide_array_begins_where_the_kernel_says() -> None:
    """Protects the flag STROP_WIDE_ARRAY, whose threshold an assertion of the kernel states."""
    stated = re.search(r"static_assert\(\(kMacRows >= (\d+)\) == \(STROP_WIDE_ARRAY != 0\)", headers()[1])
    assert stated is not None
    assert {spec.name for spec in BOARDS.values() if spec.wide_array} == {"kv260", "zcu104"}
    assert all(spec.wide_array == (spec.mac_rows >= int(stated[1])) for spec in BOARDS.values())


def test_an_unknown_board_is_told_the_known_ones() -> None:
    """Protects who mistypes a board."""
    with pytest.raises(UnknownBoard, match="'pynq-z3'.*pynq-z1, pynq-z2, ultra96-v2, kv260, zcu104"):
        board("pynq-z3")
    assert board("zcu104") is BOARDS["zcu104"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Pynq-Z1", "pynq-z1"), ("Pynq-Z2", "pynq-z2"), ("PYNQ-Z2", "pynq-z2"), ("Ultra96", "ultra96-v2")]
    + [("KV260", "kv260"), ("ZCU104", "zcu104"), ("ZCU111", None), ("", None)],
)
def test_boards_are_found_by_the_name_that_pynq_gives(name: str, expected: str | None) -> None:
    """Protects the choice of the overlay on a board, by its image's variable BOARD."""
    found = board_for_pynq(name)
    assert (found.name if found else None) == expected


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("53200, 106400", "53200, 100 * 1064", r"board_facts.hpp: a row of kBoards.*'100 \* 1064' is no literal"),
        ("ArrayMacs(kZcu104), 230400", "ArrayMacs(kZcu104)", r"board_facts.hpp: a row of kBoards.*12 values"),
        ("ArrayMacs(kPynqZ2)", "ArrayMacs(kKv260)", "pynq-z2.*stands where enum Board has kPynqZ2"),
        ("kBoards[kBoardCount]", "kAll[kBoardCount]", "board_facts.hpp: kBoards is not there"),
        ('{"zcu104"', 'Row{"zcu104"', "'Row{.*where a row in braces was expected"),
        ("{4, 64, 32,", "{four, 64, 32,", r"boards.hpp: a row of kTileShapes.*'four' is no literal"),
        ("  uint32_t mac_rows;", "  uint64_t mac_rows;", "'uint64_t mac_rows'; a number or a text"),
        ("kZcu104, kBoardCount", "kZcu104, kNew, kBoardCount", "kTileShapes has 5 rows, but enum Board names 6"),
        ("enum Board : uint32_t", "enum Board", "boards.hpp: enum Board is not there"),
    ],
)
def test_a_row_that_is_not_understood_is_refused(old: str, new: str, message: str) -> None:
    """Protects the table from a header that changed its form: a guess would build for another board."""
    texts = headers()
    assert any(old in text for text in texts)
    with pytest.raises(BoardTableError, match=message):
        parse_boards(*(text.replace(old, new) for text in texts))


def test_a_contract_number_that_is_missing_is_named() -> None:
    """Protects the array's size, which is made of two of them."""
    with pytest.raises(BoardTableError, match="STROP_LANES"):
        contract_number("STROP_LANES")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "versal"}, "kv260 is of family 'versal'; known: .*zynq7"),
        ({"hls_board": "kr260"}, "kv260 takes the kernel of 'kr260'; known: .*zcu104"),
        ({"unverified": ["colour"]}, r"kv260: unverified names no fields: \['colour'\]"),
        ({"part": "xck26"}, r"kv260 lacks \[\] and has unknown \['part'\]"),
        ({"title": None}, r"kv260 lacks \['title'\]"),
    ],
)
def test_a_wrong_line_of_the_table_is_named(change: dict[str, object], message: str, tmp_path: Path) -> None:
    """Protects boards.json: what hls/ already knows is refused there as much as what nobody knows."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    row = {name: value for name, value in {**table["boards"]["kv260"], **change}.items() if value is not None}
    table["boards"]["kv260"] = row
    path = tmp_path / "boards.json"
    path.write_text(json.dumps(table), encoding="utf-8")
    with pytest.raises(BoardTableError, match=message):
        read_table(path)


def test_unverified_facts_are_labelled() -> None:
    """Protects readers of the printed table from taking a memory for a fact."""
    ultra96 = next(block for block in table_text().split("\n\n") if block.startswith("ultra96-v2"))
    labelled = {line.split()[0] for line in ultra96.splitlines() if line.endswith("[unverified]")}
    assert labelled == set(BOARDS["ultra96-v2"].unverified) == {"pynq", "image", "vivado", "pynq_names"}
    assert table_text().count("[unverified]") == len(labelled)


@pytest.mark.parametrize("name", list(BOARDS))
def test_tcl_reads_the_dictionary(name: str, tclsh: str) -> None:
    """Protects the way from the table into Vivado: a Tcl interpreter finds each value under its key."""
    spec = BOARDS[name]
    script = f"set board {{\n{tcl_dictionary(spec)}}}\n" + "".join(
        f"puts [dict get $board {key}]\n" for key in ("part", "board_part", "clock_mhz", "memory_ports", "kernel_base")
    )
    ran = subprocess.run([tclsh], input=script, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == [
        *(spec.part, spec.board_part, str(spec.clock_mhz), " ".join(spec.memory_ports), f"0x{spec.kernel_base:08X}")
    ]


def test_the_command_prints_what_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Protects what the Makefile calls."""
    assert main([]) == 0
    assert capsys.readouterr().out == table_text() + "\n"
    assert main(["pynq-z1", "--hls-board"]) == 0
    assert capsys.readouterr().out == "pynq-z2\n"
    assert main(["pynq-z1", "--tcl"]) == 0
    assert capsys.readouterr().out == tcl_dictionary(BOARDS["pynq-z1"])
    assert main(["nothing", "--tcl"]) == 2
    assert "known boards: pynq-z1" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["--tcl"])
