"""Opening an emulated board as a device of the runtime: pynq's code and the board's driver, on a laptop."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pynq

from strop.overlay.boards import BOARDS, BoardSpec
from strop.overlay.hwh import read_hwh
from strop.runtime.board.device import BoardDevice
from strop.runtime.board.options import BoardOptions
from strop.runtime.emulated_board.board import EmulatedBoard, make_active
from strop.runtime.emulated_board.hwh import bit_bytes, hwh_text
from strop.runtime.errors import InputError

NAME = "emulated-board"
# pynq 4 has no Zynq-7000 any more: loading such an overlay fails in its Clocks; pynq 3.1 drives both.
DEFAULT_BOARD, DEFAULT_BOARD_PYNQ_3 = "zcu104", "pynq-z2"


class EmulatedBoardDevice(BoardDevice):
    """A `BoardDevice` with a board of its own, `emulated`, that ends with it. So it needs no lease."""

    def __init__(self, emulated: EmulatedBoard, options: BoardOptions | None = None) -> None:
        self.emulated = emulated
        self._files = tempfile.TemporaryDirectory(prefix="strop-emulated-")
        bitfile = Path(self._files.name) / "strop.bit"
        bitfile.write_bytes(bit_bytes(emulated.spec))
        bitfile.with_suffix(".hwh").write_text(hwh_text(emulated.spec), encoding="utf-8")
        self._make_inactive = make_active(emulated)
        facts = {"board": f"{emulated.spec.name}, emulated: no hardware takes part"}
        clock = float(emulated.spec.clock_mhz)
        memory = read_hwh(bitfile.with_suffix(".hwh")).memory
        super().__init__(emulated, bitfile, name=NAME, clock_mhz=clock, memory=memory, facts=facts, options=options)
        self.description = f"{NAME}: {emulated.spec.title} through pynq {pynq.__version__}; no hardware takes part"

    def close(self) -> None:
        """End the board as well."""
        super().close()
        self._make_inactive()
        self.emulated.close()
        self._files.cleanup()


def open_emulated_board(
    name: str | None = None, options: BoardOptions | None = None, *, mapped: bool = True
) -> EmulatedBoardDevice:
    """Open an emulated board of a kind ("pynq-z2"); without a name $STROP_BOARD, else one that this pynq drives.

    Raises `InputError` for a board that is not known.
    """
    asked = name or os.environ.get("STROP_BOARD")
    if not asked:
        asked = DEFAULT_BOARD_PYNQ_3 if pynq.__version__.startswith("3.") else DEFAULT_BOARD
    if asked not in BOARDS:
        raise InputError(f"board {asked!r} is not known; allowed: {', '.join(BOARDS)}")
    spec: BoardSpec = BOARDS[asked]
    chosen = options or BoardOptions.from_environment()
    return EmulatedBoardDevice(EmulatedBoard(spec, mapped=mapped), chosen)
