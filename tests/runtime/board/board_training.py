"""A training to compare devices by, and a start that does nothing."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from strop.host.data import load_fashion_mnist_subset
from strop.host.models import initial_state
from strop.host.networks import lenet5
from strop.runtime.contract import C, Registers
from strop.runtime.device import Device
from strop.runtime.session import Minibatch, Session

BATCH = 16
NOTHING = Registers(
    program=0, commands=0, steps=1, slots=0, slot_stride=64, slot_count=1, first_slot=0, report=C.ALIGN_BYTES
)


def opened_session(device: Device, batch: int = BATCH) -> Session:
    """Return a session with LeNet-5's first state."""
    session = Session(lenet5(), device, batch=batch)
    session.load_state(initial_state(session.graph, seed=0))
    return session


def minibatches(first: int, count: int, batch: int = BATCH) -> list[Minibatch]:
    """Return mini-batches of the bundled Fashion-MNIST."""
    data = load_fashion_mnist_subset("train")
    parts = [slice(i * batch, (i + 1) * batch) for i in range(first, first + count)]
    return [Minibatch(data.images[part], data.labels[part], 0.05) for part in parts]


def train(session: Session, first: int, count: int, batch: int = BATCH) -> None:
    """Train on some of the mini-batches."""
    assert len(list(session.train(minibatches(first, count, batch)))) == count


def digest(session: Session) -> str:
    """Return sha256 over the state."""
    found = hashlib.sha256()
    for name, array in sorted(session.state().items()):
        found.update(name.encode())
        found.update(array.tobytes())
    return found.hexdigest()


def trained_digest(device: Device, steps: int, batch: int = BATCH) -> str:
    """Return the digest after `steps` steps from the first state."""
    session = opened_session(device, batch)
    train(session, 0, steps, batch)
    return digest(session)


def zeros(nbytes: int) -> Any:
    """Return bytes to write."""
    return np.zeros(nbytes, np.uint8)
