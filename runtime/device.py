"""Devices: what runs programs. A device owns one arena and executes starts of the kernel on it.

Four kinds are known here: a board (the kernel in programmable logic, through pynq), the emulator (the kernel's C++ on
this machine), the NumPy reference (the slow oracle), and an emulated board (pynq and the board's driver on a laptop, in
front of the emulator). The choice "auto" says in `Device.description` what it took and why.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from strop.runtime.contract import C, Registers
from strop.runtime.errors import ContractMismatch, DeviceUnavailable, InputError, MemoryPlanError, OverlayMissing

FPGA_MANAGER = Path("/sys/class/fpga_manager/fpga0")


class Device(Protocol):
    """The smallest interface that runs programs. Offsets and sizes are bytes in the arena."""

    name: str
    description: str
    contract_version: int
    numerics_version: int
    arenas: int  # how many arenas were taken so far: who holds an older one must not use it

    def allocate(self, nbytes: int) -> None:
        """Take one arena of zeros; an earlier one is gone. Raises `MemoryPlanError` if the device has no such room."""

    def write(self, offset: int, data: NDArray[Any]) -> None:
        """Copy the bytes of a C-contiguous array into the arena."""

    def read(self, offset: int, nbytes: int) -> NDArray[np.uint8]:
        """Return a copy of `nbytes` bytes of the arena, uint8."""

    def run(self, registers: Registers) -> np.void:
        """Run one start to its end; return the record (`contract.REPORT`) that the kernel wrote."""

    def close(self) -> None:
        """Give everything back. The device cannot be used afterwards."""


def check_arena_size(nbytes: int) -> None:
    """Raise `MemoryPlanError` for an arena of a size that no device can have."""
    if not 0 < nbytes <= 2**32:
        raise MemoryPlanError(f"an arena of {nbytes} bytes; offsets are 32 bits: take 1 to {2**32}")


def _open_emulator(threads: int | None) -> Device:
    from strop.runtime.emulator import EmulatorDevice

    return EmulatorDevice(threads=threads)


def _open_reference(threads: int | None) -> Device:
    from strop.runtime.reference import ReferenceDevice

    return ReferenceDevice()


def _open_board(threads: int | None) -> Device:
    _demand_pynq()
    from strop.runtime.board.opening import open_board

    return open_board()


def _open_emulated_board(threads: int | None) -> Device:
    _demand_pynq()
    from strop.runtime.emulated_board.opening import open_emulated_board

    return open_emulated_board()


def _demand_pynq() -> None:
    try:
        import pynq  # noqa: F401
    except ImportError as error:
        raise DeviceUnavailable(
            f"the pynq package cannot be imported ({error}); on a board it is part of PYNQ's image (type: source "
            "/etc/profile.d/pynq_venv.sh), on a laptop: pip install pynq"
        ) from error


def on_a_board() -> bool:
    """Whether Linux has programmable logic to offer, or PYNQ.remote was told of a board elsewhere."""
    return FPGA_MANAGER.exists() or bool(os.environ.get("PYNQ_REMOTE_DEVICES"))


def _open_auto(threads: int | None) -> Device:
    reasons = []
    kinds = [("board", _open_board)] if on_a_board() else []
    for name, opened in (*kinds, ("emulator", _open_emulator)):
        try:
            device = opened(threads)
            break
        except (DeviceUnavailable, OverlayMissing) as reason:
            reasons.append(f"the {name} is not there: {reason}")
    else:
        device = _open_reference(threads)
    if reasons:
        device.description += f" (taken because {'; '.join(reasons)})"
    return device


_KINDS: dict[str, Callable[[int | None], Device]] = {
    "auto": _open_auto,
    "board": _open_board,
    "emulator": _open_emulator,
    "reference": _open_reference,
    "emulated-board": _open_emulated_board,
}


def open_device(name: str = "auto", threads: int | None = None) -> Device:
    """Open a device by name: "board", "emulator", "reference", "emulated-board", or "auto".

    "auto" takes the board where there is one with an overlay, else the emulator if it was compiled, else the reference;
    a board that is busy, or whose overlay is damaged, is an error and no reason to take something else. `threads`
    (emulator only) defaults to STROP_THREADS, else to the cores that this process may use; results do not depend on it.
    Raises `InputError` for an unknown name, `DeviceUnavailable`, `DeviceBusy`, `OverlayError`, `ContractMismatch`.
    """
    if name not in _KINDS:
        raise InputError(f"device {name!r} is not known; allowed: {', '.join(_KINDS)}")
    if threads is None and "STROP_THREADS" in os.environ:
        threads = _threads_from_environment(os.environ["STROP_THREADS"])
    if threads is not None and threads < 1:
        raise InputError(f"threads is {threads}; at least 1 is needed")
    device = _KINDS[name](threads)
    if (device.contract_version, device.numerics_version) != (C.CONTRACT_VERSION, C.NUMERICS_VERSION):
        device.close()
        raise ContractMismatch(
            f"{device.name} speaks contract {device.contract_version}, numerics {device.numerics_version}; this "
            f"runtime {C.CONTRACT_VERSION} and {C.NUMERICS_VERSION}: install kernel and runtime of one version"
        )
    return device


def _threads_from_environment(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(f"STROP_THREADS is {text!r}; it must be a whole number of threads, at least 1") from None
