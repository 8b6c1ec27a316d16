"""What the kernel's cycle model says of training on each board, as Markdown, and whether its targets are met.

    python tests/bench/estimate.py          # exit status 1 if a target is missed

Nothing here is measured: the figures follow from the loops of the kernel (hls/model/). `make -C hls csim-boards` holds
the bytes and the MAC array's cycles that they rest on to what a test bench counts.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import astuple

from networks import es_fl
from strop.host.networks import lenet5, resnet8, vgg_small
from strop.runtime.estimate import Estimate, LayerCost, boards, estimate

CASES = [(lenet5, 128), (vgg_small, 64), (resnet8, 64), (es_fl, 128)]
PHASES = ("forward", "input gradient", "weight gradient")
LEAST_UTILIZATION = 0.7  # of VGG-small's convolutions but the first, on the smallest board
LEAST_IMAGES_SECOND = 7_500  # trained, of ES-FL's network on ZCU104


def speeds(estimates: dict[tuple[str, str], Estimate]) -> list[str]:
    """Return a row for each network and board."""
    rows = [
        "| network | mini-batch | board | ms a step | trained, images/s | inferred, images/s |",
        "|---|---|---|---|---|---|",
    ]
    for (network, board), found in estimates.items():
        speed = f"{found.training_images_second:,.0f} | {found.inference_images_second:,.0f}"
        rows.append(f"| {network} | {found.batch} | {board} | {1e3 * found.step_seconds:.2f} | {speed} |")
    return rows


def kind(cost: LayerCost) -> str:
    """Return what part of a step a phase belongs to."""
    if cost.macs:
        return "MAC array"
    return cost.phase.removesuffix(" gradient") if cost.phase.startswith("normalization") else cost.phase


def shares(estimates: dict[tuple[str, str], Estimate]) -> list[str]:
    """Return a row for each network and board: how its step's cycles divide."""
    kinds = ("MAC array", "normalization", "forward", "input gradient", "update", "other")
    named = ("convolutions, Linear", "L1BN", "pooling, sums", "their gradients", "SGD", "input, loss")
    rows = ["| network | board | " + " | ".join(named) + " |", "|---|---" + "|---" * len(kinds) + "|"]
    for (network, board), found in estimates.items():
        cycles: Counter[str] = Counter()
        for cost in found.training:
            cycles[kind(cost)] += cost.cycles
        parts = " | ".join(f"{cycles[name] / cycles.total():.0%}" for name in kinds)
        rows.append(f"| {network} | {board} | {parts} |")
    return rows


def utilizations(found: Estimate) -> dict[tuple[str, str], float]:
    """Return the MAC array's utilization in each phase of each layer."""
    return {(cost.layer, cost.phase): cost.utilization(found.board) for cost in found.training if cost.macs}


def utilization_table(found: Estimate) -> list[str]:
    """Return a row for each layer."""
    busy = utilizations(found)
    rows = ["| layer | " + " | ".join(PHASES) + " |", "|---" * (1 + len(PHASES)) + "|"]
    for layer in dict.fromkeys(layer for layer, _ in busy):
        cells = (f"{busy[layer, phase]:.0%}" if (layer, phase) in busy else "-" for phase in PHASES)
        rows.append(f"| {layer} | " + " | ".join(cells) + " |")
    return rows


def resources() -> list[str]:
    """Return a row for each board: what the kernel needs of it."""
    rows = ["| board | LUT | DSP | BRAM | URAM |", "|---|---|---|---|---|"]
    for board in boards().values():
        pairs = zip(astuple(board.needed), astuple(board.budget), strict=True)
        rows.append(f"| {board.name} | " + " | ".join(f"{n:,} of {b:,}" for n, b in pairs) + " |")
    return rows


def missed(estimates: dict[tuple[str, str], Estimate]) -> list[str]:
    """Return the targets that the model misses."""
    busy = utilizations(estimates["vgg-small", "pynq-z2"])
    low = {key: share for key, share in busy.items() if key[0][:4] == "conv" and key[0] != "conv1"}
    missing = [f"{layer}, {phase}: {share:.0%}" for (layer, phase), share in low.items() if share < LEAST_UTILIZATION]
    speed = estimates["es-fl", "zcu104"].training_images_second
    if speed < LEAST_IMAGES_SECOND:
        missing.append(f"es-fl on zcu104: {speed:,.0f} images/s")
    for board in boards().values():
        if any(n > b for n, b in zip(astuple(board.needed), astuple(board.budget), strict=True)):
            missing.append(f"{board.name}: the kernel does not fit the part")
    return missing


def main() -> int:
    """Print the tables; return 1 if a target is missed."""
    estimates = {
        (network().name, board): estimate(network(), board, batch) for network, batch in CASES for board in boards()
    }
    sections = (
        speeds(estimates),
        shares(estimates),
        utilization_table(estimates["vgg-small", "pynq-z2"]),
        resources(),
        [f"missed: {target}" for target in missed(estimates)] or ["all targets met"],
    )
    print("\n\n".join("\n".join(section) for section in sections))
    return 1 if missed(estimates) else 0


if __name__ == "__main__":
    sys.exit(main())
