"""Fine-tuning on shifted images: int8 on the emulator against float32, from the same checkpoint and mini-batches.

    python tests/bench/finetune.py [--seeds 0 1 2]

The shipped LeNet-5 meets Fashion-MNIST under each shift: 300 steps of 32 images, learning rate 0.01,
falling as in training.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import torch

from float_baseline import learning_rate
from float_finetune import finetune_float
from strop.host.data import load_dataset, shift_dataset
from strop.host.model import Model
from strop.host.order import epoch_order
from strop.host.pretrained import pretrained_path
from strop.host.pytorch import real_state
from strop.runtime import Minibatch, Session, open_device

STEPS, BATCH, LEARNING_RATE = 300, 32, 0.01
SHIFTED = ("invert", "rotate90", "noise", "contrast")


def main() -> None:
    """Fine-tune both ways under every shift and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = Model.load(pretrained_path(), device="reference")
    graph, start = model.graph, model.state()
    for name in start:
        if name.endswith(".momentum"):
            start[name] = np.zeros_like(start[name])
    print("| shift | before, % error | after, int8, by seed | mean | after, float32, by seed | mean | int8 - float32 |")
    print("|---|---|---|---|---|---|---|")
    for shift in SHIFTED:
        train = shift_dataset(load_dataset("fashion-mnist", "train"), shift)
        test = shift_dataset(load_dataset("fashion-mnist", "test"), shift)
        before, ours, theirs = 0.0, [], []
        for seed in options.seeds:
            order = epoch_order(len(train), seed, 0)[: STEPS * BATCH].reshape(STEPS, BATCH)
            rates = [learning_rate(LEARNING_RATE, step, STEPS) for step in range(STEPS)]

            def minibatches(chosen: np.ndarray = order, rates: list[float] = rates) -> Iterator[Minibatch]:
                for indices, rate in zip(chosen, rates, strict=True):
                    yield Minibatch(train.images[indices], train.labels[indices], rate)  # noqa: B023

            session = Session(graph, open_device("emulator"), batch=BATCH)
            session.load_state(start)
            before = 100 * (1 - session.evaluate(test.images, test.labels).accuracy)
            for _ in session.train(minibatches()):
                pass
            ours.append(100 * (1 - session.evaluate(test.images, test.labels).accuracy))
            session.close()
            state = {name: array for name, array in real_state(start).items() if not name.endswith(".momentum")}
            data = (train.images, train.labels, test.images, test.labels)
            theirs.append(100 * finetune_float(graph, state, *data, list(order), rates)["error_after"])
        int8, float32 = (" / ".join(f"{error:.2f}" for error in errors) for errors in (ours, theirs))
        gap = np.mean(ours) - np.mean(theirs)
        means = f"{int8} | {np.mean(ours):.2f} | {float32} | {np.mean(theirs):.2f} | {gap:+.2f}"
        print(f"| {shift} | {before:.2f} | {means} |")


if __name__ == "__main__":
    main()
