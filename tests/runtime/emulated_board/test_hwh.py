"""The emulated overlay's files agree with the contract and the board table, as a real one's must."""

from __future__ import annotations

from pathlib import Path

import pytest

from strop.overlay.boards import BOARDS, BoardSpec
from strop.overlay.hwh import check_hwh, read_hwh
from strop.runtime.emulated_board.hwh import bit_bytes, hwh_text


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_the_check_for_real_overlays_passes(board: BoardSpec, tmp_path: Path) -> None:
    """Protects both sides: the file that pynq is tested with is one that `strop overlay verify` accepts."""
    path = tmp_path / "strop.hwh"
    path.write_text(hwh_text(board), encoding="utf-8")
    assert check_hwh(read_hwh(path), board) == []


def test_another_board_is_noticed(tmp_path: Path) -> None:
    """Protects the test above: the check can fail."""
    path = tmp_path / "strop.hwh"
    path.write_text(hwh_text(BOARDS["pynq-z2"]), encoding="utf-8")
    assert check_hwh(read_hwh(path), BOARDS["zcu104"]) != []


def test_the_bitstream_says_that_it_is_none() -> None:
    """Protects a real board from an emulated overlay: its header says so, and no configuration follows."""
    content = bit_bytes(BOARDS["pynq-z2"])
    assert b"emulated" in content
    assert b"xc7z020clg400-1" in content
    assert content.endswith(b"\xff" * 64)
