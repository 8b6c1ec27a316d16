"""Which layers train, by a budget of memory: the front is frozen as far as it must be (Lin et al., NeurIPS 2022).

A frozen layer needs no gradient, no kept feature map behind it and no update; below the first trainable layer nothing
runs backward. Frozen layers in the middle save updates only, so it is the front that is frozen.
"""

from __future__ import annotations

from strop.host.checked import whole
from strop.host.continual.learned import LearnerSettings
from strop.runtime.arena_plan import plan_memory
from strop.runtime.errors import MemoryPlanError
from strop.runtime.graph import NetworkGraph


def layers_to_freeze(graph: NetworkGraph, budget: int, settings: LearnerSettings, batch: int) -> frozenset[str]:
    """Return the fewest layers, from the front, whose freezing lets training fit in `budget` bytes of the device.

    batch: samples in a mini-batch, replayed ones included; settings: what else decides the memory (statistics, queue).
    Layers can be frozen once the network was trained. Raises `MemoryPlanError`, with what the least would be, where
    even training the last layer alone does not fit.
    """
    whole("budget", budget, 1)
    names = [node.name for node in graph.weighted]
    least = 0
    for count in range(len(names)):
        frozen = frozenset(names[:count])
        least = plan_memory(graph, batch, settings.hyper, frozen, settings.queue).peak
        if least <= budget:
            return frozen
    raise MemoryPlanError(
        f"{graph.name} with mini-batches of {batch} needs {least:,} bytes to train its last layer alone, more than the "
        f"{budget:,} allowed: take a smaller mini-batch, queue=1, or a smaller network"
    )
