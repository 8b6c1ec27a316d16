"""Opening devices by name, and what all of them do alike with their arena."""

from __future__ import annotations

import builtins
import re
import sys
from typing import Any

import numpy as np
import pytest

import strop.runtime
from kernel_double import KernelDouble
from strop.runtime import emulator
from strop.runtime.contract import REPORT, SITE, C, Registers
from strop.runtime.device import Device, open_device
from strop.runtime.emulator import available_cores
from strop.runtime.errors import ContractMismatch, DeviceError, DeviceUnavailable, InputError, MemoryPlanError
from strop.runtime.reference import ReferenceDevice


@pytest.fixture
def no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without a C++ compiler: the kernel cannot be imported."""
    monkeypatch.delattr(strop.runtime, "_kernel", raising=False)
    monkeypatch.setitem(sys.modules, "strop.runtime._kernel", None)


# ---- opening ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "opened"), [("auto", "emulator"), ("emulator", "emulator"), ("reference", "reference")]
)
def test_devices_are_opened_by_name(name: str, opened: str) -> None:
    """Protects the choice of a device, and that what was opened says its name and versions."""
    device = open_device(name)
    assert device.name == opened
    assert opened in device.description.lower()
    assert (device.contract_version, device.numerics_version) == (C.CONTRACT_VERSION, C.NUMERICS_VERSION)
    device.close()


def test_the_default_is_auto() -> None:
    """Protects `open_device()`: the fast device where there is one."""
    device = open_device()
    assert device.name == "emulator"
    assert "taken because" not in device.description
    device.close()


@pytest.mark.parametrize("name", ["fpga", "Emulator", "", "reference "])
def test_a_name_that_is_not_known_is_refused(name: str) -> None:
    """Protects against a silent fallback: the names that exist are listed."""
    allowed = "auto, board, emulator, reference, emulated-board"
    with pytest.raises(InputError, match=f"device '{name}' is not known; allowed: {allowed}"):
        open_device(name)


@pytest.mark.usefixtures("no_kernel")
def test_without_a_kernel_auto_takes_the_reference_and_says_why() -> None:
    """Protects the stated fallback: slow, and never silent."""
    device = open_device("auto")
    assert device.name == "reference"
    assert "slow" in device.description
    assert "taken because the emulator is not there: the emulator was not compiled" in device.description
    assert "install a C++ compiler" in device.description
    assert "taken because" not in open_device("reference").description


@pytest.mark.usefixtures("no_kernel")
def test_without_a_kernel_the_emulator_is_not_there() -> None:
    """Protects who asks for the emulator by name: an error with its remedy, no other device."""
    with pytest.raises(DeviceUnavailable, match=r"was not compiled when strop was installed .* install strop again"):
        open_device("emulator")
    with pytest.raises(DeviceUnavailable, match="was not compiled"):
        emulator.supported_instruction_sets()


def test_a_kernel_that_does_not_load_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects who has a wheel and an older system: installing a compiler would not help."""
    find = builtins.__import__

    def broken(name: str, *rest: Any) -> Any:
        if name == "strop.runtime" and "_kernel" in (rest[2] or ()):
            raise ImportError("libstdc++.so.6: cannot open shared object file")
        return find(name, *rest)

    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(DeviceUnavailable, match=r"is there, but does not load on this system \(libstdc"):
        emulator.kernel_library()


@pytest.mark.parametrize("threads", [0, -1])
def test_a_device_needs_a_thread(threads: int) -> None:
    """Protects the emulator from a count that means nothing."""
    with pytest.raises(InputError, match=f"threads is {threads}; at least 1 is needed"):
        open_device("emulator", threads=threads)


@pytest.mark.parametrize(
    ("variable", "argument", "expected"), [("3", None, 3), ("3", 2, 2), (None, 1, 1), (None, None, available_cores())]
)
def test_the_number_of_threads(
    variable: str | None, argument: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the order of choices: the argument, STROP_THREADS, the cores that this process may use."""
    monkeypatch.delenv("STROP_THREADS", raising=False)
    if variable is not None:
        monkeypatch.setenv("STROP_THREADS", variable)
    device = open_device("emulator", threads=argument)
    assert f"on {expected} thread(s)" in device.description
    device.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("many", "STROP_THREADS is 'many'; it must be a whole number of threads, at least 1"),
        ("", "STROP_THREADS is ''"),
        ("1.5", "STROP_THREADS is '1.5'"),
        ("0", "threads is 0; at least 1 is needed"),
    ],
)
def test_a_bad_environment_is_refused(text: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the reader of the error: it names the variable, which stands far from the command."""
    monkeypatch.setenv("STROP_THREADS", text)
    with pytest.raises(InputError, match=message):
        open_device("emulator")


@pytest.mark.parametrize("version", ["contract_version", "numerics_version"])
def test_another_version_is_refused(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects checkpoints and boards: a device of another contract or another arithmetic is not used."""
    monkeypatch.setattr(ReferenceDevice, version, 99)
    with pytest.raises(ContractMismatch, match=r"reference speaks contract .*99.*; this runtime .* of one version"):
        open_device("reference")


@pytest.mark.parametrize("name", ["auto", "emulator"])
def test_a_kernel_that_was_not_compiled_again_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects against a stale kernel: it is closed again, and nothing else is taken in its place."""
    closed = []
    version = (C.CONTRACT_VERSION + 1) << 16 | C.NUMERICS_VERSION
    double = KernelDouble(strop_emulator_version=lambda: version)
    monkeypatch.setattr(emulator, "kernel_library", lambda: double)
    monkeypatch.setattr(emulator.EmulatorDevice, "close", lambda self: closed.append(self))
    with pytest.raises(ContractMismatch, match=f"emulator speaks contract {C.CONTRACT_VERSION + 1}, numerics"):
        open_device(name)
    assert len(closed) == 1


# ---- what all devices do alike ---------------------------------------------------------------------------------------


def test_an_arena_begins_as_zeros_and_is_replaced(device: Device) -> None:
    """Protects programs from what was there before."""
    for count, nbytes in enumerate((64, 200, 64), 1):
        device.allocate(nbytes)
        assert device.arenas == count
        assert not device.read(0, nbytes).any()
        device.write(0, np.full(nbytes, 7, np.uint8))
        assert (device.read(0, nbytes) == 7).all()


@pytest.mark.parametrize(
    "data",
    [
        np.arange(6, dtype=np.int32),
        np.arange(24, dtype=np.int8).reshape(2, 3, 4),
        np.ones(2, SITE),
        np.array(5, np.int64),
        np.zeros((0, 3), np.int16),
    ],
    ids=["words", "tensor", "records", "scalar", "nothing"],
)
def test_bytes_come_back_as_they_were_written(device: Device, data: Any) -> None:
    """Protects every transfer: any shape and dtype, at any offset, and nothing beside it."""
    device.allocate(256)
    device.write(13, data)
    assert device.read(13, data.nbytes).tobytes() == data.tobytes()
    assert not device.read(0, 13).any()
    assert not device.read(13 + data.nbytes, 256 - 13 - data.nbytes).any()


def test_what_was_read_is_a_copy(device: Device) -> None:
    """Protects the arena from its readers, and what was read from later steps."""
    device.allocate(64)
    copy = device.read(0, 8)
    copy[:] = 1
    assert not device.read(0, 8).any()
    device.write(0, np.full(8, 2, np.uint8))
    assert (copy == 1).all()


@pytest.mark.parametrize(("offset", "nbytes"), [(-1, 1), (60, 5), (64, 1), (0, 65), (2**40, 4), (8, -4)])
def test_bytes_outside_the_arena_are_refused(device: Device, offset: int, nbytes: int) -> None:
    """Protects the machine's memory: the message has the place and the size of the arena."""
    device.allocate(64)
    message = re.escape(f"bytes {offset} to {offset + nbytes} of an arena of 64; stay inside it")
    with pytest.raises(InputError, match=message):
        device.read(offset, nbytes)
    if nbytes > 0:
        with pytest.raises(InputError, match=message):
            device.write(offset, np.zeros(nbytes, np.uint8))
    assert not device.read(0, 64).any()


@pytest.mark.parametrize("nbytes", [0, -64, 2**32 + 1])
def test_arenas_of_impossible_sizes_are_refused(device: Device, nbytes: int) -> None:
    """Protects offsets of 32 bits."""
    with pytest.raises(MemoryPlanError, match=f"an arena of {nbytes} bytes; offsets are 32 bits"):
        device.allocate(nbytes)


NOTHING = Registers(
    program=0, commands=0, steps=1, slots=0, slot_stride=64, slot_count=1, first_slot=0, report=C.ALIGN_BYTES
)


def test_an_arena_comes_first(device: Device) -> None:
    """Protects from a use too early: the message says what to call."""
    for use in (lambda: device.read(0, 1), lambda: device.write(0, np.zeros(1)), lambda: device.run(NOTHING)):
        with pytest.raises(DeviceError, match=r"has no arena; call allocate\(nbytes\) first"):
            use()


def test_closing_ends_all_use_and_may_be_repeated(device: Device) -> None:
    """Protects clean ends: a second close does nothing, anything else is refused."""
    device.allocate(256)
    assert device.run(NOTHING)["steps_done"] == 1
    device.close()
    device.close()
    for use in (lambda: device.read(0, 1), lambda: device.run(NOTHING)):
        with pytest.raises(DeviceError):
            use()


@pytest.mark.parametrize(
    "wrong",
    [{"commands": C.MAX_COMMANDS + 1}, {"steps": C.MAX_STEPS + 1}, {"slot_count": 0}],
    ids=lambda w: next(iter(w)),
)
def test_counts_beyond_their_limits_are_reported(device: Device, wrong: dict[str, int]) -> None:
    """Protects the registers: nothing runs, and the report says why."""
    device.allocate(256)
    registers = Registers(**{**vars(NOTHING), **wrong})
    report = device.run(registers)
    assert report["status"] == C.STATUS_BAD_REGISTERS
    assert report["steps_done"] == 0
    assert device.read(C.ALIGN_BYTES, REPORT.itemsize).view(REPORT)[0] == report
