"""Every network of the L1BN paper: counts, memory, estimate on each board, and real training steps.

    python tests/bench/network_zoo.py                 # all of them: some minutes, most of it in the NumPy reference
    python tests/bench/network_zoo.py --networks densenet100 dcgan32 --steps 3

A step runs on the emulator and on the reference, from one state on one mini-batch, and all bytes of the state and of
the loss are compared. Where the full input is out of reach of the reference, it is smaller: the table says so.
Estimates are modelled, for mini-batches as large as an int32 sum allows, at most 64, at full size; nothing was run on a
board.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from strop.host.models import initial_state
from strop.host.networks import (
    alexnet,
    dcgan,
    densenet100,
    lenet5,
    mobilenet,
    resnet8,
    resnet20,
    resnet110,
    resnet_bottleneck,
    vgg7,
    wide_densenet40,
)
from strop.host.order import raw_bits
from strop.runtime import Device, Hyperparameters, Minibatch, NetworkGraph, Session, open_device
from strop.runtime.compiler import largest_batch
from strop.runtime.estimate import boards, estimate
from strop.runtime.soft_targets import ONE
from strop.runtime.state import StateLayout

RESULTS = Path(__file__).resolve().parent / "results" / "network-zoo.jsonl"


@dataclass(frozen=True)
class Row:
    """A network at its full size, and as it is trained here on mini-batches of `batch`."""

    build: Callable[[], NetworkGraph]
    trained: Callable[[], NetworkGraph]
    batch: int


def _same(build: Callable[[], NetworkGraph], batch: int) -> Row:
    return Row(build, build, batch)


ROWS = {
    "lenet5": _same(lenet5, 32),
    "vgg7": _same(vgg7, 4),
    "resnet8": _same(lambda: resnet8((3, 32, 32)), 16),
    "resnet20": _same(resnet20, 8),
    "resnet110": _same(resnet110, 4),
    "resnet110-bottleneck": _same(resnet_bottleneck, 4),
    "densenet100": _same(densenet100, 4),
    "wide-densenet40": _same(wide_densenet40, 4),
    "alexnet": Row(alexnet, lambda: alexnet((3, 67, 67), 1000), 4),
    "mobilenet": Row(mobilenet, lambda: mobilenet((3, 64, 64), 1000), 4),
    "dcgan32": _same(lambda: dcgan(32), 8),
    "dcgan64": _same(lambda: dcgan(64), 4),
    "dcgan128": Row(lambda: dcgan(128), lambda: dcgan(128, width=16), 4),
}


def train(graph: NetworkGraph, device: Device, batch: int, steps: int) -> tuple[list[Any], dict[str, Any], float]:
    """Return the results of `steps` steps, the state after them, and the seconds that they took."""
    binary = graph.classes == 1
    hyper = Hyperparameters(loss="binary_cross_entropy") if binary else Hyperparameters()
    session = Session(graph, device, batch=batch, hyper=hyper, queue=1)
    session.load_state(initial_state(graph, seed=0))
    made = []
    for step in range(steps):
        count = batch * int(np.prod(graph.input))
        images = (raw_bits(0, 7, step, count=count) >> np.uint64(56)).astype(np.uint8).reshape(batch, *graph.input)
        labels = (raw_bits(0, 8, step, count=batch) % np.uint64(graph.classes)).astype(np.int32)
        targets = np.full((batch, 1), step % 2 * ONE, np.int32) if binary else None
        made.append(Minibatch(images, labels, 0.05, targets))
    begin = time.perf_counter()
    results = list(session.train(made))
    seconds = time.perf_counter() - begin
    state = session.state()
    session.close()
    return results, state, seconds


def measure(name: str, row: Row, steps: int) -> dict[str, Any]:
    """Return what is known of a network and how its steps went; raises `AssertionError` where bytes differ."""
    full, graph = row.build(), row.trained()
    layout = StateLayout(full)
    ours = train(graph, open_device("emulator"), row.batch, steps)
    oracle = train(graph, open_device("reference"), row.batch, steps)
    differ = [key for key, array in oracle[1].items() if not np.array_equal(array, ours[1][key])]
    assert ours[0] == oracle[0] and not differ, f"{name}: emulator and reference differ in {differ or 'the loss'}"
    hyper = Hyperparameters(loss="binary_cross_entropy") if full.classes == 1 else Hyperparameters()
    batch = min(64, largest_batch(full))
    estimates = {board: estimate(full, board, batch, hyper) for board in boards()}
    memory = next(iter(estimates.values())).memory_bytes
    return {
        "network": name,
        "parameters": sum(int(np.prod(layout.tensors[p].shape)) for p in layout.parameters),
        "multiply_adds": sum(node.multiply_adds for node in full.weighted),
        "trained_input": list(graph.input),
        "reduced": graph != full,
        "trained_batch": row.batch,
        "steps": steps,
        "losses": [round(result.loss, 4) for result in ours[0]],
        "emulator_seconds": round(ours[2], 3),
        "reference_seconds": round(oracle[2], 3),
        "batch": batch,
        "memory_bytes": memory,
        "images_per_second": {board: round(e.training_images_second, 2) for board, e in estimates.items()},
        "fits": {board: e.fits for board, e in estimates.items()},
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as Markdown; boards that the network's memory does not fit are in brackets."""
    names = list(rows[0]["images_per_second"])
    lines = [
        f"| network | parameters | M multiply-adds | trained here | memory MB at batch | {' | '.join(names)} |",
        "|" + "---|" * (5 + len(names)),
    ]
    for row in rows:
        here = f"{'x'.join(map(str, row['trained_input']))}, batch {row['trained_batch']}"
        rates = [
            f"{rate:.4g}" if row["fits"][board] else f"({rate:.4g})" for board, rate in row["images_per_second"].items()
        ]
        cells = (row["network"], f"{row['parameters']:,}", f"{row['multiply_adds'] / 1e6:.1f}")
        cells += (
            f"{here}{' (reduced)' if row['reduced'] else ''}",
            f"{row['memory_bytes'] / 1e6:.1f} at {row['batch']}",
        )
        lines.append(f"| {' | '.join((*cells, *rates))} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, record, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=tuple(ROWS), default=list(ROWS))
    parser.add_argument("--steps", type=int, default=2)
    options = parser.parse_args()
    known = (
        {row["network"]: row for row in map(json.loads, RESULTS.read_text().splitlines())} if RESULTS.exists() else {}
    )
    for name in options.networks:
        known[name] = measure(name, ROWS[name], options.steps)
        print(json.dumps(known[name]), flush=True)
        ordered = [known[other] for other in ROWS if other in known]
        RESULTS.write_text("".join(json.dumps(row) + "\n" for row in ordered))
    print(table([known[name] for name in ROWS if name in known]))


if __name__ == "__main__":
    main()
