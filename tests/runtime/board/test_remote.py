"""The same driver over PYNQ.remote: pynq's own RemoteDevice, its protocol, and an emulated board behind it."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pynq
import pytest
from pynq.pl_server import global_state
from pynq.pl_server.remote_device import RemoteDevice

from board_kinds import KINDS
from board_training import NOTHING, trained_digest
from strop.overlay.boards import BOARDS
from strop.runtime.board.device import BoardDevice
from strop.runtime.board.options import BoardOptions
from strop.runtime.device import open_device
from strop.runtime.emulated_board.board import EmulatedBoard
from strop.runtime.emulated_board.hwh import bit_bytes, hwh_text
from strop.runtime.emulated_board.remote import RemoteBoardServer
from strop.runtime.errors import DeviceError, DeviceTimeout, DeviceUnavailable, MemoryPlanError

KIND = KINDS[0]


class Remote:
    """An emulated board behind a server, and pynq's view of it."""

    def __init__(self, folder: Path) -> None:
        self.board = EmulatedBoard(BOARDS[KIND], mapped=False)
        self.server = RemoteBoardServer(self.board)
        self.device = RemoteDevice(0, "127.0.0.1", self.server.port)
        pynq.Device.active_device = self.device
        if hasattr(pynq.Clocks, "_real_instance"):
            del pynq.Clocks._real_instance
        self.bitfile = folder / "strop.bit"
        self.bitfile.write_bytes(bit_bytes(BOARDS[KIND]))
        self.bitfile.with_suffix(".hwh").write_text(hwh_text(BOARDS[KIND]), encoding="utf-8")

    def open(self, **options: Any) -> BoardDevice:
        """Open the board as a device."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pynq: interrupts are not implemented for remote devices
            return BoardDevice(self.device, self.bitfile, options=BoardOptions(**options))


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[Remote]:
    """A server that ends with the test."""
    made = Remote(tmp_path)
    yield made
    made.server.close()
    made.board.close()


def test_lenet_trains_to_the_emulators_bytes(remote: Remote) -> None:
    """Protects the promise over a network: buffers are sent whole, and no byte is lost between host and kernel."""
    device = remote.open()
    assert trained_digest(device, 10, 32) == trained_digest(open_device("emulator"), 10, 32)
    device.close()
    assert remote.board.dram.buffers == 0


def test_a_large_arena_crosses_in_pieces(remote: Remote) -> None:
    """Protects arenas over gRPC's 4 MiB a message."""
    device = remote.open()
    assert trained_digest(device, 2, 128) == trained_digest(open_device("emulator"), 2, 128)
    assert remote.board.dram.taken_bytes > 4 << 20
    device.close()


def test_the_bitstream_is_sent_every_time(remote: Remote) -> None:
    """Protects an update: pynq sends no file whose name the board knows, be it another one or half of this one."""
    remote.open().close()
    first = remote.server.files.programmed
    content = bit_bytes(BOARDS[KIND])
    remote.bitfile.write_bytes(content[:-4] + b"\x01\x02\x03\x04")
    remote.open().close()
    second = remote.server.files.programmed
    assert first != second
    (sent,) = [name for name in remote.server.files.contents if name.startswith("/lib/firmware/")]
    remote.server.files.contents[sent] = second[:5]
    remote.open().close()
    assert remote.server.files.programmed == second


def test_a_bitstream_that_the_board_does_not_take(remote: Remote) -> None:
    """Protects from driving the overlay before: pynq looks at no answer of the FPGA manager, so its state is asked."""
    remote.server.files.contents["/sys/class/fpga_manager/fpga0/state"] = b"write error"
    with pytest.raises(DeviceError, match="FPGA manager did not take the bitstream"):
        remote.open()


def test_a_board_without_memory(remote: Remote) -> None:
    """Protects the planner's promise over a network: too large an arena is what it is on a board."""
    device = remote.open()
    with pytest.raises(MemoryPlanError, match="no 1,073,741,824 bytes of contiguous memory"):
        device.allocate(1 << 30)
    device.allocate(4096)
    assert device.run(NOTHING)["steps_done"] == 1
    remote.server.close()
    with pytest.raises(DeviceError, match="did not answer when it was asked for memory"):
        device.allocate(4096)
    device.close()


def test_writing_waits_for_the_kernel(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects what the kernel writes: a remote buffer is sent whole, and would overwrite it with what was before."""
    device = remote.open()
    device.allocate(4096)
    begun = threading.Event()
    run = remote.board.kernel._kernel.run

    def slowly(arena: Any, registers: Any) -> None:
        begun.set()
        time.sleep(0.2)
        arena[2048:2112] = 7
        run(arena, registers)

    monkeypatch.setattr(remote.board.kernel._kernel, "run", slowly)
    runner = threading.Thread(target=lambda: device.run(NOTHING))
    runner.start()
    begun.wait()
    device.write(3072, np.full(64, 9, np.uint8))
    runner.join()
    monkeypatch.undo()
    device.run(NOTHING)
    assert (device.read(2048, 64) == 7).all()
    assert (device.read(3072, 64) == 9).all()
    device.close()


def test_half_of_pynqs_note_does_not_lock_the_board_out(remote: Remote) -> None:
    """Protects from a power cut while pynq wrote down what is loaded: it would refuse every overlay from then on."""
    note = Path(global_state.__file__).with_name("global_pl_state_.json")
    note.write_text('{"bitfile_name": "/home/xi', encoding="utf-8")
    with pytest.raises(RuntimeError, match="Unable to parse metadata"):
        pynq.Overlay(str(remote.bitfile), download=False, device=remote.device)
    remote.open().close()


def test_a_hung_kernel_is_diagnosed_and_stopped(remote: Remote) -> None:
    """Protects the laptop's side: the same diagnosis, over the network."""
    device = remote.open(timeout_seconds=0.2)
    device.allocate(4096)
    remote.board.faults.silent = True
    with pytest.raises(DeviceTimeout, match="wrote nothing in 0.2 s"):
        device.run(NOTHING)
    remote.board.faults.silent = False
    device.allocate(4096)
    assert device.run(NOTHING)["steps_done"] == 1
    device.close()


def test_interrupts_are_refused(remote: Remote) -> None:
    """Protects from waiting for what PYNQ.remote does not carry."""
    with pytest.raises(DeviceUnavailable, match="no interrupts; open the board without them"):
        remote.open(interrupts=True)


def test_a_connection_that_breaks(remote: Remote) -> None:
    """Protects the caller from gRPC's errors: one of ours, which says what was being done."""
    device = remote.open()
    device.allocate(4096)
    remote.server.close()
    with pytest.raises(DeviceError, match="running the kernel failed in pynq: .*; then loading the overlay again"):
        device.run(NOTHING)
    device.close()
