"""Every fault of the hardware ends in an error of its own, in time, and the next job runs to the right bytes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pynq
import pytest

from board_training import NOTHING, minibatches, opened_session, train, trained_digest
from strop.host.data import load_fashion_mnist_subset
from strop.host.model import Model
from strop.runtime.contract import C, Registers
from strop.runtime.device import open_device
from strop.runtime.errors import BusFault, DeviceError, DeviceTimeout, InputError

STEPS = 6
TIMEOUT = 0.2
GRACE = 2.0  # a slow machine's; without the time-out the wait would never end


@pytest.fixture(scope="module")
def expected() -> str:
    """The digest of the next job, by the emulator."""
    return trained_digest(open_device("emulator"), STEPS)


def demand_a_good_next_job(device: Any, expected: str) -> None:
    """Train on the device that just failed; there is one arena, that of the new job."""
    assert trained_digest(device, STEPS) == expected
    assert device.emulated.dram.buffers == 1


@pytest.mark.parametrize("interrupts", [False, True], ids=["polling", "interrupts"])
def test_a_kernel_that_hangs(interrupts: bool, emulated: Callable[..., Any], expected: str) -> None:
    """Protects from endless waits: the error comes in time, names command and layer, and the board is usable."""
    device = emulated(interrupts=interrupts, timeout_seconds=TIMEOUT)
    session = opened_session(device)
    train(session, 0, 2)
    device.emulated.faults.hang_at_command = 7
    begin = time.monotonic()
    message = r"step 0, command 7, layer \w+: the kernel made no progress for 0.2 s at command 7 .*status word 6"
    with pytest.raises(DeviceTimeout, match=message) as caught:
        list(session.train(minibatches(2, 4)))
    assert TIMEOUT <= time.monotonic() - begin < TIMEOUT + GRACE
    assert caught.value.report is not None
    assert session._programs["train", 16].layers[int(caught.value.report["layer"])] in str(caught.value)
    assert device.emulated.downloads == 2
    assert device.emulated.dram.buffers == 0
    demand_a_good_next_job(device, expected)


def test_a_kernel_that_never_says_anything(emulated: Callable[..., Any], expected: str) -> None:
    """Protects from a dead kernel: without a report there is no command to name, and the message says what it can."""
    device = emulated(timeout_seconds=TIMEOUT)
    device.allocate(4096)
    device.emulated.faults.silent = True
    with pytest.raises(DeviceTimeout, match="the kernel wrote nothing in 0.2 s .*control register 0x01") as caught:
        device.run(NOTHING)
    assert caught.value.report is None
    device.emulated.faults.silent = False
    demand_a_good_next_job(device, expected)


def test_a_long_job_is_no_hung_kernel(emulated: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects slow boards: as long as the report moves, the wait goes on, however long it takes in all."""
    device = emulated(timeout_seconds=TIMEOUT)
    device.allocate(4096)
    port = device.emulated.kernel
    run = port._kernel.run

    def slowly(arena: Any, registers: Registers) -> None:
        report = arena[registers.report :][:32].view(np.uint32)
        for command in range(8):
            report[:4] = C.STATUS_RUNNING, 0, command, 0
            time.sleep(TIMEOUT / 2)
        run(arena, registers)

    monkeypatch.setattr(port._kernel, "run", slowly)
    assert device.run(NOTHING)["status"] == C.STATUS_OK
    assert device.emulated.downloads == 1


def test_an_interrupt_that_is_lost(
    emulated: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, expected: str
) -> None:
    """Protects from a design whose interrupt is not wired: the kernel was done, and the message says so."""
    device = emulated(interrupts=True, timeout_seconds=TIMEOUT)
    device.allocate(4096)
    device.emulated.faults.lost_interrupts = True
    run = device.emulated.kernel._kernel.run

    def slowly(arena: Any, registers: Registers) -> None:
        time.sleep(TIMEOUT / 4)  # a start that is over at once is seen without an interrupt, when one is still latched
        run(arena, registers)

    monkeypatch.setattr(device.emulated.kernel._kernel, "run", slowly)
    with pytest.raises(DeviceTimeout, match="was done, but no interrupt came .*axi_intc"):
        device.run(NOTHING)
    device.emulated.faults.lost_interrupts = False
    monkeypatch.undo()
    demand_a_good_next_job(device, expected)


def test_a_report_that_does_not_arrive(emulated: Callable[..., Any], expected: str) -> None:
    """Protects from results that are not there: DONE alone is not believed."""
    device = emulated()
    device.allocate(4096)
    device.emulated.faults.misplaced_report = 1024
    with pytest.raises(DeviceError, match="says that it is done, but its report is not in the arena"):
        device.run(NOTHING)
    device.emulated.faults.misplaced_report = 0
    demand_a_good_next_job(device, expected)


def test_flushes_that_are_lost(emulated: Callable[..., Any], expected: str) -> None:
    """Protects from training on what is not there: the kernel meets stale memory instead of a program and says so."""
    device = emulated(timeout_seconds=TIMEOUT)
    session = opened_session(device)
    device.emulated.faults.lost_flushes = True
    with pytest.raises(DeviceError, match="unknown_opcode|not in the arena|bad_command"):
        list(session.train(minibatches(0, 2)))
    device.emulated.faults.lost_flushes = False
    demand_a_good_next_job(device, expected)


@pytest.mark.parametrize("sync", ["sync_to_device", "sync_from_device"])
def test_the_suite_would_notice_a_driver_that_forgets_to_sync(
    sync: str, emulated: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, expected: str
) -> None:
    """Protects the equality tests: with either sync taken out of the driver, training fails or gives other bytes."""
    device = emulated(timeout_seconds=TIMEOUT)
    monkeypatch.setattr(pynq.buffer.PynqBuffer, sync, lambda self: None)
    with pytest.raises((DeviceError, InputError, AssertionError)):
        assert trained_digest(device, STEPS) == expected


def test_an_address_that_nothing_answers(emulated: Callable[..., Any], expected: str) -> None:
    """Protects from wrong offsets: an access beside the overlay's units is a fault, and the kernel goes on."""
    device = emulated()
    with pytest.raises(BusFault, match="nothing answers at bus address 0x50000000"):
        pynq.MMIO(0x50000000, 64, device=device.emulated).read(0)
    with pytest.raises(BusFault, match="no register at 0x90"):
        device._kernel.write(0x90, 1)
    demand_a_good_next_job(device, expected)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"address": 0x10}, "would reach 0x00000010, which is no buffer"),
        ({"report": 1 << 20}, "for its report, beyond its buffer"),
        ({"program": 1 << 20, "commands": 1}, "for its program, beyond its buffer"),
    ],
    ids=["no buffer", "report", "program"],
)
def test_a_kernel_sent_to_memory_that_is_not_its_own(
    wrong: dict[str, int], message: str, emulated: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, expected: str
) -> None:
    """Protects everybody's memory: a fault of the bus, not a training on something else."""
    device = emulated()
    device.allocate(1 << 16)
    begin = device._kernel.start

    def start(registers: Registers, address: int) -> None:
        changed = {name: value for name, value in wrong.items() if name != "address"}
        begin(Registers(**{**vars(registers), **changed}), wrong.get("address", address))

    monkeypatch.setattr(device._kernel, "start", start)
    with pytest.raises(BusFault, match=message):
        device.run(NOTHING)
    monkeypatch.undo()
    demand_a_good_next_job(device, expected)


def test_a_kernel_that_writes_beyond_its_buffer(emulated: Callable[..., Any], expected: str) -> None:
    """Protects what lies behind an arena: an overrun is seen by the guards, at the run that did it."""
    device = emulated()
    session = opened_session(device)
    program = session._program("train", 16)
    convolutions = program.commands["opcode"] == C.OP_CONV_FORWARD
    program.commands["target"][convolutions] = session.memory.peak - C.ALIGN_BYTES
    with pytest.raises(BusFault, match="wrote .* outside the buffer"):
        list(session.train(minibatches(0, 1)))
    demand_a_good_next_job(device, expected)


def test_registers_are_checked_before_anything_runs(emulated: Callable[..., Any]) -> None:
    """Protects the board from a caller's mistake: nothing was started, nothing is loaded again."""
    device = emulated()
    device.allocate(4096)
    for wrong in ({"report": 4090}, {"program": 4096, "commands": 1}, {"slots": 4000, "slot_count": 3}):
        with pytest.raises(InputError, match="of an arena of 4096; stay inside it"):
            device.run(Registers(**{**vars(NOTHING), **wrong}))
    assert (device.emulated.kernel.starts, device.emulated.downloads) == (1, 1)


def test_an_interrupted_wait_stops_the_kernel(emulated: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects Ctrl-C: the kernel is not left running behind the program's back."""
    device = emulated(timeout_seconds=10)
    device.allocate(4096)
    device.emulated.faults.silent = True

    def interrupted(seconds: float) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(device, "_done_within", interrupted)
    with pytest.raises(KeyboardInterrupt):
        device.run(NOTHING)
    assert device.emulated.downloads == 2
    assert device.emulated.dram.buffers == 0


def test_a_board_that_cannot_be_loaded_again(emulated: Callable[..., Any]) -> None:
    """Protects the machine: both failures are told, logic that may be dead is not touched, its memory stays taken."""
    device = emulated(timeout_seconds=TIMEOUT)
    device.allocate(4096)
    device.emulated.faults.silent = device.emulated.faults.failing_downloads = True
    message = "wrote nothing .*; then loading the overlay again failed .*timed out: power the board off and on"
    with pytest.raises(DeviceError, match=message):
        device.run(NOTHING)
    assert device.emulated.dram.buffers == 1, "the kernel may be writing to it"
    for use in (lambda: device.allocate(4096), lambda: device.run(NOTHING)):
        with pytest.raises(DeviceError, match="could not be loaded again after a failure"):
            use()
    device.close()
    assert device.emulated.dram.buffers == 0


def test_a_second_interruption_leaves_the_board_alone(
    emulated: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects from Ctrl-C twice: a download that was cut off leaves logic that nobody may touch."""
    device = emulated(timeout_seconds=TIMEOUT)
    device.allocate(4096)
    device.emulated.faults.silent = True

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(device.emulated, "download", interrupted)
    with pytest.raises(KeyboardInterrupt):
        device.run(NOTHING)
    with pytest.raises(DeviceError, match="could not be loaded again"):
        device.run(NOTHING)


def test_a_model_goes_on_after_a_hung_kernel(emulated: Callable[..., Any]) -> None:
    """Protects a person's model: after the failure it is as before the fit, and the next fit is the right one."""
    data = load_fashion_mnist_subset("train")
    device = emulated(timeout_seconds=TIMEOUT)
    words: dict[str, Any] = {"input": data.image_shape, "classes": data.classes, "seed": 3}
    model = Model.create("lenet5", device=device, **words)
    before = model.digest()
    device.emulated.faults.hang_at_command = 20
    with pytest.raises(DeviceTimeout):
        model.fit(data, steps=5, batch=16)
    assert model.digest() == before
    model.fit(data, steps=5, batch=16)
    right = Model.create("lenet5", device="emulator", **words)
    right.fit(data, steps=5, batch=16)
    assert model.digest() == right.digest()
