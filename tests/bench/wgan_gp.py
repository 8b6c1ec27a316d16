"""WGAN-GP (Gulrajani et al., NeurIPS 2017) in the float twin of DCGAN, with L1BN and with L2BN, on Fashion-MNIST.

    python tests/bench/wgan_gp.py [--steps 400] [--width 16] [--record]

In float alone: the penalty on the critic's gradient needs second derivatives, which the int8 kernel does not form. As
in the L1BN paper the generator is normalized and the critic is not. Draws made images of either, and the critic's
estimate of the distance between made and real images over the steps, into tests/bench/results/wgan-gp.png.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcgan import BATCH, RESULTS, SIDE, moments, mosaic, padded
from strop.host.data import load_dataset
from strop.host.networks import dcgan
from strop.host.networks.dcgan import IMAGES_BEHIND, NOISE
from strop.host.order import epoch_order
from strop.host.pytorch import float_twin
from strop.host.pytorch.float_twin import FloatTwin, Norm

PENALTY, CRITIC_STEPS = 10.0, 5  # the authors' lambda, and steps of the critic to one of the generator
LEARNING_RATE, BETAS = 2e-4, (0.5, 0.9)
NORMS: tuple[Norm, ...] = ("l1", "l2")


def noise(count: int, generator: torch.Generator) -> Tensor:
    """Return what `count` images are made from, uint8 [count, NOISE, 1, 1]."""
    return torch.randint(1, 256, (count, NOISE, 1, 1), generator=generator, dtype=torch.uint8)


def gradient_penalty(critic: FloatTwin, real: Tensor, made: Tensor, generator: torch.Generator) -> Tensor:
    """Return the mean of (|gradient of the critic| - 1)^2 between real and made maps [N, C, H, W] (their Eq. 3)."""
    share = torch.rand((len(real), 1, 1, 1), generator=generator)
    between = (share * real + (1 - share) * made).requires_grad_()
    (slope,) = torch.autograd.grad(critic.rear(between, IMAGES_BEHIND).sum(), between, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1).square().mean()


def train(norm: Norm, images: Tensor, steps: int, width: int, seed: int = 0) -> tuple[NDArray[np.uint8], list[float]]:
    """Train generator and critic; return 2,000 made images, and the critic's estimate of the distance at each step."""
    graph = dcgan(SIDE, images.shape[1], width)
    making, critic = float_twin(graph, norm, seed=seed), float_twin(graph, "none", seed=seed)
    optimizers = [torch.optim.Adam(twin.parameters(), LEARNING_RATE, BETAS) for twin in (making, critic)]
    random = torch.Generator().manual_seed(seed)
    order = torch.from_numpy(epoch_order(len(images), seed, 0))
    distances: list[float] = []
    for step in range(steps):
        for inner in range(CRITIC_STEPS):
            first = (step * CRITIC_STEPS + inner) * BATCH
            chosen = images[order[torch.arange(first, first + BATCH) % len(order)]]
            real = (chosen.to(torch.float32) - 128) / 128
            with torch.no_grad():
                made = making.front(noise(BATCH, random), IMAGES_BEHIND)
            distance = (critic.rear(real, IMAGES_BEHIND) - critic.rear(made, IMAGES_BEHIND)).mean()
            loss = PENALTY * gradient_penalty(critic, real, made, random) - distance
            advance(optimizers[1], loss)
        distances.append(float(distance.detach()))
        made = making.front(noise(BATCH, random), IMAGES_BEHIND)
        advance(optimizers[0], -critic.rear(made, IMAGES_BEHIND).mean())
        if step % 50 == 49:
            print(f"{norm}: step {step + 1}/{steps}, distance {np.mean(distances[-50:]):.3f}", flush=True)
    making.eval()
    with torch.inference_mode():
        made = making.front(noise(2000, random), IMAGES_BEHIND)
    return (made * 128 + 128).round().clamp(0, 255).to(torch.uint8).numpy(), distances


def advance(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Take one step down the gradient of `loss`."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def draw(made: dict[str, NDArray[np.uint8]], distances: dict[str, list[float]], path: Path) -> None:
    """Draw 64 made images of each norm, and the critic's estimates."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(made) + 1, figsize=(14, 4.6))
    for side, (norm, images) in zip(axes, made.items(), strict=False):
        side.imshow(mosaic(images), cmap="gray", vmin=0, vmax=255)
        side.set(title=f"made, generator with {norm.upper()}BN", xticks=[], yticks=[])
        axes[-1].plot(distances[norm], label=f"{norm.upper()}BN")
    axes[-1].set(xlabel="step of the generator", ylabel="critic's estimate of the distance", title="float32, WGAN-GP")
    axes[-1].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def main() -> None:
    """Train with either norm, draw, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400, help="of the generator")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--record", action="store_true", help="append the figures to results/wgan-gp.jsonl")
    options = parser.parse_args()
    images = padded(load_dataset("fashion-mnist", "train").images)
    made: dict[str, NDArray[np.uint8]] = {}
    distances: dict[str, list[float]] = {}
    for norm in NORMS:
        begin = time.perf_counter()
        made[norm], distances[norm] = train(norm, torch.tensor(images), options.steps, options.width)
        facts = {
            "network": f"dcgan{SIDE}, width {options.width}",
            "generator": f"{norm.upper()}BN",
            "steps": options.steps,
            "seconds": round(time.perf_counter() - begin, 1),
            "largest_distance": round(max(distances[norm]), 3),
            "distance_at_last": round(float(np.mean(distances[norm][-50:])), 3),
            "made": moments(made[norm]),
            "real": moments(images[:2000]),
        }
        print(json.dumps(facts))
        if options.record:
            with (RESULTS / "wgan-gp.jsonl").open("a") as stream:
                stream.write(json.dumps(facts) + "\n")
    draw(made, distances, RESULTS / "wgan-gp.png")


if __name__ == "__main__":
    main()
