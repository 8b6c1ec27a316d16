"""The emulator: the kernel's own C++, compiled for this machine, equal to the board's bytes."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.runtime.contract import COMMAND, REPORT, C, Registers
from strop.runtime.device import check_arena_size
from strop.runtime.errors import DeviceError, DeviceUnavailable, InputError, MemoryPlanError

# By the names of native/emulator.h, slowest first after "auto".
INSTRUCTION_SETS = {
    "auto": "STROP_ISA_AUTO",
    "portable": "STROP_ISA_PORTABLE",
    "avx2": "STROP_ISA_AVX2",
    "avx512-vnni": "STROP_ISA_AVX512_VNNI",
    "neon": "STROP_ISA_NEON",
    "neon-dot": "STROP_ISA_NEON_DOT",
}


def kernel_library() -> Any:
    """Return the compiled extension. Raises `DeviceUnavailable` without one, or with one that does not load here."""
    try:
        from strop.runtime import _kernel
    except ModuleNotFoundError as error:
        raise DeviceUnavailable(
            f"the emulator was not compiled when strop was installed ({error}); install a C++ compiler "
            "(Debian, Ubuntu: apt-get install g++ python3-dev) and install strop again"
        ) from error
    except ImportError as error:
        raise DeviceUnavailable(
            f"the compiled emulator is there, but does not load on this system ({error}); install strop again from its "
            "sources, or what the message misses"
        ) from error
    return _kernel


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def supported_instruction_sets() -> list[str]:
    """Return the instruction sets that the kernel was compiled for and this processor has, slowest first."""
    lib = kernel_library().lib
    names = [name for name in INSTRUCTION_SETS if name != "auto"]
    return [name for name in names if lib.strop_emulator_supports(getattr(lib, INSTRUCTION_SETS[name]))]


class CompiledKernel:
    """The kernel's C++ on this machine's cores: what runs a start on an arena that somebody else holds.

    `instruction_set` "auto" takes the widest there is; no choice changes a byte. Raises `DeviceUnavailable` if the
    kernel was not compiled or the processor lacks the instruction set.
    """

    def __init__(self, threads: int | None = None, instruction_set: str = "auto") -> None:
        if instruction_set not in INSTRUCTION_SETS:
            raise InputError(f"instruction set {instruction_set!r}; allowed: {', '.join(INSTRUCTION_SETS)}")
        kernel = kernel_library()
        self._ffi, self._lib = kernel.ffi, kernel.lib
        most = int(self._lib.STROP_EMULATOR_MAX_THREADS)
        self.threads = min(available_cores(), most) if threads is None else threads
        if not 1 <= self.threads <= most:
            raise InputError(f"threads is {threads}; allowed: 1 to {most}")
        number = getattr(self._lib, INSTRUCTION_SETS[instruction_set])
        if not self._lib.strop_emulator_supports(number):
            raise DeviceUnavailable(
                f"this processor has no {instruction_set}; it has {', '.join(supported_instruction_sets())}"
            )
        handle = self._lib.strop_emulator_open(self.threads, number)
        if handle == self._ffi.NULL:
            raise DeviceUnavailable(
                f"the system gives no {self.threads} threads, or no memory for them; take fewer threads"
            )
        self._handle: Any = self._ffi.gc(handle, self._lib.strop_emulator_close)
        taken = self._lib.strop_emulator_isa(handle)
        self.instruction_set = next(n for n, const in INSTRUCTION_SETS.items() if getattr(self._lib, const) == taken)
        self.version = int(self._lib.strop_emulator_version())  # contract << 16 | numerics

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._handle is None

    def run(self, arena: NDArray[np.uint8], registers: Registers) -> None:
        """Run one start to its end on `arena`, uint8 [bytes], aligned as the contract says; it ends in the report.

        Other Python threads go on meanwhile. The kernel does not know where the arena ends.
        """
        r = registers
        self._lib.strop_emulator_run(
            self._handle,
            self._ffi.from_buffer("uint8_t[]", arena, require_writable=True),
            r.program,
            r.commands,
            r.steps,
            r.slots,
            r.slot_stride,
            r.slot_count,
            r.first_slot,
            r.report,
        )

    def close(self) -> None:
        """Stop the threads."""
        if self._handle is not None:
            self._ffi.release(self._handle)
            self._handle = None


class EmulatorDevice:
    """The kernel on this machine's cores, with an arena in this process. Arguments and errors as `CompiledKernel`."""

    name = "emulator"

    def __init__(self, threads: int | None = None, instruction_set: str = "auto") -> None:
        self._kernel = CompiledKernel(threads, instruction_set)
        self.threads, self.instruction_set = self._kernel.threads, self._kernel.instruction_set
        self.contract_version, self.numerics_version = self._kernel.version >> 16, self._kernel.version & 0xFFFF
        self.description = f"emulator: the kernel's C++ on {self.threads} thread(s), {self.instruction_set}"
        self._arena: NDArray[np.uint8] | None = None
        self.arenas = 0

    def allocate(self, nbytes: int) -> None:
        """Take one arena of zeros, aligned as the contract says. Raises `MemoryPlanError`."""
        if self._kernel.closed:
            raise DeviceError("the emulator was closed; open another one")
        check_arena_size(nbytes)
        # the system promises more memory than it has; what exceeds the machine would end in a killed process
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if nbytes > physical:
            raise MemoryPlanError(f"an arena of {nbytes} bytes; this machine has {physical}: take a smaller mini-batch")
        try:
            block = np.zeros(nbytes + C.ALIGN_BYTES, np.uint8)
        except MemoryError as error:
            raise MemoryPlanError(
                f"this machine has no {nbytes} bytes for the arena; take a smaller mini-batch"
            ) from error
        start = -block.ctypes.data % C.ALIGN_BYTES
        self._arena = block[start : start + nbytes]
        self.arenas += 1

    def write(self, offset: int, data: NDArray[Any]) -> None:
        """Copy the bytes of a C-contiguous array into the arena. Raises `InputError` where they do not fit."""
        raw = data.reshape(-1).view(np.uint8)
        self._span(offset, raw.size)[:] = raw

    def read(self, offset: int, nbytes: int) -> NDArray[np.uint8]:
        """Return a copy of `nbytes` bytes of the arena. Raises `InputError` where it has not as many."""
        copied: NDArray[np.uint8] = self._span(offset, nbytes).copy()
        return copied

    def _span(self, offset: int, nbytes: int) -> NDArray[np.uint8]:
        if self._arena is None:
            raise DeviceError("the emulator has no arena; call allocate(nbytes) first")
        if offset < 0 or nbytes < 0 or offset + nbytes > self._arena.size:
            raise InputError(f"bytes {offset} to {offset + nbytes} of an arena of {self._arena.size}; stay inside it")
        return self._arena[offset : offset + nbytes]

    def run(self, registers: Registers) -> np.void:
        """Run one start to its end; other Python threads go on meanwhile.

        Raises `InputError` where program, slots or report leave the arena: the kernel itself would not notice.
        """
        r = registers
        self._span(r.report, REPORT.itemsize)
        if r.commands <= C.MAX_COMMANDS:  # beyond its limits the kernel reads nothing and says so in the report
            self._span(r.program, r.commands * COMMAND.itemsize)
            self._span(r.slots, r.slot_count * r.slot_stride)
        assert self._arena is not None
        self._kernel.run(self._arena, registers)
        report: np.void = self.read(r.report, REPORT.itemsize).view(REPORT)[0]
        return report

    def close(self) -> None:
        """Stop the threads and free the arena."""
        self._arena = None
        self._kernel.close()
