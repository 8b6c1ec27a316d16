"""Finding the board of this machine, or the one that PYNQ.remote names, and opening it."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import pynq

from strop.overlay.boards import BOARDS, BoardSpec, board_for_pynq
from strop.overlay.hwh import read_hwh
from strop.runtime.board.device import BoardDevice
from strop.runtime.board.options import BoardOptions
from strop.runtime.errors import DeviceUnavailable, InputError
from strop.runtime.lease import Lease
from strop.runtime.overlay_store import find_overlay, verify_overlay

LOCAL_LOGIC = "fpga0"  # there is one, however the board is called
DEVICE_TREE_NAME = Path("/proc/device-tree/chosen/pynq_board")  # PYNQ's images write it


def open_board(name: str | None = None, options: BoardOptions | None = None) -> BoardDevice:
    """Open PYNQ's active device: this machine's board, or the first that $PYNQ_REMOTE_DEVICES names.

    name: of the board ("pynq-z2"); without it $STROP_BOARD, else what the image says. The overlay is the installed one
    (`strop overlay install`); its checksums and contract are checked before it is loaded. options: without them the
    environment's. Raises `DeviceUnavailable`, `DeviceBusy`, `OverlayError`, `ContractMismatch`, `DeviceError`.
    """
    device = _active_device()
    remote = bool(device.has_capability("REMOTE"))
    board = _board_of(device, name or os.environ.get("STROP_BOARD"), remote)
    installed = find_overlay(board.name)
    verify_overlay(installed.folder, board.name)
    facts, chosen = installed.facts(), options or BoardOptions.from_environment()
    memory = read_hwh(installed.bitstream.with_suffix(".hwh")).memory
    if getattr(device, "emulated", False):
        facts["emulated"] = "no hardware takes part"
    lease = Lease(f"remote-{device.ip_addr}" if remote else LOCAL_LOGIC, board.name)  # nothing may fail in between
    return BoardDevice(
        device,
        installed.bitstream,
        lease,
        clock_mhz=installed.manifest.clock_mhz,
        memory=memory,
        facts=facts,
        options=chosen,
    )


def _active_device() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is none is said below
            return pynq.Device.active_device
    except Exception as error:  # without an image of PYNQ's own, its parts fail in ways of their own
        raise DeviceUnavailable(
            f"PYNQ finds no board ({error}); run this on a board with a PYNQ image, or name one in "
            'PYNQ_REMOTE_DEVICES; a laptop has device "emulator"'
        ) from error


def _board_of(device: Any, asked: str | None, remote: bool) -> BoardSpec:
    if asked is not None:
        if asked not in BOARDS:
            raise InputError(f"board {asked!r} is not known; allowed: {', '.join(BOARDS)}")
        return BOARDS[asked]
    said = str(device.name) if remote else _name_on_board()
    found = board_for_pynq(said)
    if found is None:
        raise DeviceUnavailable(
            f"this board calls itself {said!r}, for which there is no overlay; set STROP_BOARD if it is one of "
            f"{', '.join(BOARDS)}"
        )
    return found


def _name_on_board() -> str:
    if named := os.environ.get("BOARD"):
        return named
    try:
        return DEVICE_TREE_NAME.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return "unknown"
