"""What whole learners of LeNet-5 take in memory, and one with replay that fits in a megabyte, at work.

    python tests/bench/continual/learner_memory.py --seeds 3

The table is from the memory plan. Then the last learner goes through Split Fashion-MNIST: its network comes trained on
the first pair of classes; the largest arena that it asked its device for is printed beside its plan.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

import numpy as np

from strop.host import Model
from strop.host.continual import GDumb, LatentReplay, Learner, LearnerSettings, Replay, Strategy, load_benchmark
from strop.runtime.emulator import EmulatorDevice

SMALL = LearnerSettings(batch=8, learning_rate=0.02, queue=1)
CASES: Mapping[str, tuple[LearnerSettings, Sequence[Strategy]]] = {
    "naive, 32": (LearnerSettings(), ()),
    "replay of 1000, 32 + 32": (LearnerSettings(), (Replay(1000),)),
    "replay of 200, 32 + 32": (LearnerSettings(), (Replay(200),)),
    "replay of 200, 8 + 8, queue 1": (SMALL, (Replay(200, 8),)),
    "the same, conv1 frozen": (
        LearnerSettings(batch=8, learning_rate=0.02, queue=1, frozen=frozenset({"conv1"})),
        (Replay(200, 8),),
    ),
    "gdumb of 200, 16": (LearnerSettings(batch=16, queue=1), (GDumb(200),)),
    "latent replay of 450 behind pool2, 8 + 8, queue 1": (SMALL, (LatentReplay(450, 8, "pool2", 0),)),
}


class MeasuredDevice(EmulatorDevice):
    """The emulator, which remembers the largest arena that it was asked for."""

    largest = 0

    def allocate(self, nbytes: int) -> None:
        """Take one arena of zeros."""
        self.largest = max(self.largest, nbytes)
        super().allocate(nbytes)


def plans() -> str:
    """Return the memory of each case as a Markdown table, kB of 1,000 bytes."""
    benchmark = load_benchmark("split-fashion-mnist", source="fashion-mnist-subset")
    rows = []
    for name, (settings, strategies) in CASES.items():
        with Model.create("lenet5", input=benchmark.image_shape, classes=benchmark.classes) as model:
            parts = Learner(model, *strategies, settings=settings).memory().to_dict()
        if not rows:
            rows = [
                f"| learner | {' | '.join(part.replace('_', ' ') for part in parts)} |",
                "|---" * (len(parts) + 1) + "|",
            ]
        rows.append(f"| {name} | {' | '.join(f'{nbytes / 1000:,.0f}' for nbytes in parts.values())} |")
    return "\n".join(rows)


def at_work(seed: int) -> tuple[float, int, int]:
    """Return the average accuracy of the last case, 0 to 1, its largest arena, and what its plan says in all."""
    benchmark = load_benchmark("split-fashion-mnist", seed=seed)
    first, *others = benchmark.experiences
    with Model.create("lenet5", input=benchmark.image_shape, classes=benchmark.classes, seed=seed) as elsewhere:
        Learner(elsewhere, settings=LearnerSettings(seed=seed)).learn(first)
        state, steps = elsewhere.state(), elsewhere.steps
    device = MeasuredDevice()
    model = Model(elsewhere.graph, state, classes=benchmark.classes, device=device, steps=steps)
    learner = Learner(model, LatentReplay(450, 8, "pool2", 0, seed=seed), settings=SMALL)
    for experience in benchmark.experiences[:1] + tuple(others):
        learner.learn(experience)
    largest = device.largest
    accuracy = float(np.mean([learner.evaluate(experience.test) for experience in benchmark.experiences]))
    device.close()
    return accuracy, largest, learner.memory().total


def main() -> None:
    """Print the plans, and the last learner at work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0")
    options = parser.parse_args()
    print(plans())
    for seed in range(options.seeds):
        accuracy, arena, total = at_work(seed)
        print(f"seed {seed}: accuracy {accuracy:.2%}, largest arena {arena:,} bytes, learner at most {total:,} bytes")


if __name__ == "__main__":
    main()
