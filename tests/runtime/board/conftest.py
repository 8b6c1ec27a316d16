"""Boards to test the driver with: emulated ones, in front of whichever pynq is installed. Without pynq nothing runs."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from strop.runtime.device import Device, open_device

collect_ignore_glob = [] if importlib.util.find_spec("pynq") else ["test_*.py"]


@pytest.fixture(autouse=True)
def _own_leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks of this test's own, and no choice of a board from outside, unless a real one is tested."""
    if os.environ.get("STROP_TEST_DEVICE") != "board":
        monkeypatch.setenv("STROP_LEASES", str(tmp_path))
        monkeypatch.delenv("STROP_BOARD", raising=False)


@pytest.fixture
def board() -> Iterator[Device]:
    """The board of this machine with STROP_TEST_DEVICE=board, else an emulated one."""
    hardware = os.environ.get("STROP_TEST_DEVICE") == "board"
    opened = open_device("board" if hardware else "emulated-board")
    yield opened
    opened.close()


@pytest.fixture
def emulated() -> Iterator[Callable[..., Any]]:
    """A function that opens emulated boards: `emulated(kind, mapped=True, **BoardOptions)`; each is closed again."""
    from strop.runtime.board.options import BoardOptions
    from strop.runtime.emulated_board.opening import open_emulated_board

    opened = []

    def open_one(kind: str | None = None, mapped: bool = True, **options: Any) -> Any:
        device = open_emulated_board(kind, BoardOptions(**{"timeout_seconds": 0.2, **options}), mapped=mapped)
        opened.append(device)
        return device

    yield open_one
    for device in opened:
        device.close()
        assert device.emulated.dram.buffers == 0, "every buffer was given back"
