"""Peak memory of training: what strop plans and what the emulator takes, against PyTorch on the same step in float32.

    python tests/bench/memory.py

Each number of a process comes from a fresh one: imports, data, and some steps of a tiny network come first, so that
libraries and their threads are there. From then on the growth of the resident set counts, at its peak over STEPS steps:
the network, its training state, the device; what only making the first weights took is given back before the steps.
PyTorch trains with its own (L2) batch normalization. Linux only.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from strop.host.models import MODELS, initial_state
from strop.runtime import Minibatch, NetworkGraph, Session, open_device
from strop.runtime.arena_plan import plan_memory
from strop.runtime.graph import L1BN, Conv2d, Flatten, Linear, MaxPool2d, ReLU

CASES = [("lenet5", 128), ("lenet5", 16), ("vgg-small", 64), ("resnet8", 64)]
STEPS = 6
SHARE = 3  # PyTorch's process must grow at least so many times as much as strop's


def tiny() -> NetworkGraph:
    """Return a network that has one layer of each kind, to wake the libraries with."""
    layers = (Conv2d(4, (3, 3)), L1BN(), ReLU(), MaxPool2d(), Flatten(), Linear(8), L1BN(), ReLU(), Linear(10))
    return NetworkGraph("tiny", (1, 8, 8), layers)


def samples(graph: NetworkGraph, batch: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return noise images uint8 [batch, C, H, W] and labels int32 [batch]: their values move no tensor's size."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (batch, *graph.input), np.uint8)
    return images, generator.integers(0, graph.classes, batch, np.int32)


class PeakGrowth:
    """Growth of this process's resident set since this object was made, bytes."""

    def __init__(self) -> None:
        self.settle()
        self._start = _status("VmRSS")

    def settle(self) -> None:
        """Give freed memory back and let the peak start afresh."""
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")

    def peak(self) -> int:
        """Return the largest growth since the last `settle`."""
        return _status("VmHWM") - self._start


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}: this needs Linux")


def measure_strop(graph: NetworkGraph, batch: int) -> dict[str, int]:
    """Return "process", the peak growth of this process while the emulator trains; "planned", the arena's bytes."""
    images, labels = samples(graph, batch)
    _train_strop(tiny(), *samples(tiny(), 4), PeakGrowth())
    growth = PeakGrowth()
    _train_strop(graph, images, labels, growth)
    return {"process": growth.peak(), "planned": plan_memory(graph, batch).peak}


def _train_strop(graph: NetworkGraph, images: NDArray[np.uint8], labels: NDArray[np.int32], growth: PeakGrowth) -> None:
    session = Session(graph, open_device("emulator"), batch=len(labels))
    session.load_state(initial_state(graph, 0))
    growth.settle()
    for _ in session.train(Minibatch(images, labels, 0.05) for _ in range(STEPS)):
        pass
    session.close()


def measure_torch(graph: NetworkGraph, batch: int) -> dict[str, int]:
    """Return "process" likewise for PyTorch; "tensors", the most that its tensors took at once (`tensor_bytes`)."""
    images, labels = samples(graph, batch)
    _train_torch(tiny(), *samples(tiny(), 4), PeakGrowth())
    growth = PeakGrowth()
    _train_torch(graph, images, labels, growth)
    process = growth.peak()
    return {"process": process, "tensors": tensor_bytes(graph, images, labels)}


def _train_torch(graph: NetworkGraph, images: NDArray[np.uint8], labels: NDArray[np.int32], growth: PeakGrowth) -> None:
    import torch

    from float_baseline import MOMENTUM, sgd_step
    from strop.host.pytorch.float_twin import FloatTwin, initial_parameters

    network = FloatTwin(graph, "l2", initial_parameters(graph, 0)).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=MOMENTUM)
    pixels, targets = torch.from_numpy(images), torch.from_numpy(labels).long()
    growth.settle()
    for _ in range(STEPS):
        sgd_step(network, optimizer, pixels, targets)


def tensor_bytes(graph: NetworkGraph, images: NDArray[np.uint8], labels: NDArray[np.int32]) -> int:
    """Return the peak of what PyTorch's allocator hands out while it trains, by its own profiler.

    Parameters, momenta, gradients, saved and temporary tensors are among it; what libraries below it take is not, and
    the images are the caller's.
    """
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        _train_torch(graph, images, labels, PeakGrowth())
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    moves = [event["args"] for event in events if event.get("name") == "[memory]"]
    before = moves[0]["Total Allocated"] - moves[0]["Bytes"]
    return max(int(move["Total Allocated"]) for move in moves) - before


MEASURES: dict[str, Callable[[NetworkGraph, int], dict[str, int]]] = {"strop": measure_strop, "torch": measure_torch}


def in_fresh_process(what: str, network: str, batch: int) -> dict[str, int]:
    """Return what `MEASURES[what]` finds in a process of its own."""
    command = [sys.executable, __file__, "--measure", what, network, str(batch)]
    # large pages would round every array up to 2 MiB, and on one side only: NumPy asks for them
    environment = {**os.environ, "NUMPY_MADVISE_HUGEPAGE": "0"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found: dict[str, int] = json.loads(done.stdout)
    return found


def table(rows: list[tuple[str, int, dict[str, int], dict[str, int]]]) -> str:
    """Return (network, mini-batch, strop's numbers, PyTorch's) as Markdown, MiB."""
    lines = [
        "| network, mini-batch | strop, arena | PyTorch, tensors | ratio | strop, process | PyTorch, process | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for network, batch, ours, theirs in rows:
        pairs = ((ours["planned"], theirs["tensors"]), (ours["process"], theirs["process"]))
        cells = [f"{a / 2**20:.2f} | {b / 2**20:.2f} | {b / a:.2f}" for a, b in pairs]
        lines.append(f"| {network}, {batch} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure every case and print a Markdown table; end with status 1 where a process takes more than its share."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", nargs=3, metavar=("WHAT", "NETWORK", "BATCH"), help="one case, here, as JSON")
    options = parser.parse_args()
    if options.measure:
        what, network, batch = options.measure
        print(json.dumps(MEASURES[what](MODELS[network](), int(batch))))
        return
    rows = [(*case, in_fresh_process("strop", *case), in_fresh_process("torch", *case)) for case in CASES]
    print(table(rows))
    short = [
        f"{network}, {batch}" for network, batch, ours, theirs in rows if theirs["process"] < SHARE * ours["process"]
    ]
    if short:
        sys.exit(f"more than 1/{SHARE} of PyTorch's memory: {'; '.join(short)}")


if __name__ == "__main__":
    main()
