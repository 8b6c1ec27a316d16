"""What a whole learner takes, in bytes, by part: to see whether it fits, and what its memory costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from strop.host.continual.strategies.strategy import Strategy
from strop.host.cursor import TrainingSettings
from strop.host.residence import MOMENTUM
from strop.runtime.arena_plan import plan_memory
from strop.runtime.cut import cut
from strop.runtime.graph import NetworkGraph
from strop.runtime.state import StateLayout


@dataclass(frozen=True)
class LearnerMemory:
    """Bytes of a learner's parts. weights: int8 views. masters: int32 weights and per-channel parameters. momenta.

    other_state: statistics, exponents, counters, the gaps of alignment, and the anchors of an elastic pull. slots:
    queues of mini-batches. workspace: feature maps and gradients. buffer: what strategies keep (memories, importances,
    moments). front: with latent replay, the state of the frozen front, which takes turns with the rear on the device.
    """

    weights: int
    masters: int
    momenta: int
    other_state: int
    programs: int
    slots: int
    workspace: int
    front: int
    buffer: int

    @property
    def total(self) -> int:
        """Bytes of everything."""
        return sum(asdict(self).values())

    def to_dict(self) -> dict[str, int]:
        """Return the parts by name, and their total."""
        return {**asdict(self), "total": self.total}

    def __str__(self) -> str:
        parts = ", ".join(f"{name.replace('_', ' ')} {nbytes:,}" for name, nbytes in asdict(self).items() if nbytes)
        return f"{self.total:,} bytes ({parts})"


def memory_of(graph: NetworkGraph, settings: TrainingSettings, strategies: Sequence[Strategy]) -> LearnerMemory:
    """Return what a learner of `graph` takes under the session's `settings` with `strategies`."""
    trained = graph if settings.after is None else cut(graph, settings.after).rear
    frozen = settings.frozen if trained is graph else frozenset()
    report = plan_memory(trained, settings.batch, settings.hyper, frozen, settings.queue)
    tensors = list(StateLayout(trained).tensors.values())
    weights = sum(t.nbytes for t in tensors if t.name.endswith(".view"))
    momenta = sum(t.nbytes for t in tensors if t.name.endswith(MOMENTUM))
    masters = sum(t.nbytes for t in tensors if t.name.endswith((".weight", ".gamma", ".beta", ".bias")))
    front = 0 if trained is graph else StateLayout(graph).nbytes - StateLayout(trained).nbytes
    return LearnerMemory(
        weights=weights,
        masters=masters,
        momenta=momenta,
        other_state=report.state - weights - masters - momenta,
        programs=report.programs,
        slots=report.slots,
        workspace=report.workspace,
        front=front,
        buffer=sum(strategy.nbytes for strategy in strategies),
    )
