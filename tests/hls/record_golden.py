"""Record the golden programs of `tests/hls/golden/` with the reference device.

    python tests/hls/record_golden.py

Small networks that between them hold every operation of the kernel and sizes that divide no tile; whole training steps
from a network's first state, then inference. Record again when NUMERICS.md or the contract changes, and only then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from golden import write_golden
from map_program import map_program, record_maps, row_program
from record_operations import PROGRAMS, record_operations
from strop.host.models import initial_state
from strop.host.order import epoch_order
from strop.host.selftest import RESIDUAL, STRIDED, WIDE
from strop.runtime.compiler import compile_inference, compile_training, compile_views
from strop.runtime.contract import REPORT, SLOT, C, Registers
from strop.runtime.graph import L1BN, Conv2d, Flatten, Linear, MaxPool2d, NetworkGraph, ReLU
from strop.runtime.hyperparameters import Hyperparameters, mantissa_and_shift
from strop.runtime.planner import align
from strop.runtime.program import ArenaBase, Program
from strop.runtime.reference import ReferenceDevice
from strop.runtime.soft_targets import ONE, target_rows
from strop.runtime.state import StateLayout

FOLDER = Path(__file__).resolve().parent / "golden"
STEPS, SLOTS = 3, 2
LEARNING_RATE = mantissa_and_shift(0.1)

# LeNet-5's kind: a border, 5x5 filters on pixels, 2x2 pooling, fully-connected layers, the first of them on a map
LENET = NetworkGraph(
    "lenet",
    (1, 11, 13),
    (
        *(Conv2d(3, (5, 5)), L1BN(), ReLU(), MaxPool2d()),
        *(Conv2d(5, (3, 3)), L1BN(), ReLU()),
        *(Flatten(), Linear(9), L1BN(), ReLU(), Linear(4)),
    ),
    border=2,
)
# The rest are the self-test's: strides, groups, overlapping pooling; sums of branches; a map too wide for a filter.


Compile = Callable[[StateLayout, ArenaBase], Program]


def record_network(graph: NetworkGraph, batch: int, frozen: str, seed: int) -> None:
    """Record training steps of `graph`, more of them with the layer `frozen` frozen, then inference."""
    hyper = Hyperparameters(weight_decay=0.001)
    programs: dict[str, Compile] = {
        "train": lambda layout, base: compile_training(graph, layout, batch, base, hyper),
        "frozen": lambda layout, base: compile_training(graph, layout, batch, base, hyper, frozenset({frozen})),
        "infer": lambda layout, base: compile_inference(graph, layout, batch, base),
    }
    record_programs(graph, StateLayout(graph), batch, seed, programs)


def record_stream(graph: NetworkGraph, batch: int, seed: int) -> None:
    """Record training steps of `graph` by its running statistics; then with those frozen, on soft targets, pulled."""

    def program(hyper: Hyperparameters) -> Compile:
        return lambda layout, base: compile_training(graph, layout, batch, base, hyper)

    running = Hyperparameters(statistics="running")
    continual = Hyperparameters(statistics="frozen", soft_targets=True, elastic=True)
    programs = {"running": program(running), "continual": program(continual)}
    record_programs(graph, StateLayout(graph, elastic=True), batch, seed, programs)


def record_programs(
    graph: NetworkGraph, layout: StateLayout, batch: int, seed: int, programs: Mapping[str, Compile]
) -> None:
    """Record a run of each program, by the end of its file's name, from where the one before left the memory."""
    probes = [compiled(layout, ArenaBase(0, 0, 0, 0)) for compiled in programs.values()]
    commands = align(64 * probes[0].commands.itemsize)
    slot_bytes = align(max(probe.slot.nbytes for probe in probes))
    base = ArenaBase(
        commands=layout.nbytes,
        report=layout.nbytes + commands,
        slots=layout.nbytes + commands + align(REPORT.itemsize),
        workspace=layout.nbytes + commands + align(REPORT.itemsize) + SLOTS * slot_bytes,
    )
    arena = np.zeros(base.workspace + max(probe.workspace_bytes for probe in probes), np.uint8)

    device = ReferenceDevice()
    for name, array in initial_state(graph, seed).items():
        _put(arena, layout.offset(name), array)
        if layout.elastic and name in layout.parameters:
            order = epoch_order(array.size, seed, 3).reshape(array.shape)
            _put(arena, layout.offset(f"{name}.anchor"), array + ((order % 41 - 20) << 14).astype(np.int32))
            _put(arena, layout.offset(f"{name}.importance"), (order % 12).astype(np.uint8))
    device.allocate(arena.size)
    device.write(0, arena)
    views = compile_views(graph, layout, base, Hyperparameters())
    device.write(base.commands, views.commands)
    views.raise_for(device.run(_registers(views, base, slot_bytes, 1)))
    arena = device.read(0, arena.size)

    for slot in range(SLOTS):
        _fill(arena, graph, probes[0], base.slots + slot * slot_bytes, seed + slot)
        if "continual" in programs:
            _fill_targets(arena, graph, probes[0], base.slots + slot * slot_bytes, seed + slot)
    for end, compiled in programs.items():
        steps = 1 if end == "infer" else STEPS
        arena = _record(f"small-{graph.name}-{end}", compiled(layout, base), arena, base, slot_bytes, steps, layout)


def _record(
    name: str,
    program: Program,
    arena: np.ndarray,
    base: ArenaBase,
    slot_bytes: int,
    steps: int,
    layout: StateLayout,
) -> np.ndarray:
    """Write one golden file: state, slots and report are what it must leave. Returns the memory afterwards."""
    arena = arena.copy()
    arena[base.commands : base.report] = 0
    arena[base.workspace :] = 0
    _put(arena, base.commands, program.commands)
    check = [(0, layout.nbytes), (base.slots, SLOTS * slot_bytes), (base.report, REPORT.fields["cycles"][1])]
    device = ReferenceDevice()
    write_golden(FOLDER / f"{name}.bin", device, _registers(program, base, slot_bytes, steps), arena, check)
    return device.read(0, arena.size)


def _registers(program: Program, base: ArenaBase, slot_bytes: int, steps: int) -> Registers:
    return Registers(
        program=base.commands,
        commands=len(program.commands),
        steps=steps,
        slots=base.slots,
        slot_stride=slot_bytes,
        slot_count=SLOTS,
        first_slot=1,
        report=base.report,
    )


def _fill(arena: np.ndarray, graph: NetworkGraph, program: Program, at: int, seed: int) -> None:
    """A mini-batch: each image noise, with a bright block at a place that its label names."""
    batch = program.batch
    pixels = int(np.prod(graph.input))
    images = (epoch_order(batch * pixels, seed, 0) % 97).astype(np.uint8).reshape(batch, *graph.input)
    labels = (epoch_order(batch, seed, 1) % graph.classes).astype(np.int32)
    for image, label in zip(images, labels, strict=True):
        image[:, 2 + label : 5 + label, 3:7] += 150
    head = np.zeros(1, SLOT)
    head["learning_rate_mantissa"], head["learning_rate_shift"] = LEARNING_RATE
    _put(arena, at, head)
    _put(arena, at + program.slot.labels, labels)
    _put(arena, at + program.slot.images, images)


def _fill_targets(arena: np.ndarray, graph: NetworkGraph, program: Program, at: int, seed: int) -> None:
    """Soft targets of a mini-batch: of each sample three fifths and more on one class."""
    order = epoch_order(program.batch, seed, 2)
    targets = np.zeros((program.batch, graph.classes), np.int32)
    for row, first in zip(targets, order, strict=True):
        row[:] = 13107 // graph.classes + np.arange(graph.classes)
        row[int(first) % graph.classes] += ONE - row.sum()
    _put(arena, at + program.slot.logits, target_rows(targets, program.slot.logits_plane))


def _put(arena: np.ndarray, offset: int, array: np.ndarray) -> None:
    raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    arena[offset : offset + raw.size] = raw


def main() -> None:
    """Record every file."""
    FOLDER.mkdir(exist_ok=True)
    record_network(LENET, 18, "conv2", seed=1)
    record_network(STRIDED, 10, "conv1", seed=2)
    record_network(WIDE, 7, "conv1", seed=3)
    record_network(RESIDUAL, 6, "conv2", seed=4)
    record_stream(RESIDUAL, 1, seed=5)
    record_maps(map_program(), FOLDER / "small-maps.bin", seed=6)
    record_maps(row_program(), FOLDER / "small-rows.bin", seed=7)
    for name, operations in PROGRAMS.items():
        record_operations(FOLDER / f"{name}.bin", operations)
    for path in sorted(FOLDER.glob("*.bin")):
        print(f"{path.name}: {path.stat().st_size} bytes, contract {C.CONTRACT_VERSION}, numerics {C.NUMERICS_VERSION}")


if __name__ == "__main__":
    main()
