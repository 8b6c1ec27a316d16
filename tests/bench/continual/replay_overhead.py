"""What replay costs beyond the samples that it adds: a buffer of 1000 against plain mini-batches as large.

    python tests/bench/continual/replay_overhead.py

Both learn Fashion-MNIST in mini-batches of 64: one of 64 new images, the other of 32 new and 32 from a reservoir of
1000 images, which every new one passes by. The ratio of images a second is taken in each round, plain and replay in
turn; the median of all rounds is printed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # networks.py, one folder up

from networks import cl_cnn
from strop.host import Dataset, Model, load_dataset
from strop.host.continual import Learner, LearnerSettings, Replay
from strop.host.networks import lenet5
from strop.runtime.graph import NetworkGraph

SAMPLES = 51_200


def speed(graph: NetworkGraph, dataset: Dataset, replay: bool, threads: int) -> float:
    """Return images trained a second, replayed ones included."""
    with Model.create(graph, classes=dataset.classes, device="emulator", threads=threads) as model:
        strategies = [Replay(1000, 32)] if replay else []
        learner = Learner(model, *strategies, settings=LearnerSettings(batch=32 if replay else 64))
        learner.learn(dataset.subset(range(640)))  # programs are compiled, and the memory is half full
        learned = learner.learn(dataset.subset(range(640, 640 + (SAMPLES // 2 if replay else SAMPLES))))
        return learned.training.samples / learned.seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    dataset = load_dataset("fashion-mnist")
    for graph in (lenet5(), cl_cnn()):
        rounds = [
            tuple(speed(graph, dataset, replay, options.threads) for replay in (False, True))
            for _ in range(options.rounds)
        ]
        plain, replay = (statistics.median(values) for values in zip(*rounds, strict=True))
        ratio = statistics.median(b / a for a, b in rounds)
        print(f"{graph.name}: plain {plain:,.0f} images/s, replay {replay:,.0f} images/s, ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
