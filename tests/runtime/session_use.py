"""Ways to use a session in a test, and a device that notes what a session does to it."""

from __future__ import annotations

from typing import Any

from small_networks import SMALL, first_state, minibatches
from strop.runtime.contract import Registers
from strop.runtime.device import Device
from strop.runtime.errors import DeviceTimeout
from strop.runtime.graph import NetworkGraph
from strop.runtime.session import Session, StepResult

BATCH = 8


class Recorder:
    """A device that notes how it is used, and fails where it is told to."""

    def __init__(self, inner: Device) -> None:
        self.inner = inner
        self.name, self.description = inner.name, inner.description
        self.contract_version, self.numerics_version = inner.contract_version, inner.numerics_version
        self.arenas = inner.arenas
        self.allocated: list[int] = []
        self.runs = 0
        self.failing_run = 0
        self.closed = False

    def allocate(self, nbytes: int) -> None:
        self.allocated.append(nbytes)
        self.inner.allocate(nbytes)
        self.arenas = self.inner.arenas

    def write(self, offset: int, data: Any) -> None:
        self.inner.write(offset, data)

    def read(self, offset: int, nbytes: int) -> Any:
        return self.inner.read(offset, nbytes)

    def run(self, registers: Registers) -> Any:
        self.runs += 1
        if self.runs == self.failing_run:
            raise DeviceTimeout("the kernel did not finish")
        return self.inner.run(registers)

    def close(self) -> None:
        self.closed = True
        self.inner.close()


def opened(device: Device, graph: NetworkGraph = SMALL, batch: int = BATCH, **more: Any) -> Session:
    """Return a session with a first state."""
    session = Session(graph, device, batch=batch, **more)
    session.load_state(first_state(graph))
    return session


def train(session: Session, steps: int, seed: int = 0, batch: int = BATCH) -> list[StepResult]:
    """Train on fresh mini-batches; return the results."""
    return list(session.train(minibatches(session.graph, batch, steps, seed)))


def steps_seen(session: Session) -> int:
    """Return how many training steps the first layer has seen."""
    return int(session.state()["bn1.running_steps"][0])
