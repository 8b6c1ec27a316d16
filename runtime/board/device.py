"""BoardDevice: programs on the kernel of an overlay, through the `pynq` package.

One start runs a whole queue of mini-batches; the processor only waits, by polling or for the interrupt. A kernel that
makes no progress is diagnosed from its report and stopped in the one way there is: the overlay is loaded again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
import pynq
from numpy.typing import NDArray
from pynq.pl_server.global_state import clear_global_state

from strop.overlay.registers import KERNEL_VLNV
from strop.runtime.board.arena import BoardArena
from strop.runtime.board.driver import StropKernel
from strop.runtime.board.interrupt import InterruptLine
from strop.runtime.board.options import BoardOptions
from strop.runtime.contract import COMMAND, REPORT, C, Registers
from strop.runtime.device import check_arena_size
from strop.runtime.errors import ContractMismatch, DeviceError, DeviceTimeout, DeviceUnavailable, StropError
from strop.runtime.lease import Lease

CLOCK_TOLERANCE = 1.001  # pynq computes frequencies with a rounded reference
CHECKS = 4  # of progress in that time
FIRST_PAUSE, LONGEST_PAUSE = 20e-6, 1e-3  # seconds between two looks at the control register
REMOTE_NAME, REMOTE_FIRMWARE, REMOTE_STATE = "strop.bin", "/lib/firmware/", "/sys/class/fpga_manager/fpga0/state"
PROBE_BYTES = 8192  # PYNQ's smallest buffer
UNKNOWN = 2**32 - 1  # in a report: no step, command or layer has this number


class BoardDevice:
    """The kernel of the overlay `bitfile` on `board`, an open `pynq.Device`. It keeps the lease until `close`.

    clock_mhz: the PL clock that the overlay's timing was met for. memory: (first, last) bus addresses that its kernel
    reaches; none if that is not known. facts: lines about the overlay for people. Raises
    `DeviceError` where the overlay cannot be loaded or its clock is too fast, and `ContractMismatch` where it has no
    kernel of strop, or one of another contract.
    """

    def __init__(
        self,
        board: Any,
        bitfile: Path,
        lease: Lease | None = None,
        *,
        name: str = "board",
        clock_mhz: float | None = None,
        memory: tuple[tuple[int, int], ...] = (),
        facts: dict[str, str] | None = None,
        options: BoardOptions | None = None,
    ) -> None:
        self.name, self.facts = name, dict(facts or {})
        self.arenas = 0
        self._board, self._bitfile, self._lease = board, bitfile, lease
        self._options, self._clock_mhz, self._memory = options or BoardOptions(), clock_mhz, memory
        self._arena: BoardArena | None = None
        self._line: InterruptLine | None = None
        self._closed = self._broken = False
        self._turn = RLock()  # one thing at a time: nobody may free what the kernel writes, or load while it runs
        try:
            self._load()
            self.contract_version, self.numerics_version = self._ask_versions()
        except BaseException:
            self.close()
            raise
        self.description = f"{name}: {board.name} through pynq {pynq.__version__}, {bitfile}"

    # -- the overlay ----------------------------------------------------------------------------------------------
    def _load(self) -> None:
        with _from_pynq("loading the overlay"):
            self._overlay = self._described_overlay()
            kernels = [name for name, ip in self._overlay.ip_dict.items() if ip.get("type") == KERNEL_VLNV]
            if len(kernels) != 1:
                raise ContractMismatch(
                    f"{self._bitfile} has {len(kernels)} kernels {KERNEL_VLNV}; it is no overlay of this strop: "
                    "`strop overlay verify` says more"
                )
            self._kernel_name = kernels[0]
            self._download()
        if not isinstance(self._kernel, StropKernel):
            raise ContractMismatch(f"another driver than strop's is bound to {KERNEL_VLNV}: {type(self._kernel)}")

    def _described_overlay(self) -> Any:
        try:
            return pynq.Overlay(str(self._bitfile), download=False, device=self._board)
        except (RuntimeError, ValueError):
            # pynq keeps a note of the last overlay, and none can be opened while a power cut's half of it is there
            clear_global_state()
            return pynq.Overlay(str(self._bitfile), download=False, device=self._board)

    def _download(self) -> None:
        self._broken = True
        remote = self._board.has_capability("REMOTE")
        if remote:
            # pynq sends no file whose name the board knows, be it older or half of one: it is sent here, every time
            self._overlay.binfile_name = REMOTE_NAME
            self._board.write_file(REMOTE_FIRMWARE + REMOTE_NAME, self._overlay.parser.bin_data)
        self._overlay.download()
        if remote and b"operating" not in self._board.read_file(REMOTE_STATE):
            raise DeviceError("the board's FPGA manager did not take the bitstream: is it for this board?")
        self._broken = False
        self._demand_clock()
        self._kernel: Any = getattr(self._overlay, self._kernel_name)

    def _demand_clock(self) -> None:
        """Refuse a faster PL clock than timing was met for.

        pynq makes the clock from the PLLs that the image set, by the .hwh's divisors (3.1) or the nearest (4.0).
        """
        if self._clock_mhz is None:
            return
        found = float(pynq.Clocks.fclk0_mhz)
        if found > self._clock_mhz * CLOCK_TOLERANCE:
            raise DeviceError(
                f"the PL clock is {found:g} MHz, but the overlay meets its timing at {self._clock_mhz:g}: it was built "
                "for other PLLs than this image sets; build it with the board's files installed in Vivado"
            )

    def _ask_versions(self) -> tuple[int, int]:
        """Return what the hardware says of itself: a start without steps writes its version."""
        self.allocate(PROBE_BYTES)
        nothing = Registers(
            program=0, commands=0, steps=0, slots=0, slot_stride=0, slot_count=1, first_slot=0, report=C.ALIGN_BYTES
        )
        self.run(nothing)
        with _from_pynq("reading the version"):
            version = self._kernel.version()
        self._free_arena()
        self.arenas = 0
        return version >> 16, version & 0xFFFF

    def _reload(self) -> None:
        """Stop whatever the kernel does. Its arena goes with it: nobody knows what was written to it.

        Where that fails the arena stays until `close`: the kernel may be writing to it.
        """
        with _from_pynq("loading the overlay again"):
            self._broken = True
            self._drop_line()
            self._download()
        self._free_arena()

    # -- memory ---------------------------------------------------------------------------------------------------
    def allocate(self, nbytes: int) -> None:
        """Take one arena of zeros; an earlier one is given back. Raises `MemoryPlanError`."""
        check_arena_size(nbytes)
        with self._turn:
            self._demand_usable()
            self._free_arena()
            self._arena = BoardArena(self._board, nbytes, cacheable=self._options.cacheable)
            self.arenas += 1
            first, last = self._arena.address, self._arena.address + nbytes - 1
            if last >> self._kernel.address_bits or not self._reaches(first, last):
                self._free_arena()
                raise DeviceError(
                    f"the arena lies at {first:#x} to {last:#x}, where this overlay's kernel does not reach; build it "
                    "with the board's files installed in Vivado, or let Linux take contiguous memory from below (cma=)"
                )

    def _reaches(self, first: int, last: int) -> bool:
        return not self._memory or any(base <= first and last <= end for base, end in self._memory)

    def _demand_usable(self) -> None:
        if self._closed:
            raise DeviceError(f"the {self.name} was closed; open it again")
        if self._broken:
            raise DeviceError(
                f"the {self.name} could not be loaded again after a failure, and touching it could hang the machine: "
                "power it off and on, then open it again"
            )

    def _open_arena(self) -> BoardArena:
        if self._arena is None:
            raise DeviceError(f"the {self.name} has no arena; call allocate(nbytes) first")
        return self._arena

    def write(self, offset: int, data: NDArray[Any]) -> None:
        """Copy the bytes of a C-contiguous array into the arena. Raises `InputError` where they do not fit."""
        self._open_arena().write(offset, data)

    def read(self, offset: int, nbytes: int) -> NDArray[np.uint8]:
        """Return a copy of `nbytes` bytes of the arena. Raises `InputError` where it has not as many."""
        return self._open_arena().read(offset, nbytes)

    def _free_arena(self) -> None:
        if self._arena is not None:
            arena, self._arena = self._arena, None
            with _from_pynq("giving the arena back"):
                arena.free()

    # -- running --------------------------------------------------------------------------------------------------
    def run(self, registers: Registers) -> np.void:
        """Run one start to its end.

        Raises `InputError` where program, slots or report leave the arena, before anything runs. After any other error
        (`DeviceTimeout`, `BusFault`, `DeviceError`), and after Ctrl-C, the overlay was loaded again and the arena is
        gone: `allocate` a new one to go on.
        """
        with self._turn:
            return self._run(registers)

    def _run(self, registers: Registers) -> np.void:
        self._demand_usable()
        arena = self._open_arena()
        arena.span(registers.report, REPORT.itemsize)
        if registers.commands <= C.MAX_COMMANDS:  # beyond its limits the kernel reads nothing and says so
            arena.span(registers.program, registers.commands * COMMAND.itemsize)
            arena.span(registers.slots, registers.slot_count * registers.slot_stride)
        arena.write(registers.report, _unwritten_report())
        try:
            with _from_pynq("running the kernel"):
                with arena.lent():
                    self._start(registers, arena)
                    self._wait(registers, arena)
                report = _report(arena, registers)
                if report["status"] == C.STATUS_RUNNING:
                    raise DeviceError(
                        "the kernel says that it is done, but its report is not in the arena: the overlay reaches "
                        "other memory than the processor, or caches were not synced"
                    )
            return report
        except BaseException as error:
            try:
                self._reload()
            except StropError as again:
                raise DeviceError(f"{error}; then {again}: power the board off and on") from error
            raise

    def _start(self, registers: Registers, arena: BoardArena) -> None:
        if self._options.interrupts:
            self._listen()
        self._kernel.start(registers, arena.address)

    def _listen(self) -> None:
        if self._line is None:
            pin = self._kernel.interrupt_pin
            if pin is None or self._board.has_capability("REMOTE"):
                raise DeviceUnavailable("this overlay or connection has no interrupts; open the board without them")
            self._line = InterruptLine(pin)
        self._kernel.clear_interrupt()
        self._kernel.enable_interrupt()
        self._line.arm()

    def _drop_line(self) -> None:
        if self._line is not None:
            line, self._line = self._line, None
            line.close()

    def _wait(self, registers: Registers, arena: BoardArena) -> None:
        """Return when the kernel is done. Raises `DeviceTimeout` once it has made no progress for the time-out."""
        limit = self._options.timeout_seconds
        seen, since = _unwritten_report()[0], time.monotonic()
        while not self._done_within(limit / CHECKS):
            arena.refresh()
            report = _report(arena, registers)
            if report != seen:
                seen, since = report, time.monotonic()
            elif time.monotonic() - since >= limit:
                if self._kernel.finished():
                    if self._line is None:
                        return  # it ended just now
                    raise DeviceTimeout(
                        f"the kernel was done, but no interrupt came in {limit:g} s: check the overlay's axi_intc, or "
                        "open the board without interrupts"
                    )
                raise _timed_out(seen, self._kernel.control(), limit)

    def _done_within(self, seconds: float) -> bool:
        end, pause = time.monotonic() + seconds, FIRST_PAUSE
        if self._line is not None:
            while self._line.wait(max(0.0, end - time.monotonic())):
                if self._kernel.finished():
                    return True
                self._line.arm()  # axi_intc had latched the end of the start before, which was acknowledged too early
            return False
        while not self._kernel.finished():
            if time.monotonic() >= end:
                return False
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        return True

    # -- the end --------------------------------------------------------------------------------------------------
    def close(self) -> None:
        """Give memory and board back, after a start that is under way. The overlay stays loaded, at rest."""
        with self._turn:
            if self._closed:
                return
            self._closed = True
            with ExitStack() as given_back:
                if self._lease is not None:
                    given_back.callback(self._lease.release)
                given_back.callback(self._free_arena)
                given_back.callback(self._drop_line)


def _unwritten_report() -> NDArray[Any]:
    """A report that no kernel writes: whoever finds it knows that nothing came."""
    report = np.zeros(1, REPORT)
    report["status"] = C.STATUS_RUNNING
    report["step"] = report["command"] = report["layer"] = UNKNOWN
    return report


def _report(arena: BoardArena, registers: Registers) -> np.void:
    found: np.void = arena.read(registers.report, REPORT.itemsize).view(REPORT)[0]
    return found


def _timed_out(report: np.void, control: int, seconds: float) -> DeviceTimeout:
    said = f"status word {int(report['status'])}, control register {control:#04x}"
    if int(report["command"]) == UNKNOWN:
        return DeviceTimeout(
            f"the kernel wrote nothing in {seconds:g} s ({said}): it does not run, or cannot reach its memory; the "
            "overlay was loaded again"
        )
    return DeviceTimeout(
        f"the kernel made no progress for {seconds:g} s at command {int(report['command'])} of step "
        f"{int(report['step'])} ({said}); the overlay was loaded again",
        report,
    )


@contextmanager
def _from_pynq(doing: str) -> Iterator[None]:
    """Let strop's own errors pass; make what pynq, gRPC or the system raise into a `DeviceError` that says where."""
    try:
        yield
    except StropError:
        raise
    except PermissionError as error:
        raise DeviceUnavailable(f"{doing}: {error}; PYNQ needs root: sudo -E env PATH=$PATH ...") from error
    except Exception as error:
        details = getattr(error, "details", None)  # what gRPC has for people
        reason = f"{type(error).__name__}: {details() if callable(details) else error}"
        if "Root permissions required" in reason:
            raise DeviceUnavailable(f"{doing}: PYNQ needs root: sudo -E env PATH=$PATH ...") from error
        raise DeviceError(f"{doing} failed in pynq: {reason}") from error
