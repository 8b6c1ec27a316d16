"""L1BN as a PyTorch layer: time of forward, and of forward and backward, beside the plain formula and L2 batch norm.

    python tests/bench/l1bn_torch.py [--json]

On one thread, in its processor time. The contestants take turns on the same tensors, and the fastest of many short
rounds counts, since whatever else runs on the machine can only make a round slower. "Plain" is Eq. 5 and 9 to 11 of
Wu et al., "L1-Norm Batch Normalization for Efficient Training of Deep Neural Networks", IEEE TNNLS 2018, as they are
printed and left to autograd.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from strop.host.pytorch import L1BatchNorm2d

# mini-batch, channels, height, width: of LeNet-5, the stages of ResNet-8, a fully-connected layer, ImageNet
SHAPES = ((128, 6, 28, 28), (128, 16, 28, 28), (128, 64, 7, 7), (128, 128, 1, 1), (32, 64, 56, 56))
ROUNDS, SECONDS_A_ROUND = 40, 0.02


class PlainL1BatchNorm2d(L1BatchNorm2d):
    """The same layer with the formula as it is printed, differentiated by autograd."""

    def forward(self, input: Tensor) -> Tensor:
        """Return y [N, C, H, W], in training only."""
        axes, column = (0, 2, 3), (1, -1, 1, 1)
        mu = input.mean(axes, keepdim=True)
        sigma = (input - mu).abs().mean(axes, keepdim=True)
        self._track(mu.detach().flatten(), sigma.detach().flatten())
        return self.weight.view(column) * ((input - mu) / (sigma + self.eps)) + self.bias.view(column)


CONTESTANTS: dict[str, Callable[[int], nn.Module]] = {
    "l1": L1BatchNorm2d,
    "plain": PlainL1BatchNorm2d,
    "l2": nn.BatchNorm2d,
}


def measure(shape: tuple[int, int, int, int], channels_last: bool) -> dict[str, dict[str, float]]:
    """Return milliseconds by contestant of "forward" (without gradients) and "training" (forward and backward)."""
    torch.manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = (torch.randn(shape) * 2 + 1).contiguous(memory_format=layout).requires_grad_()
    grad_y = torch.randn(shape).contiguous(memory_format=layout)
    layers = {name: build(shape[1]) for name, build in CONTESTANTS.items()}

    def forward(layer: nn.Module) -> None:
        with torch.no_grad():
            layer(x)

    def training(layer: nn.Module) -> None:
        torch.autograd.grad(layer(x), (x, layer.weight, layer.bias), grad_y)

    return {
        what: in_turns({name: lambda run=run, layer=layer: run(layer) for name, layer in layers.items()})
        for what, run in (("forward", forward), ("training", training))
    }


def in_turns(runs: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Return the milliseconds of one call of each of `runs`: the fastest of ROUNDS, in turns."""
    repeats = {}
    for name, run in runs.items():
        for _ in range(3):
            run()
        start = time.process_time()
        run()
        repeats[name] = max(1, int(SECONDS_A_ROUND / max(1e-6, time.process_time() - start)))
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(ROUNDS):
        for name, run in runs.items():
            start = time.process_time()
            for _ in range(repeats[name]):
                run()
            best[name] = min(best[name], (time.process_time() - start) / repeats[name])
    return {name: 1000 * seconds for name, seconds in best.items()}


def main() -> None:
    """Measure every shape in both memory formats and print a Markdown table; with --json, one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = [
        {"shape": shape, "channels_last": last, **measure(shape, last)} for shape in SHAPES for last in (False, True)
    ]
    if options.json:
        print(json.dumps({"torch": str(torch.__version__), "cases": found}))
        return
    print(f"One thread, PyTorch {torch.__version__}\n")
    print("| N, C, H, W | memory format | | L1BN ms | plain ms | plain / L1BN | L2 ms | L2 / L1BN |")
    print("|---|---|---|---|---|---|---|---|")
    for case in found:
        for what in ("forward", "training"):
            l1, plain, l2 = (case[what][name] for name in ("l1", "plain", "l2"))
            columns = [", ".join(map(str, case["shape"])), "channels last" if case["channels_last"] else "contiguous"]
            columns += [what, f"{l1:.3f}", f"{plain:.3f}", f"{plain / l1:.2f}", f"{l2:.3f}", f"{l2 / l1:.2f}"]
            print("|", " | ".join(columns), "|")


if __name__ == "__main__":
    main()
