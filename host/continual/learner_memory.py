"""What a whole learner takes, in bytes, by part: to see whether it fits, and what its memory costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from strop.host.continual.strategies.strategy import Strategy
from strop.host.cursor import TrainingSettings
from strop.host.residence import MOMENTUM, asking_settings
from strop.runtime.arena_plan import MemoryReport, plan_memory
from strop.runtime.graph import NetworkGraph
from strop.runtime.state import StateLayout


@dataclass(frozen=True)
class LearnerMemory:
    """Bytes of a learner's parts. weights: int8 views. masters: int32 weights and per-channel parameters. momenta.

    other_state: statistics, exponents, counters, the gaps of alignment, and the anchors of an elastic pull. slots:
    queues of mini-batches. workspace: feature maps and gradients. buffer: what strategies keep (memories, importances,
    moments). With latent replay, front and rear take turns on the device: each part is the larger of both. The host
    holds a copy of the state beside it, to fall back to.
    """

    weights: int
    masters: int
    momenta: int
    other_state: int
    programs: int
    slots: int
    workspace: int
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
    plans = [plan_of(graph, settings)]
    if settings.after is not None:  # front and rear take turns on the device
        plans.append(plan_of(graph, asking_settings(graph, settings)))
    tensors = list(StateLayout(graph, settings.hyper.elastic).tensors.values())
    weights = sum(t.nbytes for t in tensors if t.name.endswith(".view"))
    momenta = sum(t.nbytes for t in tensors if t.name.endswith(MOMENTUM))
    masters = sum(t.nbytes for t in tensors if t.name.endswith((".weight", ".gamma", ".beta", ".bias")))
    return LearnerMemory(
        weights=weights,
        masters=masters,
        momenta=momenta,
        other_state=StateLayout(graph, settings.hyper.elastic).nbytes - weights - masters - momenta,
        programs=max(plan.programs for plan in plans),
        slots=max(plan.slots for plan in plans),
        workspace=max(plan.workspace for plan in plans),
        buffer=sum(strategy.nbytes for strategy in strategies),
    )


def plan_of(graph: NetworkGraph, settings: TrainingSettings) -> MemoryReport:
    """Return what a session for `settings` takes on the device."""
    trained, frozen = settings.trained(graph)
    return plan_memory(trained, settings.batch, settings.hyper, frozen, settings.queue)
