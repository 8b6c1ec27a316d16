"""The kernel's AXI-Lite port as Vitis HLS makes it (ap_ctrl_hs, UG1399), in front of the compiled kernel.

A start runs on a thread, so that control reads as busy meanwhile, as on a board.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from strop.overlay.registers import registers
from strop.runtime.contract import COMMAND, REGISTER_OFFSETS, REPORT, C, Registers
from strop.runtime.emulated_board.dram import Dram
from strop.runtime.emulated_board.faults import Faults
from strop.runtime.emulator import CompiledKernel
from strop.runtime.errors import BusFault

ARENA = ("arena_bytes", "arena_words", "arena_maps", "arena_filters")
PLACES = ("source", "source_2", "source_3", "target")  # fields of a command that are arena offsets of tensors
IN_SLOT = {"source": C.FLAG_SOURCE_IN_SLOT, "target": C.FLAG_TARGET_IN_SLOT}


class KernelPort:
    """Registers of one kernel with addresses of `address_bits`, its memory being `dram`.

    `on_interrupt` is called whenever the interrupt line may have changed. Registers that the contract does not have,
    and those that only the other side may write, are a `BusFault`.
    """

    def __init__(self, dram: Dram, address_bits: int, faults: Faults) -> None:
        self.on_interrupt: Callable[[], None] = lambda: None
        self.starts = 0
        self._dram, self._faults = dram, faults
        self._kernel = CompiledKernel()
        self._names = {register.offset: register for register in registers(address_bits)}
        self._offsets = {register.name: register.offset for register in registers(address_bits)}
        self._wide = address_bits == 64
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="emulated-kernel")
        self.reset()

    def reset(self) -> None:
        """Be as after the overlay was loaded: no start under way, all registers 0."""
        self._values: dict[int, int] = {}
        self._running: Future[None] | None = None
        self._hung = self._done = False
        self._interrupt = 0

    def close(self) -> None:
        """Stop the kernel's threads."""
        self._thread.shutdown()
        self._kernel.close()

    def interrupts(self) -> bool:
        """The level of the interrupt line."""
        return bool(self._interrupt and self._values.get(C.REG_GLOBAL_INTERRUPT, 0) & 1)

    # -- the bus --------------------------------------------------------------------------------------------------
    def read(self, offset: int) -> int:
        """Return a register. What the kernel did wrong since the last look is raised here."""
        register = self._names.get(offset)
        if register is None:
            raise BusFault(f"the kernel has no register at {offset:#x}")
        if offset == C.REG_CONTROL:
            return self._control()
        if offset == C.REG_INTERRUPT_STATUS:
            return self._interrupt
        return 0 if register.access == "write-only" else self._values.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """Write a register; START in CONTROL begins a start."""
        register = self._names.get(offset)
        if register is None or register.access == "read-only":
            raise BusFault(f"the kernel has no register at {offset:#x} that can be written")
        if offset == C.REG_CONTROL:
            if value & C.CONTROL_START and self._running is None and not self._hung:
                self._start()
        elif offset == C.REG_INTERRUPT_STATUS:
            self._interrupt ^= value & 1
            self.on_interrupt()
        else:
            self._values[offset] = value

    def _control(self) -> int:
        if self._hung:
            return C.CONTROL_START
        if self._running is not None:
            if not self._running.done():
                return C.CONTROL_START
            ended, self._running = self._running, None
            ended.result()
            if self._hung:
                return C.CONTROL_START
            self._done = True
        seen, self._done = self._done, False
        return C.CONTROL_IDLE | ((C.CONTROL_DONE | C.CONTROL_READY) if seen else 0)

    # -- a start --------------------------------------------------------------------------------------------------
    def _start(self) -> None:
        self.starts += 1
        self._running = self._thread.submit(self._run, dict(self._values))

    def _run(self, values: dict[int, int]) -> None:
        """Run a start with the registers as they were when it began."""
        faults = self._faults
        start = self._registers(values)
        arena, nbytes = self._arena(values)
        _check_places(arena, nbytes, start)
        if faults.silent:
            self._hung = True
            return
        if faults.hang_at_command is not None and start.commands > faults.hang_at_command and start.steps:
            self._hang(arena, start, faults.hang_at_command)
            return
        if faults.misplaced_report:
            start = Registers(**{**vars(start), "report": start.report + faults.misplaced_report})
        self._kernel.run(arena, start)
        self._dram.check_guards()
        version = self._kernel.version if faults.version is None else faults.version
        self._values[C.REG_VERSION], self._values[C.REG_VERSION + 4] = version, 1
        if not faults.lost_interrupts and self._values.get(C.REG_INTERRUPT_ENABLE, 0) & 1:
            self._interrupt = 1
            self.on_interrupt()

    def _hang(self, arena: NDArray[np.uint8], start: Registers, at: int) -> None:
        """Do what comes before the command, then what the kernel does first of each: say that it is under way."""
        self._faults.hangs -= 1
        if self._faults.hangs <= 0:
            self._faults.hang_at_command = None
        self._kernel.run(arena, Registers(**{**vars(start), "commands": at, "steps": 1}))
        report = arena[start.report :][: REPORT.itemsize].view(REPORT)
        report["status"], report["command"], report["steps_done"] = C.STATUS_RUNNING, at, 0
        report["layer"] = arena[start.program :][: start.commands * COMMAND.itemsize].view(COMMAND)["layer"][at]
        self._hung = True

    def _registers(self, values: dict[int, int]) -> Registers:
        return Registers(**{name: values.get(offset, 0) for name, offset in REGISTER_OFFSETS.items()})

    def _arena(self, values: dict[int, int]) -> tuple[NDArray[np.uint8], int]:
        """The memory at the arena's address. All four ports must have been given the same."""
        addresses = set()
        for name in ARENA:
            if self._wide:
                low, high = (values.get(self._offsets[f"{name}_{word}"], 0) for word in (1, 2))
                addresses.add(high << 32 | low)
            else:
                addresses.add(values.get(self._offsets[name], 0))
        if len(addresses) != 1:
            raise BusFault(f"the kernel's ports were given different arenas: {', '.join(map(hex, sorted(addresses)))}")
        return self._dram.memory_at(addresses.pop())


def _check_places(arena: NDArray[np.uint8], nbytes: int, start: Registers) -> None:
    """Raise `BusFault` where the start would begin to read or write beyond its buffer.

    How far it goes from there is seen by the guards; this keeps a wild offset from ending the process.
    """
    limits = start.commands > C.MAX_COMMANDS or start.steps > C.MAX_STEPS or start.slot_count == 0
    slots_end = 0 if limits or not start.steps else start.slots + start.slot_count * start.slot_stride
    program_end = 0 if limits or not start.steps else start.program + start.commands * COMMAND.itemsize
    for what, end in (("report", start.report + REPORT.itemsize), ("program", program_end), ("slots", slots_end)):
        if end > nbytes:
            raise BusFault(f"the kernel would reach byte {end} for its {what}, beyond its buffer of {nbytes}")
    if limits or not start.steps or not start.commands:
        return
    program = arena[start.program : program_end].view(COMMAND)
    for name in PLACES:
        offsets = program[name].astype(np.uint64)
        if name in IN_SLOT:
            offsets[program["flags"] & IN_SLOT[name] != 0] += np.uint64(start.slots)
        if (wild := np.flatnonzero(offsets >= nbytes)).size:
            raise BusFault(f"the kernel would reach byte {offsets[wild[0]]} at command {wild[0]}, beyond {nbytes}")
