"""The emulator as a device of this machine: instruction sets, threads, and an arena that it stays in."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from kernel_double import KernelDouble
from strop.runtime import _kernel, emulator
from strop.runtime.contract import COMMAND, C, Registers
from strop.runtime.emulator import INSTRUCTION_SETS, EmulatorDevice, available_cores, supported_instruction_sets
from strop.runtime.errors import DeviceError, DeviceUnavailable, InputError, MemoryPlanError

PORTABLE = _kernel.lib.STROP_ISA_PORTABLE

GOOD = {"program": 0, "commands": 1, "steps": 1, "slots": 512, "slot_stride": 64, "slot_count": 2, "first_slot": 0}


@pytest.fixture
def opened() -> Iterator[EmulatorDevice]:
    """An emulator with one thread and an arena of 1024 bytes, in which a program of one FLATTEN lies at 0."""
    device = EmulatorDevice(threads=1)
    device.allocate(1024)
    device.write(0, flatten_command())
    yield device
    device.close()


def flatten_command(**fields: int) -> Any:
    """Return a command [1] that moves a few bytes from 640 to 768."""
    command = np.zeros(1, COMMAND)
    sizes = {"batch": 1, "channels_in": 1, "height_in": 1, "width_in": 1, "source_plane": 64, "target_plane": 64}
    places = {"source": 640, "target": 768, "source_exponent": 896, "target_exponent": 960}
    for name, value in {"opcode": C.OP_FLATTEN, **sizes, **places, **fields}.items():
        command[name] = value
    return command


def test_what_this_processor_supports() -> None:
    """Protects the choice of instruction set: portable is always there, the widest is taken, each can be asked for."""
    supported = supported_instruction_sets()
    assert supported[0] == "portable"
    assert set(supported) <= set(INSTRUCTION_SETS) - {"auto"}
    for name in ("auto", *supported):
        device = EmulatorDevice(threads=2, instruction_set=name)
        assert device.instruction_set == (supported[-1] if name == "auto" else name)
        assert device.description == f"emulator: the kernel's C++ on 2 thread(s), {device.instruction_set}"
        device.close()


def test_an_instruction_set_that_does_not_exist_is_refused() -> None:
    """Protects against a typing mistake: those that exist are listed."""
    with pytest.raises(InputError, match="instruction set 'sse9'; allowed: auto, portable, avx2, avx512-vnni, neon"):
        EmulatorDevice(instruction_set="sse9")


def test_an_instruction_set_that_the_processor_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects from an illegal instruction: the error names what there is instead."""
    library = KernelDouble(strop_emulator_supports=lambda isa: isa == PORTABLE)
    library.lib.strop_emulator_open = lambda threads, isa: library.ffi.NULL
    monkeypatch.setattr(emulator, "kernel_library", lambda: library)
    with pytest.raises(DeviceUnavailable, match="this processor has no avx512-vnni; it has portable"):
        EmulatorDevice(instruction_set="avx512-vnni")


def test_cores_are_those_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects shared machines and containers: an affinity counts, not the number of cores of the machine."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 8}, raising=False)
    assert available_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores() == 1


def test_the_program_under_test_runs(opened: EmulatorDevice) -> None:
    """Protects the tests below: with good registers the command does its work."""
    opened.write(640, np.array([77], np.int8))
    assert opened.run(Registers(**GOOD, report=448))["status"] == C.STATUS_OK
    assert opened.read(768, 1).tolist() == [77]


@pytest.mark.parametrize(
    "wrong",
    [
        {"program": 1024 - COMMAND.itemsize + 64},
        {"commands": 5},
        {"slots": 1024},
        {"slot_count": 9},
        {"slot_stride": 512},
        {"report": 1024},
        {"report": 1024 - 16},
    ],
    ids=str,
)
def test_registers_that_leave_the_arena_are_refused(opened: EmulatorDevice, wrong: dict[str, int]) -> None:
    """Protects this process: the kernel would read and write whatever lies there. Nothing is run."""
    before = opened.read(0, 1024)
    with pytest.raises(InputError, match="of an arena of 1024; stay inside it"):
        opened.run(Registers(**{**GOOD, "report": 448, **wrong}))
    assert np.array_equal(opened.read(0, 1024), before)


def test_memory_that_the_machine_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the user of a small machine: the error says how much, and what to do."""

    def refuse(*_: Any) -> None:
        raise MemoryError

    device = EmulatorDevice(threads=1)
    monkeypatch.setattr("strop.runtime.emulator.np.zeros", refuse)
    with pytest.raises(MemoryPlanError, match="no 123456 bytes for the arena; take a smaller mini-batch"):
        device.allocate(123456)
    monkeypatch.undo()
    device.close()
    with pytest.raises(DeviceError, match="was closed; open another one"):
        device.allocate(64)


def test_other_threads_of_python_go_on_during_a_run(opened: EmulatorDevice) -> None:
    """Protects streaming: while the kernel runs, this thread prepares the next mini-batch. The lock is given free."""
    steps, spans = 64, []

    def run() -> None:
        begun = time.perf_counter()
        opened.run(Registers(**{**GOOD, "steps": steps}, report=448))
        spans.append((begun, time.perf_counter()))

    opened.allocate(1 << 20)
    sizes = {"batch": 64, "channels_in": 16, "height_in": 28, "width_in": 28}
    planes = {"source_plane": 4 * 28 * 28 * 64, "target_plane": 4 * 64}  # 64 images are 4 groups
    opened.write(0, flatten_command(**sizes, **planes, source=1024, target=1024))
    moments: list[float] = []
    while not spans or spans[-1][1] - spans[-1][0] < 0.1:
        steps = min(C.MAX_STEPS, 4 * steps)
        moments.clear()
        worker = threading.Thread(target=run)
        worker.start()
        while worker.is_alive():
            moments.append(time.perf_counter())
            time.sleep(0.001)
        worker.join()
    begun, ended = spans[-1]
    margin = (ended - begun) / 10
    assert sum(begun + margin < moment < ended - margin for moment in moments) > 5


def test_two_emulators_run_at_the_same_time() -> None:
    """Protects servers: emulators share nothing, so runs of two in two threads do not disturb each other."""
    devices = [EmulatorDevice(threads=2) for _ in range(2)]
    failed = []

    def use(device: EmulatorDevice, value: int) -> None:
        device.allocate(1024)
        device.write(0, flatten_command())
        for turn in range(200):
            byte = (value + turn) % 100
            device.write(640, np.array([byte], np.int8))
            report = device.run(Registers(**GOOD, report=448))
            if report["status"] != C.STATUS_OK or device.read(768, 1)[0] != byte:
                failed.append((value, turn))

    workers = [threading.Thread(target=use, args=(device, 50 * i)) for i, device in enumerate(devices)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failed == []
    for device in devices:
        device.close()


@pytest.mark.parametrize("threads", [0, -1, 65, 1000])
def test_thread_counts_that_the_emulator_does_not_take_are_refused(threads: int) -> None:
    """Protects the description: what it says of threads is what runs."""
    with pytest.raises(InputError, match="allowed: 1 to 64"):
        EmulatorDevice(threads=threads)


FORKED = """
import os, sys
from strop.host.models import initial_state
from strop.host.networks import lenet5
from strop.runtime import Session
from strop.runtime.emulator import EmulatorDevice
import numpy as np
session = Session(lenet5(), EmulatorDevice(threads=3), batch=8)
session.load_state(initial_state(session.graph, 0))
child = os.fork()
if child == 0:
    session.load_state(initial_state(session.graph, 1))  # runs a program without the parent's threads
    session.close()
    sys.exit(0)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_forked_child_can_use_and_close_the_emulator() -> None:
    """Protects programs that fork (multiprocessing): the threads stay in the parent, and nothing waits for them."""
    done = subprocess.run([sys.executable, "-c", FORKED], timeout=60, check=False)
    assert done.returncode == 0


STARVED = """
import resource
from strop.runtime.emulator import EmulatorDevice
from strop.runtime.errors import DeviceUnavailable
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (48 << 20), used + (48 << 20)))
try:
    EmulatorDevice(threads=64)
except DeviceUnavailable as error:
    print(error)
"""


def test_threads_that_the_system_refuses_are_an_error_and_no_abort() -> None:
    """Protects the process: where no thread can be started, the caller is told to take fewer."""
    done = subprocess.run([sys.executable, "-c", STARVED], timeout=60, check=False, capture_output=True, text=True)
    assert (done.returncode, "take fewer threads" in done.stdout) == (0, True), done.stderr
