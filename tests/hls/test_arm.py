"""LeNet-5 trained by the emulator on ARM, under QEMU's user-mode emulation: the digest is that of x86-64.

The emulator of this machine records a training on real images as one program. Compiled for 64-bit ARM (as on the ZynqMP
boards) and for 32-bit ARM (as on the Zynq-7000 ones), it replays that. No ARM processor takes part.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE

import numpy as np
import pytest
from numpy.typing import NDArray

from golden import Golden, read_golden, write_golden
from strop.host.checkpoint import state_digest
from strop.host.data import load_fashion_mnist_subset
from strop.host.models import initial_state
from strop.host.networks import lenet5
from strop.host.order import epoch_order
from strop.runtime.compiler import compile_training, compile_views
from strop.runtime.contract import REPORT, SLOT, Registers
from strop.runtime.emulator import EmulatorDevice
from strop.runtime.hyperparameters import Hyperparameters, mantissa_and_shift
from strop.runtime.planner import align
from strop.runtime.program import ArenaBase, Program
from strop.runtime.session import Minibatch, Session
from strop.runtime.state import StateLayout

HLS = Path(__file__).resolve().parents[2] / "hls"
STEPS, BATCH, LEARNING_RATE, SEED = 200, 16, 0.1, 0
TARGETS = {"aarch64": ("aarch64-linux-gnu-g++", "qemu-aarch64"), "arm": ("arm-linux-gnueabihf-g++", "qemu-arm")}
SETS = {"aarch64": (1, 4, 5), "arm": (1, 4)}  # native/emulator.h: portable, NEON, NEON with dot products


def minibatches() -> Iterator[Minibatch]:
    """Yield STEPS mini-batches of the bundled training images, in another order each epoch."""
    data = load_fashion_mnist_subset("train")
    in_epoch = len(data) // BATCH
    for step in range(STEPS):
        chosen = epoch_order(len(data), SEED, step // in_epoch)[step % in_epoch * BATCH :][:BATCH]
        yield Minibatch(data.images[chosen], data.labels[chosen], LEARNING_RATE)


class Memory:
    """The arena of a training whose mini-batches all lie in it: state, commands, report, a slot each, workspace."""

    def __init__(self) -> None:
        graph, hyper = lenet5(), Hyperparameters()
        self.layout = StateLayout(graph)
        probe = compile_training(graph, self.layout, BATCH, ArenaBase(0, 0, 0, 0), hyper)
        self.slot_bytes = align(probe.slot.nbytes)
        commands = self.layout.nbytes
        report = commands + align(len(probe.commands) * probe.commands.itemsize)
        slots = report + align(REPORT.itemsize)
        self.base = ArenaBase(commands=commands, report=report, slots=slots, workspace=slots + STEPS * self.slot_bytes)
        self.training = compile_training(graph, self.layout, BATCH, self.base, hyper)
        self.views = compile_views(graph, self.layout, self.base, hyper)
        self.bytes = np.zeros(self.base.workspace + self.training.workspace_bytes, np.uint8)
        for name, array in initial_state(graph, SEED).items():
            self.put(self.layout.offset(name), array)

    def put(self, offset: int, array: NDArray[np.generic]) -> None:
        """Write an array's bytes at `offset`."""
        raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self.bytes[offset : offset + raw.size] = raw

    def registers(self, program: Program, steps: int) -> Registers:
        """Return the registers of a start from the first slot on."""
        return Registers(
            program=self.base.commands,
            commands=len(program.commands),
            steps=steps,
            slots=self.base.slots,
            slot_stride=self.slot_bytes,
            slot_count=STEPS,
            first_slot=0,
            report=self.base.report,
        )

    def fill_slots(self) -> None:
        """Write every mini-batch to its slot."""
        head = np.zeros(1, SLOT)
        head["learning_rate_mantissa"], head["learning_rate_shift"] = mantissa_and_shift(LEARNING_RATE)
        for index, minibatch in enumerate(minibatches()):
            at = self.base.slots + index * self.slot_bytes
            self.put(at, head)
            self.put(at + self.training.slot.labels, minibatch.labels)
            self.put(at + self.training.slot.images, minibatch.images)


def record_training(path: Path) -> Golden:
    """Record STEPS steps of LeNet-5 in one start, with the emulator: the state and each step's loss are expected."""
    memory, device = Memory(), EmulatorDevice(threads=1)
    device.allocate(memory.bytes.size)
    device.write(0, memory.bytes)
    device.write(memory.base.commands, memory.views.commands)
    memory.views.raise_for(device.run(memory.registers(memory.views, 1)))
    memory.put(0, device.read(0, memory.layout.nbytes))  # with the views of the first weights
    memory.put(memory.base.commands, memory.training.commands)
    memory.fill_slots()
    before_cycles = REPORT.fields["cycles"][1]  # which differ between devices
    heads = [(memory.base.slots + index * memory.slot_bytes, SLOT.itemsize) for index in range(STEPS)]
    check = [(0, memory.layout.nbytes), *heads, (memory.base.report, before_cycles)]
    golden = write_golden(path, device, memory.registers(memory.training, STEPS), memory.bytes, check)
    device.close()
    return golden


def fnv1a(golden: Golden) -> str:
    """Return the digest that emulator_digest.cpp prints: FNV-1a of 64 bits over the expected segments, hex."""
    digest = 0xCBF29CE484222325
    for _, data in golden.expected:
        for byte in data.tobytes():
            digest = (digest ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{digest:016x}"


@dataclass(frozen=True)
class Recorded:
    """The training, its file, and the digest that every processor must print."""

    golden: Golden
    path: Path
    digest: str


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """LeNet-5's training, recorded by this machine's emulator."""
    path = tmp_path_factory.mktemp("recorded") / "lenet5.bin"
    golden = record_training(path)
    return Recorded(golden, path, fnv1a(golden))


@pytest.fixture(scope="module")
def replays(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The command that replays a file, for each kind of ARM; compiled here."""
    tools = ["make", *(tool for pair in TARGETS.values() for tool in pair)]
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        packages = "make g++-aarch64-linux-gnu g++-arm-linux-gnueabihf qemu-user"
        pytest.skip(f"{', '.join(missing)} not installed; sudo apt-get install {packages}")
    folder, commands = tmp_path_factory.mktemp("replay"), {}
    for target, (_, qemu) in TARGETS.items():
        program = str(folder / f"digest-{target}")
        command = ["make", "-C", str(HLS), f"BUILD={folder}", program]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
        commands[target] = [qemu, program]
    return commands


@pytest.mark.slow
def test_the_recorded_training_is_a_sessions(recorded: Recorded) -> None:
    """Protects what ARM is compared with: 200 steps through the ordinary session give the recorded state and losses."""
    session = Session(lenet5(), EmulatorDevice(), batch=BATCH)
    session.load_state(initial_state(session.graph, SEED))
    losses = [result.loss_sum_q16 for result in session.train(minibatches())]
    arena = recorded.golden.expected[0][1]
    of_file = {t.name: arena[t.offset :][: t.nbytes].view(t.dtype).reshape(t.shape) for t in Memory().layout.stored}
    assert state_digest(of_file) == state_digest(session.state())
    heads = [data.view(SLOT)[0] for _, data in recorded.golden.expected[1 : 1 + STEPS]]
    assert [int(head["loss_sum"]) for head in heads] == losses
    assert 3 * sum(losses[-20:]) < 2 * sum(losses[:20])  # it is a training that learns
    session.close()


@pytest.mark.slow
def test_arm_trains_to_the_digest_of_this_machine(recorded: Recorded, replays: dict[str, list[str]]) -> None:
    """Protects "the same bytes everywhere" on the boards' processors, with and without NEON; not their speed."""
    running = {
        target: subprocess.Popen([*command, str(recorded.path)], stdout=PIPE, stderr=PIPE, text=True)
        for target, command in replays.items()
    }
    said = {target: process.communicate(timeout=600) for target, process in running.items()}
    for target, (output, errors) in said.items():
        print(f"{target}:\n{output}")
        assert running[target].returncode == 0, errors
        assert output.splitlines() == [f"{number} {recorded.digest} equal" for number in SETS[target]]


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_arm_that_differs_is_seen(target: str, replays: dict[str, list[str]], tmp_path: Path) -> None:
    """Protects the test above from a replay that agrees with everything: one recorded bit flipped is a difference."""
    source = HLS.parent / "tests" / "hls" / "golden" / "small-wide-train.bin"
    run, data = read_golden(source), bytearray(source.read_bytes())
    data[data.rindex(run.expected[0][1].tobytes()) + run.expected[0][1].size // 2] ^= 1
    (tmp_path / "wrong.bin").write_bytes(data)
    right, wrong = (
        subprocess.run([*replays[target], str(path), "4"], capture_output=True, text=True, check=False)
        for path in (source, tmp_path / "wrong.bin")
    )
    assert (right.returncode, right.stdout) == (0, f"4 {fnv1a(run)} equal\n"), right.stderr
    assert (wrong.returncode, wrong.stdout) == (1, f"4 {fnv1a(run)} DIFFERENT\n"), wrong.stderr
