"""The same bytes everywhere: digests of LeNet-5 after 200 steps, mini-batch 128, on every device of this machine.

    python tests/bench/equality.py [--steps 200]

The reference is slow: a minute or so.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

from strop.host.checkpoint import state_digest
from strop.host.data import load_fashion_mnist_subset
from strop.host.models import initial_state
from strop.host.networks import lenet5
from strop.host.order import epoch_order
from strop.runtime import Device, Minibatch, Session, StepResult
from strop.runtime.emulator import EmulatorDevice, available_cores, supported_instruction_sets
from strop.runtime.reference import ReferenceDevice

BATCH, LEARNING_RATE = 128, 0.1


def minibatches(steps: int) -> Iterator[Minibatch]:
    """Mini-batches of the bundled training images, an order an epoch."""
    data = load_fashion_mnist_subset("train")
    in_epoch = len(data) // BATCH
    for step in range(steps):
        order = epoch_order(len(data), 0, step // in_epoch)
        chosen = order[step % in_epoch * BATCH :][:BATCH]
        yield Minibatch(data.images[chosen], data.labels[chosen], LEARNING_RATE)


def digest_on(device: Device, steps: int) -> str:
    """Train on `device`, print what came out, and return the digest of state and losses."""
    start = time.perf_counter()
    session = Session(lenet5(), device, batch=BATCH)
    session.load_state(initial_state(session.graph, 0))
    total = sum(session.train(minibatches(steps)), StepResult(0, 0, 0))
    digest = state_digest(session.state())
    session.close()
    seconds = time.perf_counter() - start
    print(f"{digest[:16]}  loss sum {total.loss_sum_q16}  {seconds:6.1f} s  {device.description}", flush=True)
    return f"{digest} {total.loss_sum_q16}"


def main() -> None:
    """Compare all devices; exit with 1 if two differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    devices: list[Device] = [ReferenceDevice()]
    devices += [EmulatorDevice(threads=1, instruction_set=name) for name in supported_instruction_sets()]
    devices += [EmulatorDevice(threads=count) for count in sorted({2, 3, available_cores()})]
    found = {digest_on(device, options.steps) for device in devices}
    print("all equal" if len(found) == 1 else "DIFFERENT")
    raise SystemExit(len(found) != 1)


if __name__ == "__main__":
    main()
