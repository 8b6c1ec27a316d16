"""Make the shipped checkpoint: LeNet-5, trained in int8 by strop itself on the 60,000 images of Fashion-MNIST.

    python -m strop.host.pretrained.make_lenet5 [OUTPUT]

Needs Debian's package dataset-fashion-mnist. Any device makes the same state; its digest is printed and tested.
"""

from __future__ import annotations

import sys
from pathlib import Path

from strop.host.data import load_dataset
from strop.host.history import Progress
from strop.host.model import Model
from strop.host.pretrained import PRETRAINED

EPOCHS, BATCH, LEARNING_RATE, SEED = 12, 128, 0.1, 0


def main() -> None:
    """Train, evaluate on the test images, save."""
    default = Path(__file__).with_name(PRETRAINED["lenet5-fashion-mnist"])
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    train, test = load_dataset("fashion-mnist", "train"), load_dataset("fashion-mnist", "test")
    model = Model.create("lenet5", input=train.image_shape, classes=train.classes, seed=SEED)

    def report(progress: Progress) -> None:
        if progress.step % 468 == 0:
            print(f"epoch {progress.epoch}/{progress.epochs}: loss {progress.epoch_loss:.4f}", flush=True)

    model.fit(
        train, epochs=EPOCHS, batch=BATCH, learning_rate=LEARNING_RATE, schedule="step", seed=SEED, on_step=report
    )
    print(f"test error {100 * model.evaluate(test).error:.2f} %, state {model.digest()}")
    print(f"saved {model.save(output)}")


if __name__ == "__main__":
    main()
