"""What lies where in a session's arena, and how many bytes that takes: the state, programs, slots and the workspace."""

from __future__ import annotations

from dataclasses import dataclass

from strop.runtime.compiler import compile_inference, compile_training, compile_views, largest_batch
from strop.runtime.contract import COMMAND, REPORT
from strop.runtime.errors import MemoryPlanError
from strop.runtime.graph import NetworkGraph
from strop.runtime.hyperparameters import Hyperparameters
from strop.runtime.planner import align
from strop.runtime.program import LARGEST_ARENA, ArenaBase
from strop.runtime.state import StateLayout

QUEUES = 2
MAX_QUEUE = 16  # mini-batches in one start: how far the host's results may lag behind the device
QUEUE_BYTES = 1 << 18  # a queue of small mini-batches is longer: what a start costs is shared by more,
QUEUE_WORK = 1 << 25  # as long as it is soon done: multiply-adds of the forward pass
LEAST_INFERENCE_BATCH = 128


@dataclass(frozen=True)
class MemoryReport:
    """Peak memory of the device, bytes, by part."""

    state: int
    programs: int
    slots: int
    workspace: int

    @property
    def peak(self) -> int:
        """Bytes of the whole arena."""
        return self.state + self.programs + self.slots + self.workspace

    def __str__(self) -> str:
        parts = f"state {self.state:,}, programs {self.programs:,}, mini-batch slots {self.slots:,}"
        return f"{self.peak:,} bytes ({parts}, workspace {self.workspace:,})"


def plan_memory(
    graph: NetworkGraph,
    batch: int,
    hyper: Hyperparameters | None = None,
    frozen: frozenset[str] = frozenset(),
    queue: int | None = None,
) -> MemoryReport:
    """Return what a `Session` with these arguments takes, without taking it."""
    return ArenaPlan(graph, batch, hyper or Hyperparameters(), frozen, queue).report


class ArenaPlan:
    """The arena's regions, from the programs that will use them.

    queue: the most mini-batches in one start; None chooses for speed. Where it is given, memory is what counts, and
    inference makes do with the slots of training.
    """

    def __init__(
        self, graph: NetworkGraph, batch: int, hyper: Hyperparameters, frozen: frozenset[str], queue: int | None
    ) -> None:
        self.layout = StateLayout(graph, hyper.elastic)
        self.inference_batch = max(batch, min(LEAST_INFERENCE_BATCH, largest_batch(graph)))
        origin = ArenaBase(0, 0, 0, 0)
        while True:
            trial = [
                compile_training(graph, self.layout, batch, origin, hyper, frozen),
                compile_views(graph, self.layout, origin, hyper),
                compile_inference(graph, self.layout, self.inference_batch, origin),
            ]
            decides = trial[2].workspace_bytes > trial[0].workspace_bytes
            decides |= queue is not None and trial[2].slot.nbytes > QUEUES * queue * trial[0].slot.nbytes
            if self.inference_batch <= 1 or not decides or (queue is None and self.inference_batch <= batch):
                break
            self.inference_batch //= 2  # inference must not be what decides the peak
        # A smaller mini-batch takes the places of the full one: planned afresh it could need more room, not less.
        self.placed = {program.kind: program.tensors for program in trial}
        commands = max(len(program.commands) for program in trial)
        self.slot_bytes = trial[0].slot.nbytes
        work = batch * sum(node.multiply_adds for node in graph.weighted)
        self.queue = max(1, min(queue or MAX_QUEUE, QUEUE_BYTES // trial[0].slot.nbytes, QUEUE_WORK // work))
        slots = max(QUEUES * self.queue * self.slot_bytes, trial[2].slot.nbytes)  # inference takes them all for one
        workspace = max(program.workspace_bytes for program in trial)
        programs = align(commands * COMMAND.itemsize) + align(REPORT.itemsize)
        at_slots = self.layout.nbytes + programs
        at_workspace = at_slots + slots
        self.base = ArenaBase(
            commands=self.layout.nbytes,
            report=self.layout.nbytes + align(commands * COMMAND.itemsize),
            slots=at_slots,
            workspace=at_workspace,
        )
        self.report = MemoryReport(self.layout.nbytes, programs, slots, workspace)
        if self.report.peak > LARGEST_ARENA:
            raise MemoryPlanError(
                f"{graph.name} with mini-batches of {batch} needs {self.report}; an arena has at most "
                f"{LARGEST_ARENA:,}: take a smaller mini-batch"
            )
