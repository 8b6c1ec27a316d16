"""A pytest plugin that makes this machine look like a board: its pynq has an emulated one, with an overlay installed.

STROP_TEST_DEVICE=board pytest -p emulated_hardware -m board
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from board_kinds import KINDS
from overlay_files import write_overlay
from strop.overlay.boards import BOARDS
from strop.runtime.emulated_board.board import EmulatedBoard, make_active
from strop.runtime.overlay_store import install_overlay

_folder = tempfile.TemporaryDirectory(prefix="strop-hardware-")
os.environ["STROP_OVERLAYS"] = f"{_folder.name}/store"
os.environ["STROP_LEASES"] = _folder.name
os.environ["BOARD"] = BOARDS[KINDS[0]].pynq_names[0]
install_overlay(write_overlay(Path(_folder.name) / "made", KINDS[0]))
make_active(EmulatedBoard(BOARDS[KINDS[0]]))
