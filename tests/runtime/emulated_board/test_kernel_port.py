"""The kernel's registers, as the driver and a person with a register map meet them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from strop.overlay.registers import registers
from strop.runtime.contract import COMMAND, REPORT, C
from strop.runtime.emulated_board.dram import Dram
from strop.runtime.emulated_board.faults import Faults
from strop.runtime.emulated_board.kernel_port import KernelPort
from strop.runtime.errors import BusFault

REPORT_AT = 2048


class Bench:
    """A kernel port, one uncached buffer of 4096 bytes, and a start without steps in the registers."""

    def __init__(self, address_bits: int) -> None:
        self.faults = Faults()
        self.dram = Dram(1 << 18, 0x1000_0000 if address_bits == 32 else 0x8_1000_0000)
        self.buffer = self.dram.allocate(4096, cached=False)
        self.port = KernelPort(self.dram, address_bits, self.faults)
        self.interrupts: list[bool] = []
        self.port.on_interrupt = lambda: self.interrupts.append(self.port.interrupts())
        for register in registers(address_bits):
            if register.name.startswith("arena_"):
                high = register.name.endswith("_2")
                self.port.write(register.offset, self.buffer.address >> 32 if high else self.buffer.address)
        self.port.write(C.REG_SLOT_COUNT, 1)
        self.port.write(C.REG_REPORT_AT, REPORT_AT)

    def run(self) -> int:
        """Run a start; return the control register as it ends."""
        self.port.write(C.REG_CONTROL, C.CONTROL_START)
        end = time.monotonic() + 5
        while (control := self.port.read(C.REG_CONTROL)) == C.CONTROL_START and time.monotonic() < end:
            time.sleep(1e-4)
        return control

    def report(self) -> Any:
        """The report in memory."""
        return self.buffer.host[REPORT_AT : REPORT_AT + REPORT.itemsize].view(REPORT)[0]


@pytest.fixture(params=[32, 64])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Both families' registers."""
    made = Bench(request.param)
    yield made
    made.port.close()


def test_a_start_runs_the_kernel_and_says_so_once(bench: Bench) -> None:
    """Protects polling: DONE is there after a start, and gone once it was read; IDLE stays."""
    assert bench.port.read(C.REG_CONTROL) == C.CONTROL_IDLE
    assert bench.port.read(C.REG_VERSION) == 0
    bench.buffer.host[REPORT_AT:] = 0xFF
    assert bench.run() == C.CONTROL_IDLE | C.CONTROL_DONE | C.CONTROL_READY
    assert bench.port.read(C.REG_CONTROL) == C.CONTROL_IDLE
    assert bench.report()["status"] == C.STATUS_OK
    assert bench.port.read(C.REG_VERSION) == C.CONTRACT_VERSION << 16 | C.NUMERICS_VERSION
    assert bench.port.starts == 1


def test_registers_that_the_contract_lacks_are_faults(bench: Bench) -> None:
    """Protects the driver's offsets: a wrong one is an error, not a word of storage."""
    for offset in (0x14 if len(registers(32)) == len(bench.port._names) else 0x18, 0x44, 0x90, 0xFFFC):
        with pytest.raises(BusFault, match=f"no register at {offset:#x}"):
            bench.port.read(offset)
        with pytest.raises(BusFault, match=f"no register at {offset:#x}"):
            bench.port.write(offset, 1)
    with pytest.raises(BusFault, match="that can be written"):
        bench.port.write(C.REG_VERSION, 1)


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (C.REG_REPORT_AT, 4096 - 8, "for its report, beyond its buffer of 4096"),
        (C.REG_ARENA_MAPS, 64, "ports were given different arenas"),
    ],
)
def test_a_start_that_would_leave_its_buffer_is_a_fault(bench: Bench, offset: int, value: int, message: str) -> None:
    """Protects memory that is not the kernel's: the fault shows at the next look at the control register."""
    bench.port.write(offset, value)
    with pytest.raises(BusFault, match=message):
        bench.run()
    assert bench.port.read(C.REG_CONTROL) == C.CONTROL_IDLE


def test_no_buffer_is_a_fault(bench: Bench) -> None:
    """Protects from an arena that was given back."""
    bench.dram.free(bench.buffer.address)
    with pytest.raises(BusFault, match="is no buffer of this board"):
        bench.run()


@pytest.mark.parametrize("place", ["source", "target", "source_2", "source_3"])
def test_a_wild_offset_in_a_command_is_a_fault(bench: Bench, place: str) -> None:
    """Protects the process: the compiled kernel itself would write there."""
    command = np.zeros(1, COMMAND)
    command["opcode"], command[place] = C.OP_INPUT, 2**31
    bench.buffer.host[: COMMAND.itemsize] = command.view(np.uint8)
    bench.port.write(C.REG_COMMANDS, 1)
    bench.port.write(C.REG_STEPS, 1)
    bench.port.write(C.REG_SLOTS, 1024)
    with pytest.raises(BusFault, match=f"would reach byte {2**31} at command 0"):
        bench.run()


def test_the_interrupt_is_raised_and_taken_back_as_hls_does(bench: Bench) -> None:
    """Protects the interrupt's registers: enabled twice, raised by the end, toggled by a write."""
    bench.run()
    assert bench.interrupts == []
    bench.port.write(C.REG_INTERRUPT_ENABLE, 1)
    bench.run()
    assert bench.port.read(C.REG_INTERRUPT_STATUS) == 1
    assert not bench.port.interrupts(), "the global enable is off"
    bench.port.write(C.REG_GLOBAL_INTERRUPT, 1)
    assert bench.port.interrupts()
    bench.port.write(C.REG_INTERRUPT_STATUS, 1)
    assert not bench.port.interrupts()
    bench.port.write(C.REG_INTERRUPT_STATUS, 1)
    assert bench.port.interrupts(), "a written 1 toggles"


def test_a_hung_kernel_stays_busy_until_the_overlay_is_loaded(bench: Bench) -> None:
    """Protects the recovery: nothing but a reset ends it, and another start is not taken meanwhile."""
    bench.faults.silent = True
    bench.port.write(C.REG_CONTROL, C.CONTROL_START)
    for _ in range(3):
        time.sleep(0.01)
        bench.port.write(C.REG_CONTROL, C.CONTROL_START)
        assert bench.port.read(C.REG_CONTROL) == C.CONTROL_START
    assert bench.port.starts == 1
    bench.faults.silent = False
    bench.port.reset()
    assert bench.port.read(C.REG_CONTROL) == C.CONTROL_IDLE
    assert bench.port.read(C.REG_SLOT_COUNT) == 0
