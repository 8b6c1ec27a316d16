"""`open_device("board")`: which board this is, the overlay that is installed for it, and the lease."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pynq
import pytest

from board_kinds import KINDS
from board_training import trained_digest
from overlay_files import write_overlay
from strop.overlay.boards import BOARDS
from strop.runtime import device as device_module
from strop.runtime.board import opening
from strop.runtime.device import open_device
from strop.runtime.emulated_board.board import EmulatedBoard, make_active
from strop.runtime.errors import (
    ContractMismatch,
    DeviceBusy,
    DeviceUnavailable,
    InputError,
    OverlayCorrupt,
    OverlayMissing,
)
from strop.runtime.overlay_store import install_overlay

KIND = KINDS[0]

SECOND_PROCESS = """
from strop.overlay.boards import BOARDS
from strop.runtime.device import open_device
from strop.runtime.emulated_board.board import EmulatedBoard, make_active
from strop.runtime.errors import DeviceBusy
make_active(EmulatedBoard(BOARDS["{kind}"]))
try:
    open_device("board").close()
    print("had it")
except DeviceBusy as error:
    print(error)
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmulatedBoard]:
    """A machine whose pynq has one board, with an overlay installed for it, under the name that its image gives."""
    monkeypatch.setenv("STROP_OVERLAYS", str(tmp_path / "store"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BOARD", BOARDS[KIND].pynq_names[0])
    install_overlay(write_overlay(tmp_path / "made", KIND))
    board = EmulatedBoard(BOARDS[KIND])
    undo = make_active(board)
    yield board
    undo()
    board.close()


def test_the_board_is_opened_with_its_installed_overlay(machine: EmulatedBoard, tmp_path: Path) -> None:
    """Protects the whole way of a board's owner: name from the image, overlay from the store, checked, loaded, run."""
    device = open_device("board")
    assert str(tmp_path / "store" / KIND / "strop.bit") in device.description
    assert device.facts["overlay"] == str(tmp_path / "store" / KIND)
    assert trained_digest(device, 5) == trained_digest(open_device("emulator"), 5)
    device.close()
    assert machine.dram.buffers == 0


def test_two_processes_do_not_share_a_board(machine: EmulatedBoard) -> None:
    """Protects two trainings from each other, through the whole stack: the second process is told who has it."""
    device = open_device("board")
    command = [sys.executable, "-c", SECOND_PROCESS.format(kind=KIND)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"{KIND} is held by process {os.getpid()} " in said
    with pytest.raises(DeviceBusy):
        open_device("board")
    device.close()
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "had it\n"


def test_a_damaged_overlay_is_not_loaded(machine: EmulatedBoard, tmp_path: Path) -> None:
    """Protects the board from half a file: checksums are compared at every opening, and the lease stays free."""
    bitfile = tmp_path / "store" / KIND / "strop.bit"
    content = bitfile.read_bytes()
    bitfile.write_bytes(content[:-1])
    with pytest.raises(OverlayCorrupt, match="strop.bit"):
        open_device("board")
    with pytest.raises(OverlayCorrupt):
        open_device("auto") if device_module.on_a_board() else open_device("board")
    assert machine.downloads == 0
    bitfile.write_bytes(content)
    open_device("board").close()


def test_no_overlay(machine: EmulatedBoard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Protects the newcomer: what to type is in the message; "auto" takes the emulator and says why."""
    monkeypatch.setenv("STROP_OVERLAYS", str(tmp_path / "empty"))
    with pytest.raises(OverlayMissing, match=f"no overlay for {KIND} is installed .*strop overlay install"):
        open_device("board")
    monkeypatch.setattr(device_module, "FPGA_MANAGER", tmp_path)
    device = open_device("auto")
    assert device.name == "emulator"
    assert "taken because the board is not there: no overlay" in device.description
    device.close()


def test_auto_takes_the_board(machine: EmulatedBoard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Protects the default on a board; one that is busy is an error and no reason for something slower."""
    monkeypatch.setattr(device_module, "FPGA_MANAGER", tmp_path)
    device = open_device("auto")
    assert device.name == "board"
    assert "taken because" not in device.description
    with pytest.raises(DeviceBusy):
        open_device("auto")
    device.close()


def test_a_contract_that_only_the_hardware_tells(machine: EmulatedBoard) -> None:
    """Protects from a manifest that lies: the version register decides, and board and lease are given back."""
    machine.faults.version = 1 << 16 | 1
    with pytest.raises(ContractMismatch, match="board speaks contract 1, numerics 1; this runtime"):
        open_device("board")
    machine.faults.version = None
    open_device("board").close()
    assert machine.dram.buffers == 0


def test_the_name_of_the_board(machine: EmulatedBoard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Protects boards that call themselves otherwise: STROP_BOARD names them, and wrong names are listed."""
    monkeypatch.setenv("BOARD", "Pynq-Z9")
    with pytest.raises(DeviceUnavailable, match=f"calls itself 'Pynq-Z9', .* set STROP_BOARD if it is one of .*{KIND}"):
        open_device("board")
    monkeypatch.setenv("STROP_BOARD", "pynq-z9")
    with pytest.raises(InputError, match="board 'pynq-z9' is not known; allowed: "):
        open_device("board")
    monkeypatch.setenv("STROP_BOARD", KIND)
    open_device("board").close()
    monkeypatch.delenv("STROP_BOARD")
    monkeypatch.delenv("BOARD")
    monkeypatch.setattr(opening, "DEVICE_TREE_NAME", tmp_path / "pynq_board")
    with pytest.raises(DeviceUnavailable, match="calls itself 'unknown'"):
        open_device("board")
    (tmp_path / "pynq_board").write_text(BOARDS[KIND].pynq_names[0] + "\0", encoding="utf-8")
    open_device("board").close()


def test_a_machine_without_a_board(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the laptop: the error says which device it has."""
    monkeypatch.delattr(pynq.Device, "_active_device", raising=False)
    monkeypatch.delattr(type(pynq.Device), "_active_device", raising=False)
    monkeypatch.setattr(type(pynq.Device), "_devices", [], raising=False)
    with pytest.raises(DeviceUnavailable, match='PYNQ finds no board .*a laptop has device "emulator"'):
        open_device("board")


def test_a_machine_whose_pynq_is_not_its_images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Protects "auto" on a Zynq without PYNQ's image: pynq fails in a way of its own, and the emulator is taken."""

    def fails(*_: object) -> None:
        raise NameError("name 'pyxrt' is not defined")

    monkeypatch.setattr(device_module, "FPGA_MANAGER", tmp_path)
    monkeypatch.setattr(type(pynq.Device), "active_device", property(fails))
    device = open_device("auto")
    assert device.name == "emulator"
    assert "pyxrt" in device.description
    device.close()


def test_an_emulated_board_says_so(machine: EmulatedBoard) -> None:
    """Protects a report from claiming hardware: where pynq's board is an emulated one, the facts say it."""
    device = open_device("board")
    assert device.facts["emulated"] == "no hardware takes part"
    device.close()


def test_bad_options_leave_the_board_free(machine: EmulatedBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the lease: what fails before the board is opened holds nothing."""
    monkeypatch.setenv("STROP_BOARD_TIMEOUT", "soon")
    with pytest.raises(InputError):
        open_device("board")
    monkeypatch.delenv("STROP_BOARD_TIMEOUT")
    open_device("board").close()
