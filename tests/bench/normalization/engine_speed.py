"""Time of the engine's two integer batch norms: L1BN as the kernel has it, and its twin with L2.

    python tests/bench/normalization/engine_speed.py

On this processor L1 runs as the emulator runs it, and L2 pass by pass in its manner, with the same loops where the two
agree. They take turns on one thread; of each the fastest of ROUNDS rounds counts, in processor time. Then the cycles
that the model of the kernel (hls/model/) gives each on every board: modelled, not measured. Needs g++.
"""

from __future__ import annotations

import ctypes
import tempfile
import time
from pathlib import Path
from typing import get_args

from norm_engine import Direction, NormLayerRun, boards, compile_engine, instruction_sets, normal_values
from paper_costs import Norm

# channels, mini-batch, side
LAYERS = {
    "LeNet-5 conv1": (6, 128, 28),
    "LeNet-5 conv2": (16, 128, 10),
    "LeNet-5 fc1": (120, 128, 1),
    "vgg-small conv1, conv2": (32, 64, 28),
    "vgg-small conv3, conv4": (64, 64, 14),
    "vgg-small conv5, conv6": (128, 64, 7),
}
ROUNDS = 15
SECONDS_A_ROUND = 0.02
SHIFT = 10


def times(engine: ctypes.CDLL, isa: str, size: tuple[int, int, int]) -> dict[tuple[Direction, Norm], float]:
    """Return ns a value of each direction and norm, for one layer."""
    values = normal_values(*size)
    layer = NormLayerRun(engine, isa, values, SHIFT)
    found: dict[tuple[Direction, Norm], float] = {}
    for direction in get_args(Direction):
        start = time.thread_time()
        for norm in get_args(Norm):
            layer.run(norm, direction)
        repeats = max(1, round(2 * SECONDS_A_ROUND / (time.thread_time() - start)))
        for _ in range(ROUNDS):
            for norm in get_args(Norm):
                start = time.thread_time()
                layer.run(norm, direction, repeats)
                each = (time.thread_time() - start) / (repeats * values.x.size) * 1e9
                found[direction, norm] = min(each, found.get((direction, norm), each))
    return found


def cycle_table(engine: ctypes.CDLL) -> str:
    """Return modelled kilocycles and ratios L2BN / L1BN of every layer as Markdown; equal boards share a row."""
    lines = [
        "| layer | boards | L1BN forward, 1000 cycles | L2BN | ratio | backward, both |",
        "|---|---|---|---|---|---|",
    ]
    for name, size in LAYERS.items():
        layer = NormLayerRun(engine, "portable", normal_values(*size), SHIFT)
        rows: dict[str, list[str]] = {}
        for index, board in enumerate(boards(engine)):
            l1, l2 = (layer.cycles(index, norm, "forward") / 1000 for norm in get_args(Norm))
            backward = layer.cycles(index, "l1", "backward") / 1000
            rows.setdefault(f"{l1:.1f} | {l2:.1f} | {l2 / l1:.2f} | {backward:.1f}", []).append(board)
        lines += [f"| {_label(name, size)} | {', '.join(names)} | {cells} |" for cells, names in rows.items()]
    return "\n".join(lines)


def _label(name: str, size: tuple[int, int, int]) -> str:
    return f"{name}, {size[0]}x{size[1]}x{size[2]}x{size[2]}"


def table(engine: ctypes.CDLL) -> str:
    """Return times and ratios L2BN / L1BN of every layer and instruction set as Markdown."""
    lines = [
        "| layer | loops | L1BN forward, ns a value | L2BN | ratio | L1BN backward | L2BN | ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, size in LAYERS.items():
        for isa in instruction_sets(engine):
            found = times(engine, isa, size)
            cells = []
            for direction in get_args(Direction):
                l1, l2 = found[direction, "l1"], found[direction, "l2"]
                cells.append(f"{l1:.3f} | {l2:.3f} | {l2 / l1:.2f}")
            lines.append(f"| {_label(name, size)} | {isa} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Compile the engine and print both tables."""
    with tempfile.TemporaryDirectory() as folder:
        engine = compile_engine(Path(folder))
        print(f"{table(engine)}\n\n{cycle_table(engine)}")


if __name__ == "__main__":
    main()
