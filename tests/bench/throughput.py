"""Training and inference throughput: the emulator against PyTorch on the CPU, float32, on all cores, in one run.

    python tests/bench/throughput.py [--threads N]

The two take turns, several rounds each, and the median round counts, so that a busy machine slows both. PyTorch
trains the same network with its own (L2) batch normalization, in whichever memory format is faster for it. The same
run gives the emulator's speed on one thread, and what the processor could do at most: multiply-adds a second
with all operands in registers (processor_bound.cpp), of which the table says how much training reached.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from float_baseline import MOMENTUM, sgd_step
from strop.host.data import load_fashion_mnist_subset
from strop.host.models import initial_state
from strop.host.networks import lenet5, resnet8, vgg_small
from strop.host.pytorch.float_twin import FloatTwin, initial_parameters
from strop.runtime import Minibatch, NetworkGraph, Session, open_device
from strop.runtime.emulator import available_cores

CASES: list[tuple[Callable[[], NetworkGraph], int]] = [
    (lenet5, 128),
    (lenet5, 16),
    (vgg_small, 64),
    (resnet8, 64),
]
LEAVES = ("leaves_portable", "leaves_avx2", "leaves_avx512", "leaves_neon", "leaves_neon_dot", "lanes", "thread_pool")
ROUNDS = 5
SECONDS_A_ROUND = 2.0


def rate(run: Callable[[int], None], images_a_step: int) -> float:
    """Return images a second of `run(steps)`, over about SECONDS_A_ROUND."""
    run(2)
    start = time.perf_counter()
    run(4)
    steps = max(4, round(4 * SECONDS_A_ROUND / (time.perf_counter() - start)))
    start = time.perf_counter()
    run(steps)
    return steps * images_a_step / (time.perf_counter() - start)


def processor_bound() -> dict[str, float]:
    """Return what one core can do at most: int8 multiply-adds a second in registers, of the MAC tile, copied bytes."""
    here = Path(__file__).parent
    hls = here.parent.parent / "hls"
    native = [hls / "native" / f"{name}.cpp" for name in LEAVES]
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder) / "processor_bound")
        flags = ["-std=c++14", "-O3", "-Wno-unknown-pragmas", "-pthread", f"-I{hls}"]
        subprocess.run(["g++", *flags, str(here / "processor_bound.cpp"), *map(str, native), "-o", program], check=True)
        found: dict[str, float] = json.loads(subprocess.run([program], check=True, capture_output=True).stdout)
    return found


def training_macs(graph: NetworkGraph) -> int:
    """Return multiply-adds of one image's forward pass, input and weight gradients (none below the first layer)."""
    forward = [int(np.prod(node.weight_shape)) * node.output[1] * node.output[2] for node in graph.weighted]
    return 3 * sum(forward) - forward[0]


def strop_runs(graph: NetworkGraph, batch: int, threads: int) -> tuple[Callable[[int], None], Callable[[int], None]]:
    """Return functions that train and infer `steps` mini-batches on the emulator."""
    data = load_fashion_mnist_subset("train")
    session = Session(graph, open_device("emulator", threads), batch=batch)
    session.load_state(initial_state(graph, 0))

    def minibatches(steps: int) -> Iterator[Minibatch]:
        for step in range(steps):
            at = step * batch % (len(data) - batch)
            yield Minibatch(data.images[at : at + batch], data.labels[at : at + batch], 0.05)

    def train(steps: int) -> None:
        for _ in session.train(minibatches(steps)):
            pass

    def infer(steps: int) -> None:
        for step in range(steps):
            at = step * batch % (len(data) - batch)
            session.logits(data.images[at : at + batch])

    return train, infer


def torch_runs(
    graph: NetworkGraph, batch: int, channels_last: bool
) -> tuple[Callable[[int], None], Callable[[int], None]]:
    """Return the same for PyTorch."""
    data = load_fashion_mnist_subset("train")
    network = FloatTwin(graph, "l2", initial_parameters(graph, 0))
    if channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=MOMENTUM)
    images = torch.tensor(np.array(data.images))
    labels = torch.tensor(np.array(data.labels), dtype=torch.int64)

    def train(steps: int) -> None:
        network.train()
        for step in range(steps):
            at = step * batch % (len(images) - batch)
            sgd_step(network, optimizer, images[at : at + batch], labels[at : at + batch])

    def infer(steps: int) -> None:
        network.eval()
        with torch.inference_mode():
            for step in range(steps):
                at = step * batch % (len(images) - batch)
                network(images[at : at + batch])

    return train, infer


def main() -> None:
    """Measure every case and print a Markdown table; with --json, one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    bound = processor_bound()
    found = []
    for build, batch in CASES:
        graph = build()
        ours, alone = (strop_runs(graph, batch, threads) for threads in (options.threads, 1))
        theirs = [torch_runs(graph, batch, channels_last) for channels_last in (False, True)]
        for what, index in (("training", 0), ("inference", 1)):
            contestants = [ours[index], alone[index], *(runs[index] for runs in theirs)]
            rounds = [[rate(run, batch) for run in contestants] for _ in range(ROUNDS)]
            strop_rate, one_thread, *torch_rates = (statistics.median(column) for column in zip(*rounds, strict=True))
            macs = training_macs(graph) if what == "training" else None
            found.append(
                {
                    "network": graph.name,
                    "batch": batch,
                    "what": what,
                    "strop": round(strop_rate),
                    "torch": round(max(torch_rates)),
                    "ratio": round(strop_rate / max(torch_rates), 2),
                    "scaling": round(strop_rate / one_thread, 2),
                    "of_peak": round(strop_rate * macs / (options.threads * bound["registers"]), 3) if macs else None,
                }
            )
    if options.json:
        print(json.dumps({"threads": options.threads, "torch": str(torch.__version__), "bound": bound, "cases": found}))
        return
    print(f"{options.threads} threads, PyTorch {torch.__version__}, {open_device('emulator', 1).description}")
    print("One core at most:", ", ".join(f"{name} {value / 1e9:.0f} G/s" for name, value in bound.items()), "\n")
    print("| network, mini-batch | | strop images/s | PyTorch images/s | ratio | 1 to N threads | of MAC peak |")
    print("|---|---|---|---|---|---|---|")
    for case in found:
        peak = "" if case["of_peak"] is None else f"{case['of_peak']:.0%}"
        columns = "| {network}, {batch} | {what} | {strop:,} | {torch:,} | {ratio:.2f} | {scaling:.2f} |"
        print(columns.format(**case), peak, "|")


if __name__ == "__main__":
    main()
