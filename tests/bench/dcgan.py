"""DCGAN in int8 on Fashion-MNIST, 32x32: generator and discriminator trained against each other, and what they make.

    python tests/bench/dcgan.py [--steps 1500] [--width 32] [--record]

Draws made images beside real ones, and both losses over the steps, into tests/bench/results/dcgan.png, and prints how
far statistics of made images are from those of real ones: mean, deviation, and the spectrum of their covariance.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.host.data import load_dataset
from strop.host.gan import Gan, GanStep
from strop.host.networks import dcgan
from strop.host.order import epoch_order
from strop.runtime import open_device

RESULTS = Path(__file__).resolve().parent / "results"
BATCH, SIDE = 64, 32


def padded(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return 28x28 images as 32x32, with black around them."""
    return np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)))


def moments(images: NDArray[np.uint8]) -> dict[str, float]:
    """Return what distributions of images are compared by: mean, deviation, and the first eigenvalues' share."""
    flat = images.reshape(len(images), -1).astype(np.float64) / 255
    values = np.linalg.eigvalsh(np.cov(flat, rowvar=False))[::-1]
    return {
        "mean": round(float(flat.mean()), 4),
        "deviation": round(float(flat.std(axis=0).mean()), 4),
        "first_10_eigenvalues": round(float(values[:10].sum() / values.sum()), 4),
    }


def mosaic(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return 64 images [64 or more, 1, SIDE, SIDE] as one, 8 by 8."""
    return images[:64, 0].reshape(8, 8, SIDE, SIDE).transpose(0, 2, 1, 3).reshape(8 * SIDE, 8 * SIDE)


def draw(made: NDArray[np.uint8], real: NDArray[np.uint8], steps: list[GanStep], path: Path) -> None:
    """Draw 64 made images, 64 real ones, and the losses."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(14, 4.6))
    for side, images, title in ((axes[0], made, "made"), (axes[1], real, "real")):
        side.imshow(mosaic(images), cmap="gray", vmin=0, vmax=255)
        side.set(title=title, xticks=[], yticks=[])
    for name in ("discriminator", "generator"):
        losses = np.array([getattr(step, name) for step in steps])
        smooth = np.convolve(losses, np.ones(20) / 20, "valid") if len(losses) > 40 else losses
        axes[2].plot(smooth, label=name)
    axes[2].set(xlabel="step", ylabel="loss (nats), mean of 20", title="int8, binary cross-entropy")
    axes[2].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def main() -> None:
    """Train, draw, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--record", action="store_true", help="append the figures to results/dcgan.jsonl")
    options = parser.parse_args()
    images = padded(load_dataset("fashion-mnist", "train").images)
    gan = Gan(dcgan(SIDE, 1, options.width), lambda: open_device("emulator", options.threads), batch=BATCH)
    order = epoch_order(len(images), 0, 0)
    steps: list[GanStep] = []
    begin = time.perf_counter()
    for step in range(options.steps):
        chosen = order[np.arange(step * BATCH, (step + 1) * BATCH) % len(order)]
        steps.append(gan.step(images[chosen], options.learning_rate))
        if step % 100 == 99:
            recent = steps[-100:]
            names = ("discriminator", "told_apart", "generator")
            means = (float(np.mean([getattr(s, name) for s in recent])) for name in names)
            print(
                f"step {step + 1}: " + ", ".join(f"{n} {m:.3f}" for n, m in zip(names, means, strict=True)), flush=True
            )
    seconds = time.perf_counter() - begin
    made = gan.generate(2000)
    facts: dict[str, Any] = {
        "network": f"dcgan{SIDE}, width {options.width}",
        "steps": options.steps,
        "learning_rate": options.learning_rate,
        "seconds": round(seconds, 1),
        "made": moments(made),
        "real": moments(images[:2000]),
    }
    gan.close()
    print(json.dumps(facts))
    draw(made, images[order], steps, RESULTS / "dcgan.png")
    if options.record:
        with (RESULTS / "dcgan.jsonl").open("a") as stream:
            stream.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
