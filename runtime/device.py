"""Devices: what runs programs. A device owns one arena and executes starts of the kernel on it.

Two kinds are known here: the emulator (the kernel's C++ on this machine) and the NumPy reference (the slow oracle). The
choice "auto" says in `Device.description` what it took and why.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from strop.runtime.contract import C, Registers
from strop.runtime.errors import ContractMismatch, DeviceUnavailable, InputError


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


def _open_emulator(threads: int | None) -> Device:
    from strop.runtime.emulator import EmulatorDevice

    return EmulatorDevice(threads=threads)


def _open_reference(threads: int | None) -> Device:
    from strop.runtime.reference import ReferenceDevice

    return ReferenceDevice()


def _open_auto(threads: int | None) -> Device:
    try:
        return _open_emulator(threads)
    except DeviceUnavailable as reason:
        device = _open_reference(threads)
        device.description += f" (taken because the emulator is not there: {reason})"
        return device


_KINDS: dict[str, Callable[[int | None], Device]] = {
    "auto": _open_auto,
    "emulator": _open_emulator,
    "reference": _open_reference,
}


def open_device(name: str = "auto", threads: int | None = None) -> Device:
    """Open a device by name: "emulator", "reference", or "auto" (the emulator if it was compiled, else the reference).

    `threads` (emulator only) defaults to STROP_THREADS, else to the cores that this process may use; results do not
    depend on it.
    Raises `InputError` for an unknown name, `DeviceUnavailable`, `ContractMismatch`.
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
