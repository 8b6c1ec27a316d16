"""ReferenceDevice: runs a program command by command, step by step, as the kernel does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.runtime.contract import COMMAND, OPCODE_NAMES, REPORT, C, Registers
from strop.runtime.errors import DeviceError, InputError, MemoryPlanError, ProgramError
from strop.runtime.reference.arena import Arena
from strop.runtime.reference.command_access import Stop
from strop.runtime.reference.limits import word_beyond_limit
from strop.runtime.reference.operations import OPERATIONS


class ReferenceDevice:
    """The NumPy device: the oracle that other devices are compared with.

    A program that breaks the contract where the kernel has no status for it (an unaligned offset, a tensor beyond the
    arena) raises `ProgramError`.
    """

    name = "reference"
    description = "NumPy reference: the slow oracle, written from the specification; one processor, no kernel"
    contract_version = C.CONTRACT_VERSION
    numerics_version = C.NUMERICS_VERSION

    def __init__(self) -> None:
        self._memory: Arena | None = None
        self.arenas = 0

    @property
    def _arena(self) -> Arena:
        if self._memory is None:
            raise DeviceError("the reference device has no arena; call allocate(nbytes) first")
        return self._memory

    def allocate(self, nbytes: int) -> None:
        """Make the arena, zeroed; it replaces an earlier one. Raises `MemoryPlanError` beyond 32-bit offsets."""
        if not 0 < nbytes <= 2**32:
            raise MemoryPlanError(f"an arena of {nbytes} bytes; offsets are 32 bits: take 1 to {2**32}")
        self._memory = Arena(nbytes)
        self.arenas += 1

    def write(self, offset: int, data: NDArray[Any]) -> None:
        """Copy the bytes of `data`, in C order, to `offset`. Raises `InputError` where they do not fit."""
        flat = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
        self._check(offset, flat.size)
        self._arena.bytes[offset : offset + flat.size] = flat

    def read(self, offset: int, nbytes: int) -> NDArray[np.uint8]:
        """Return a copy of `nbytes` bytes, uint8 [nbytes]. Raises `InputError` where the arena has not as many."""
        self._check(offset, nbytes)
        copy: NDArray[np.uint8] = self._arena.bytes[offset : offset + nbytes].copy()
        return copy

    def _check(self, offset: int, nbytes: int) -> None:
        size = self._arena.bytes.size
        if offset < 0 or nbytes < 0 or offset + nbytes > size:
            raise InputError(f"bytes {offset} to {offset + nbytes} of an arena of {size}; stay inside it")

    def run(self, registers: Registers) -> np.void:
        """Run the program for `registers.steps` mini-batches; return the REPORT record that it ends with."""
        report = np.zeros(1, REPORT)
        report["status"] = C.STATUS_OK
        if registers.commands > C.MAX_COMMANDS or registers.steps > C.MAX_STEPS or registers.slot_count < 1:
            report["status"] = C.STATUS_BAD_REGISTERS
        else:
            self._steps(registers, report)
        self.write(registers.report, report)
        record: np.void = report[0]
        return record

    def _steps(self, registers: Registers, report: NDArray[Any]) -> None:
        program = self._arena.view(registers.program, (registers.commands,), COMMAND)
        for step in range(registers.steps):
            slot = registers.slots + ((registers.first_slot + step) % registers.slot_count) * registers.slot_stride
            for index, command in enumerate(program):
                try:
                    self._execute(command, slot)
                except Stop as stop:
                    report["status"], report["detail"] = stop.status, stop.detail
                    report["step"], report["command"], report["layer"] = step, index, command["layer"]
                    return
                except ProgramError as error:
                    opcode = OPCODE_NAMES[int(command["opcode"])]
                    where = f"step {step}, command {index} ({opcode}), layer {command['layer']}"
                    raise ProgramError(f"{where}: {error}") from error
            report["steps_done"] = step + 1

    def _execute(self, command: np.void, slot: int) -> None:
        operation = OPERATIONS.get(int(command["opcode"]))
        if operation is None:
            raise Stop(C.STATUS_UNKNOWN_OPCODE)
        wrong = word_beyond_limit(command)
        if wrong is not None:
            raise Stop(C.STATUS_BAD_COMMAND, wrong)
        names = [name for name in COMMAND.fields or () if name != "reserved"]
        operation(self._arena, SimpleNamespace(**{name: int(command[name]) for name in names}), slot)

    def close(self) -> None:
        """Release the arena."""
        self._memory = None
