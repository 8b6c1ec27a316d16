"""BoardDevice through the real pynq package: the emulator's bytes, by every way to them, and nothing left behind."""

from __future__ import annotations

import gc
import importlib.util
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pynq
import pytest

from board_kinds import KINDS
from board_training import NOTHING, digest, minibatches, opened_session, train, trained_digest
from strop.host.selftest import run_cases
from strop.overlay.boards import BOARDS
from strop.runtime.board.device import BoardDevice
from strop.runtime.board.driver import StropKernel
from strop.runtime.contract import C
from strop.runtime.device import Device, open_device
from strop.runtime.emulated_board.board import EmulatedBoard, make_active
from strop.runtime.emulated_board.hwh import bit_bytes, hwh_text
from strop.runtime.errors import ContractMismatch, DeviceError, DeviceUnavailable, MemoryPlanError
from strop.runtime.lease import Lease

STEPS = 40
HOST = "emulator" if importlib.util.find_spec("strop.runtime._kernel") else "reference"  # a board may lack a compiler


@pytest.fixture(scope="module")
def expected() -> str:
    """The digest after STEPS steps, without a board."""
    return trained_digest(open_device(HOST), STEPS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mapped", [True, False], ids=["mapped", "register-by-register"])
@pytest.mark.parametrize("interrupts", [False, True], ids=["polling", "interrupts"])
@pytest.mark.parametrize("cacheable", [True, False], ids=["cached", "uncached"])
def test_lenet_trains_to_the_emulators_bytes(
    kind: str, mapped: bool, interrupts: bool, cacheable: bool, emulated: Callable[..., Any], expected: str
) -> None:
    """Protects the promise: the real pynq stack changes no byte, over each family, access, wait and mapping."""
    device = emulated(kind, mapped=mapped, interrupts=interrupts, cacheable=cacheable, timeout_seconds=10)
    assert trained_digest(device, STEPS) == expected
    assert device.emulated.downloads == 1
    assert kind in device.facts["board"]


@pytest.mark.board
def test_known_answers(board: Device, record_property: Callable[[str, object], None]) -> None:
    """Protects every command that the compiler emits: the answers that ship with strop, to the byte."""
    for result in run_cases(board):
        record_property(f"{result.case.name}: images/s", round(result.images_per_second, 1))
        assert result.equal, f"{result.case.name}: {result.wrong}"


@pytest.mark.board
def test_a_long_training_is_resumed_to_the_same_bytes(board: Device, expected: str) -> None:
    """Protects resuming on another device: the first half on the board, the second on this machine."""
    session = opened_session(board)
    train(session, 0, STEPS // 2)
    state = session.state()
    other = opened_session(open_device(HOST))
    other.load_state(state)
    train(other, STEPS // 2, STEPS // 2)
    assert digest(other) == expected


@pytest.mark.board
def test_throughput_is_recorded(board: Device, record_property: Callable[[str, object], None]) -> None:
    """Protects nobody from a slow board, but tells: images/s of LeNet-5, mini-batch 128, for the report."""
    session = opened_session(board, 128)
    train(session, 0, 3, 128)  # the first step measures tensors twice
    begin = time.perf_counter()
    train(session, 3, 12, 128)
    record_property("LeNet-5, mini-batch 128, images/s measured", round(12 * 128 / (time.perf_counter() - begin), 1))
    assert session.state()["bn1.running_steps"][0] == 15


def test_the_versions_come_from_the_hardware(emulated: Callable[..., Any]) -> None:
    """Protects against a bitstream of another contract: the board is asked, not believed."""
    device = emulated()
    assert (device.contract_version, device.numerics_version) == (C.CONTRACT_VERSION, C.NUMERICS_VERSION)
    assert device.arenas == 0


def test_a_board_of_another_contract_is_refused(monkeypatch: pytest.MonkeyPatch, emulated: Callable[..., Any]) -> None:
    """Protects `open_device`: the wrong bitstream is closed again, with both versions in the message."""
    from strop.runtime.emulated_board import opening

    made = opening.EmulatedBoard
    closed = []

    def wrong(*arguments: Any, **words: Any) -> Any:
        board = made(*arguments, **words)
        board.faults.version = (C.CONTRACT_VERSION + 4) << 16 | C.NUMERICS_VERSION
        close = board.close
        board.close = lambda: (closed.append(board), close())
        return board

    monkeypatch.setattr(opening, "EmulatedBoard", wrong)
    with pytest.raises(ContractMismatch, match=f"speaks contract {C.CONTRACT_VERSION + 4}, numerics .*; this runtime"):
        open_device("emulated-board")
    assert len(closed) == 1
    assert closed[0].dram.buffers == 0


def test_an_overlay_without_the_kernel_is_refused(tmp_path: Path) -> None:
    """Protects against somebody else's overlay under our name: nothing is downloaded, and the lease is free again."""
    spec = BOARDS[KINDS[0]]
    board = EmulatedBoard(spec)
    undo = make_active(board)
    (tmp_path / "strop.bit").write_bytes(bit_bytes(spec))
    (tmp_path / "strop.hwh").write_text(hwh_text(spec, vlnv="xilinx.com:hls:other:1.0"), encoding="utf-8")
    for _ in range(2):
        with pytest.raises(ContractMismatch, match="has 0 kernels strop:hls:strop_kernel:1.0"):
            BoardDevice(board, tmp_path / "strop.bit", Lease("other"))
    assert board.downloads == 0
    undo()
    board.close()


def test_a_clock_that_timing_was_not_met_for(monkeypatch: pytest.MonkeyPatch, emulated: Callable[..., Any]) -> None:
    """Protects from wrong sums at a clock too fast: PLLs that the overlay was not built for are noticed."""
    from strop.runtime.emulated_board import board

    made = board.clock_registers
    # Zynq-7000: IO PLL doubled. ZynqMP: IOPLL of 2,000 MHz, whose eighth is 250 (pynq 3), or of 433, whose half is what
    # comes nearest to 187.5 (pynq 4).
    multiplier = 120 if pynq.__version__.startswith("3.") else 26

    def other_plls(spec: Any) -> Any:
        registers = made(spec)
        if spec.family == "zynq7":
            registers[0xF8000000][0x108] *= 2
        else:
            registers[0xFF5E0000][0x20] = 1 << 16 | multiplier << 8
        return registers

    monkeypatch.setattr(board, "clock_registers", other_plls)
    for kind in KINDS:
        with pytest.raises(DeviceError, match=r"the PL clock is 2\d\d.* MHz, but the overlay meets its timing at"):
            emulated(kind)


def test_everybodys_overlay_has_the_driver(emulated: Callable[..., Any]) -> None:
    """Protects the entry point: pynq binds our driver by the VLNV, and its register map works beside it."""
    device = emulated()
    overlay = pynq.Overlay(str(device._bitfile), download=False, device=device.emulated)
    overlay.download()
    kernel = overlay.strop_kernel_0
    assert type(kernel) is StropKernel
    kernel.register_map.steps = 5
    assert kernel.register_map.CTRL.AP_IDLE == 1
    assert kernel.finished()


def test_ten_thousand_runs_leak_nothing(emulated: Callable[..., Any]) -> None:
    """Protects a box that trains for months: one buffer after 10,000 starts, and none after 200 arenas."""
    device = emulated()
    device.allocate(4096)
    for _ in range(10_000):
        assert device.run(NOTHING)["steps_done"] == 1
    assert device.emulated.kernel.starts == 10_001  # and the one that asked for the version
    assert device.emulated.dram.buffers == 1
    for nbytes in range(1, 201):
        device.allocate(64 * nbytes)
        assert device.emulated.dram.buffers == 1
    device.close()
    gc.collect()
    assert device.emulated.dram.buffers == 0


def test_too_large_an_arena_is_refused_and_the_next_is_not(emulated: Callable[..., Any]) -> None:
    """Protects the planner's promise on a board: what does not fit its memory is said with the number."""
    device = emulated()
    with pytest.raises(MemoryPlanError, match="the board has no 1,073,741,824 bytes of contiguous memory"):
        device.allocate(1 << 30)
    device.allocate(4096)
    assert device.run(NOTHING)["status"] == C.STATUS_OK


def test_an_arena_beyond_the_kernels_addresses_is_refused(emulated: Callable[..., Any]) -> None:
    """Protects 32-bit ports from an address that would be cut: the buffer is given back."""
    device = emulated()
    device._kernel._wide = False
    place = device.emulated.allocate

    def high(*arguments: Any, **words: Any) -> Any:
        buffer = place(*arguments, **words)
        buffer.device_address += 1 << 32
        return buffer

    device.emulated.allocate = high
    with pytest.raises(DeviceError, match="where this overlay's kernel does not reach"):
        device.allocate(4096)
    gc.collect()
    assert device.emulated.dram.buffers == 0


def test_an_arena_outside_the_memory_that_the_design_maps(emulated: Callable[..., Any]) -> None:
    """Protects from addresses that nothing answers: each arena is held to what the .hwh says of the kernel's memory."""
    device = emulated()
    assert device._memory, "the .hwh says it"
    device._memory = ((0, 0xFFFF),)
    with pytest.raises(DeviceError, match="where this overlay's kernel does not reach"):
        device.allocate(4096)


def test_an_arena_is_zeros_whatever_was_there(emulated: Callable[..., Any]) -> None:
    """Protects programs from the last one's memory: contiguous memory comes as it was left."""
    device = emulated()
    for _ in range(2):
        device.allocate(1 << 16)
        assert not device.read(0, 1 << 16).any()
        device.write(4096, np.full(1 << 15, 0xAB, np.uint8))
        device.run(NOTHING)  # which flushes it


def test_the_earlier_arena_makes_room_for_the_next(emulated: Callable[..., Any]) -> None:
    """Protects large networks: two arenas of more than half of the memory never exist together."""
    device = emulated()
    for _ in range(3):
        device.allocate(40 << 20)


@pytest.mark.parametrize("cacheable", [True, False])
def test_the_mapping_is_the_one_asked_for(cacheable: bool, emulated: Callable[..., Any]) -> None:
    """Protects the choice between cached and uncached: it reaches pynq."""
    device = emulated(cacheable=cacheable)
    device.allocate(4096)
    device.write(0, np.ones(64, np.uint8))
    memory, _ = device.emulated.dram.memory_at(device._arena.address)
    assert memory[:64].all() != cacheable


def test_closing_waits_for_the_start_that_is_under_way(
    emulated: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects memory that the kernel writes: it is not given back, nor the board to others, before the start ends."""
    device = emulated(timeout_seconds=10)
    device.allocate(4096)
    run = device.emulated.kernel._kernel.run
    begun, ended = threading.Event(), []

    def slowly(arena: Any, registers: Any) -> None:
        begun.set()
        time.sleep(0.2)
        run(arena, registers)
        ended.append(device.emulated.dram.buffers)

    monkeypatch.setattr(device.emulated.kernel._kernel, "run", slowly)
    runner = threading.Thread(target=lambda: device.run(NOTHING))
    runner.start()
    begun.wait()
    device.close()
    runner.join()
    assert ended == [1], "the arena was there when the kernel ended"
    assert device.emulated.downloads == 1


def test_an_arena_is_given_back_after_its_writer(emulated: Callable[..., Any]) -> None:
    """Protects the process: memory is not unmapped while another thread writes to it."""
    device = emulated()
    device.allocate(4096)
    arena = device._arena
    with arena._lock:
        freeing = threading.Thread(target=arena.free)
        freeing.start()
        freeing.join(0.1)
        assert freeing.is_alive()
        assert arena._bytes is not None
    freeing.join()
    with pytest.raises(DeviceError, match="this arena was given back"):
        arena.write(0, np.ones(1, np.uint8))


def test_pynq_is_as_before_once_an_emulated_board_is_closed(emulated: Callable[..., Any]) -> None:
    """Protects the real board of a machine: an emulated one that was closed is not taken for it."""
    before, look_up = vars(pynq.Device).get("_active_device"), pynq.interrupt.get_uio_irq
    device = emulated()
    assert pynq.Device.active_device is device.emulated
    device.close()
    assert vars(pynq.Device).get("_active_device") is before
    assert pynq.interrupt.get_uio_irq is look_up


def test_writing_while_the_kernel_runs_loses_nothing(emulated: Callable[..., Any]) -> None:
    """Protects streaming: the host writes slots while starts end and caches are invalidated, and every byte arrives."""
    device = emulated(timeout_seconds=10)
    device.allocate(1 << 16)
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            device.run(NOTHING)

    runner = threading.Thread(target=run)
    runner.start()
    for turn in range(300):
        value = np.full(512, turn % 251 + 1, np.uint8)
        at = 4096 + 512 * (turn % 64)
        device.write(at, value)
        assert (device.read(at, 512) == value).all()
    stop.set()
    runner.join()
    device.run(NOTHING)
    expected = [turn % 251 + 1 for turn in range(300 - 64, 300)]
    found = {turn % 64: value for turn, value in zip(range(300 - 64, 300), expected, strict=True)}
    memory, _ = device.emulated.dram.memory_at(device._arena.address)
    for slot, value in found.items():
        assert (memory[4096 + 512 * slot : 4096 + 512 * (slot + 1)] == value).all()


def test_an_overlay_without_interrupts(emulated: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects who asks for interrupts in vain: an error at the first run, not an endless wait."""
    monkeypatch.setattr(StropKernel, "__init__", _without_interrupt(StropKernel.__init__))
    with pytest.raises(DeviceUnavailable, match="has no interrupts; open the board without them"):
        emulated(interrupts=True)


def _without_interrupt(made: Any) -> Any:
    def init(self: Any, description: Any) -> None:
        made(self, {**description, "interrupts": {}})

    return init


def test_two_sessions_share_a_board(emulated: Callable[..., Any], expected: str) -> None:
    """Protects models that take turns on one board: each start finds the arena of its own session or says so."""
    device = emulated()
    first = opened_session(device)
    opened_session(device)
    with pytest.raises(DeviceError, match="another session took emulated-board's memory"):
        list(first.train(minibatches(0, 1)))
    assert trained_digest(device, STEPS) == expected
