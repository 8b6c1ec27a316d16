"""Golden files: what is recorded is read back, replayed, and a wrong byte is seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from golden import MAGIC, Golden, differences, main, read_golden, write_golden
from strop.runtime.contract import COMMAND, C, Registers
from strop.runtime.reference import ReferenceDevice

SOURCE, TARGET, EXPONENT, REPORT, SLOT = 1024, 4096, 5120, 6144, 7168


def recorded(path: Path) -> Golden:
    """Record a program of one command, INPUT, of three images of 2x5 pixels."""
    command = np.zeros(1, COMMAND)
    sizes = {"batch": 3, "channels_in": 1, "height_in": 2, "width_in": 5, "height_out": 2, "width_out": 5}
    places = {"source": SOURCE, "target": TARGET, "target_plane": 640, "target_exponent": EXPONENT}
    sizes["exponent"] = C.INPUT_EXPONENT
    for name, value in {"opcode": C.OP_INPUT, **sizes, **places}.items():
        command[name] = value
    arena = np.zeros(8192, np.uint8)
    arena[: COMMAND.itemsize] = command.view(np.uint8)
    arena[SOURCE : SOURCE + 30] = np.arange(120, 150)
    registers = Registers(
        program=0, commands=1, steps=1, slots=SLOT, slot_stride=64, slot_count=1, first_slot=0, report=REPORT
    )
    return write_golden(path, ReferenceDevice(), registers, arena, [(TARGET, 640), (EXPONENT, 4)])


def test_a_recorded_run_is_read_back(tmp_path: Path) -> None:
    """Protects the layout: the head at its documented offsets, every segment, and nothing of the zeros between."""
    golden = recorded(tmp_path / "input.golden")
    data = (tmp_path / "input.golden").read_bytes()
    assert data[:8] == MAGIC
    assert np.frombuffer(data, "<u4", 11, 8).tolist() == [
        1,
        C.CONTRACT_VERSION,
        C.NUMERICS_VERSION,
        *(0, 1, 1, SLOT, 64, 1, 0, REPORT),
    ]
    assert int(np.frombuffer(data, "<u8", 1, 52)[0]) == 8192
    assert np.frombuffer(data, "<u4", 2, 60).tolist() == [2, 2]
    assert len(data) == 68 + 4 * 16 + sum(segment.size for _, segment in (*golden.initial, *golden.expected))
    again = read_golden(tmp_path / "input.golden")
    assert again.registers == golden.registers
    assert np.array_equal(again.memory(), golden.memory())
    assert [offset for offset, _ in again.expected] == [TARGET, EXPONENT]
    words = again.expected[0][1].view(np.int8).reshape(10, 16, 4)  # positions, images, channels
    assert words[:, :3, 0].T.ravel().tolist() == [max(p - 128, -127) for p in range(120, 150)]
    assert np.count_nonzero(words) == 29  # of the 30 pixels one is 128
    assert again.expected[1][1].view("<i4").tolist() == [C.INPUT_EXPONENT]


def test_a_run_is_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Protects the comparison: equal bytes pass, one wrong byte is named with its offset."""
    golden = recorded(tmp_path / "input.golden")
    assert differences(golden, ReferenceDevice()) == []
    assert main([str(tmp_path / "input.golden")]) == 0
    assert "equal" in capsys.readouterr().out
    wrong = golden.expected[0][1].copy()
    wrong[7] ^= 1
    broken = replace(golden, expected=[(TARGET, wrong), golden.expected[1]])
    assert differences(broken, ReferenceDevice()) == [f"1 of 640 bytes at {TARGET} differ, the first at {TARGET + 7}"]


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    """Protects the reader from files that are cut, continued, or something else."""
    path = tmp_path / "input.golden"
    recorded(path)
    data = path.read_bytes()
    for damaged, message in ((data[:-1], "early"), (data + b"x", "goes on"), (b"NOTSTROP" + data[8:], "begins with")):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=message):
            read_golden(path)


def test_a_program_that_stops_is_not_recorded(tmp_path: Path) -> None:
    """Protects the collection: a golden file never holds a failed run."""
    arena = np.full(1024, 0xFF, np.uint8)  # an opcode that does not exist
    registers = Registers(
        program=0, commands=1, steps=1, slots=512, slot_stride=64, slot_count=1, first_slot=0, report=768
    )
    with pytest.raises(ValueError, match="stopped"):
        write_golden(tmp_path / "bad.golden", ReferenceDevice(), registers, arena, [])
    assert not (tmp_path / "bad.golden").exists()
