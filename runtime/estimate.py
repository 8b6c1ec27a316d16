"""What training a network would take on a board: the kernel's cycle model (hls/model/), run on a program's commands.

Nothing here was measured on a board. Every figure is modelled, in a step after the first, which measures tensors twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from strop.runtime.arena_plan import plan_memory
from strop.runtime.compiler import compile_inference, compile_training
from strop.runtime.contract import COMMAND, OPCODE_NAMES, C
from strop.runtime.emulator import kernel_library
from strop.runtime.errors import DeviceError, DeviceUnavailable, InputError
from strop.runtime.graph import NetworkGraph
from strop.runtime.hyperparameters import Hyperparameters
from strop.runtime.program import ArenaBase, Program
from strop.runtime.state import StateLayout

PHASES = {
    **dict.fromkeys((C.OP_CONV_FORWARD, C.OP_FLATTEN, C.OP_ADD_FORWARD), "forward"),
    **dict.fromkeys((C.OP_MAX_POOL_FORWARD, C.OP_GLOBAL_AVERAGE_POOL_FORWARD), "forward"),
    **dict.fromkeys((C.OP_ACTIVATION_FORWARD, C.OP_AVERAGE_POOL_FORWARD, C.OP_UPSAMPLE_FORWARD), "forward"),
    **dict.fromkeys((C.OP_CONV_INPUT_GRADIENT, C.OP_UNFLATTEN), "input gradient"),
    **dict.fromkeys((C.OP_ADD_BACKWARD, C.OP_ADD_GRADIENT), "input gradient"),
    **dict.fromkeys((C.OP_MAX_POOL_BACKWARD, C.OP_GLOBAL_AVERAGE_POOL_BACKWARD), "input gradient"),
    **dict.fromkeys((C.OP_ACTIVATION_BACKWARD, C.OP_AVERAGE_POOL_BACKWARD, C.OP_UPSAMPLE_BACKWARD), "input gradient"),
    C.OP_CONV_WEIGHT_GRADIENT: "weight gradient",
    C.OP_L1BN_FORWARD: "normalization",
    C.OP_L1BN_BACKWARD: "normalization gradient",
    **dict.fromkeys((C.OP_SGD, C.OP_ELASTIC_PULL), "update"),
}
OTHER = "other"
ORIGIN = ArenaBase(0, 0, 0, 0)  # costs do not depend on where tensors lie


@dataclass(frozen=True)
class Resources:
    """Parts of an FPGA. A BRAM has 36 Kib, a URAM 288 Kib."""

    luts: int
    dsps: int
    brams: int
    urams: int


@dataclass(frozen=True)
class Board:
    """A board that the model knows; figures of the part and of its memory, with their sources in hls/model/."""

    name: str
    part: str
    clock_mhz: int
    port_bytes: int  # of one memory port of the kernel, a cycle
    dram_mbytes_second: int  # usable, all ports together
    dram_mbytes: int
    array_macs: int  # multiply-adds of the MAC array, a cycle
    budget: Resources  # of the part
    needed: Resources  # by the kernel: estimated from its arrays and unrolled loops, not synthesized

    @property
    def peak_macs_second(self) -> float:
        """Multiply-adds of the MAC array, a second."""
        return self.array_macs * self.clock_mhz * 1e6


@dataclass(frozen=True)
class LayerCost:
    """One phase of one layer in one step, modelled.

    macs: multiply-adds by the layer's shapes. array_cycles: cycles in which the MAC array works. dram_bytes: read and
    written, without single words (exponents, statistics). bound: what decides the cycles: "MAC array", "loads",
    "stores", "weights" (on their way into the array), "DRAM" (all ports together), "computation" (outside the array),
    or "latency" (waiting for first data and for single words).
    """

    layer: str
    phase: str
    macs: int
    array_cycles: int
    dram_bytes: int
    cycles: int
    bound: str

    def __add__(self, other: LayerCost) -> LayerCost:
        """Both together; what bounds the longer one bounds their sum."""
        return LayerCost(
            self.layer,
            self.phase,
            self.macs + other.macs,
            self.array_cycles + other.array_cycles,
            self.dram_bytes + other.dram_bytes,
            self.cycles + other.cycles,
            self.bound if self.cycles >= other.cycles else other.bound,
        )

    def utilization(self, board: Board) -> float:
        """Share of what the MAC array could do in the phase's time, 0 to 1."""
        return self.macs / (board.array_macs * max(1, self.cycles))

    def array_utilization(self, board: Board) -> float:
        """The same in the cycles in which the array works: below 1 where tiles leave rows or lanes of it empty."""
        return self.macs / (board.array_macs * max(1, self.array_cycles))


@dataclass(frozen=True)
class Estimate:
    """Training and inference of a network with mini-batches of `batch` on `board`, modelled."""

    network: str
    batch: int
    board: Board
    training: tuple[LayerCost, ...]
    inference: tuple[LayerCost, ...]
    memory_bytes: int

    @property
    def step_seconds(self) -> float:
        """Time of a training step."""
        return self._seconds(self.training)

    @property
    def inference_seconds(self) -> float:
        """Time of inference on a mini-batch."""
        return self._seconds(self.inference)

    @property
    def training_images_second(self) -> float:
        """Images trained a second."""
        return self.batch / self.step_seconds

    @property
    def inference_images_second(self) -> float:
        """Images classified a second."""
        return self.batch / self.inference_seconds

    @property
    def fits(self) -> bool:
        """Whether the arena fits the board's memory; what the operating system leaves of it is less."""
        return self.memory_bytes <= self.board.dram_mbytes << 20

    def _seconds(self, costs: tuple[LayerCost, ...]) -> float:
        return sum(cost.cycles for cost in costs) / (self.board.clock_mhz * 1e6)


def boards() -> dict[str, Board]:
    """Return the boards that the model knows, by name. Raises `DeviceUnavailable` where the kernel was not compiled."""
    return {board.name: board for board in _boards()}


def estimate(
    graph: NetworkGraph,
    board: str,
    batch: int,
    hyper: Hyperparameters | None = None,
    frozen: frozenset[str] = frozenset(),
) -> Estimate:
    """Model training and inference of `graph` on the board of that name, with mini-batches of `batch`.

    `frozen` names blocks as in `compile_training`. Raises `InputError` for a board that the model does not know,
    `DeviceUnavailable` where the kernel was not compiled, and what compiling raises.
    """
    known = _boards()
    names = [each.name for each in known]
    if board not in names:
        raise InputError(f"board {board!r} is not known; allowed: {', '.join(names)}")
    index = names.index(board)
    hyper = hyper or Hyperparameters()
    layout = StateLayout(graph, hyper.elastic)
    return Estimate(
        graph.name,
        batch,
        known[index],
        training=_costs(index, compile_training(graph, layout, batch, ORIGIN, hyper, frozen)),
        inference=_costs(index, compile_inference(graph, layout, batch, ORIGIN)),
        memory_bytes=plan_memory(graph, batch, hyper).peak,
    )


def step_seconds(graph: NetworkGraph, batch: int, hyper: Hyperparameters, frozen: frozenset[str]) -> dict[str, float]:
    """Return the modelled time of a training step on each board, by name; none where the kernel was not compiled."""
    try:
        known = _boards()
    except DeviceUnavailable:
        return {}
    program = compile_training(graph, StateLayout(graph, hyper.elastic), batch, ORIGIN, hyper, frozen)
    return {
        board.name: sum(cost.cycles for cost in _costs(index, program)) / (board.clock_mhz * 1e6)
        for index, board in enumerate(known)
    }


def _boards() -> list[Board]:
    lib, ffi = kernel_library().lib, kernel_library().ffi
    found = []
    for index in range(lib.strop_model_boards()):
        facts = lib.strop_model_board(index)
        found.append(
            Board(
                name=ffi.string(facts.name).decode(),
                part=ffi.string(facts.part).decode(),
                clock_mhz=facts.clock_mhz,
                port_bytes=facts.port_bytes,
                dram_mbytes_second=facts.dram_mbytes_second,
                dram_mbytes=facts.dram_mbytes,
                array_macs=facts.array_macs,
                budget=_resources(facts),
                needed=_resources(lib.strop_model_resources(index)),
            )
        )
    return found


def _resources(counts: Any) -> Resources:
    return Resources(counts.luts, counts.dsps, counts.brams, counts.urams)


def _costs(index: int, program: Program) -> tuple[LayerCost, ...]:
    """The costs of a program's commands on board `index`, those of one layer's phase together."""
    merged: dict[tuple[str, str], LayerCost] = {}
    for command in program.commands:
        cost = _cost(index, command, program.layers[int(command["layer"])])
        key = cost.layer, cost.phase
        merged[key] = merged[key] + cost if key in merged else cost
    return tuple(merged.values())


def _cost(index: int, command: np.void, layer: str) -> LayerCost:
    kernel = kernel_library()
    cost = kernel.ffi.new("strop_cost *")
    raw = kernel.ffi.from_buffer("strop_command *", np.array(command, COMMAND).tobytes())
    opcode = int(command["opcode"])
    if not kernel.lib.strop_model_command(index, raw, cost):
        raise DeviceError(f"the model refuses the command {OPCODE_NAMES.get(opcode, opcode)} of layer {layer}")
    return LayerCost(
        layer,
        phase_of(command),
        macs=cost.macs,
        array_cycles=cost.array_cycles,
        dram_bytes=cost.load.bytes + cost.compute.bytes + cost.store.bytes + cost.words.bytes,
        cycles=cost.cycles,
        bound=_bound(cost),
    )


def phase_of(command: np.void) -> str:
    """Return the phase of a command. Of a transposed convolution, forward pass and input gradient are each other's."""
    phase = PHASES.get(int(command["opcode"]), OTHER)
    swapped = {"forward": "input gradient", "input gradient": "forward"}
    return swapped.get(phase, phase) if int(command["flags"]) & C.FLAG_TRANSPOSED else phase


def _bound(cost: Any) -> str:
    """Return what decides the cycles of a command: the largest of its stages, and what that stage does most."""
    if cost.cycles <= cost.dram_cycles:
        return "DRAM"
    stages = {"loads": cost.load, "computation": cost.compute, "stores": cost.store, "latency": cost.words}
    name = max(stages, key=lambda stage: int(stages[stage].cycles))
    stage = stages[name]
    if 2 * stage.waits > stage.cycles:
        return "latency"
    if name == "computation" and cost.macs:
        return "MAC array" if 2 * cost.array_cycles > stage.cycles else "weights"
    return name
