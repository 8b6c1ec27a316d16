"""What L1BN saves by the paper's own cost model: Table IV applied to every network of Table II, as Figure 4 does.

    python tests/bench/normalization/cost_model.py

Prints the ratios L2BN / L1BN of time and of energy, and the operations that strop's integer layers do; draws
results/normalization-cost.png. Needs matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

import engine_operations
from paper_costs import COSTS, NormLayer, energy_fj, time_ns
from paper_networks import NETWORKS, Network

PLOT = Path(__file__).resolve().parents[1] / "results" / "normalization-cost.png"
MEASURES = {"time": time_ns, "energy": energy_fj}
PAPER_AVERAGE = {"time": 0.25, "energy": 0.37}  # Figure 4, over six number types: 25 % faster, 37 % less energy


def ratio(measure: str, number_type: str, layers: Sequence[NormLayer]) -> float:
    """Return L2BN / L1BN of "time" or "energy" for all `layers` together."""
    cost = MEASURES[measure]
    return cost("l2", number_type, layers) / cost("l1", number_type, layers)


def table(networks: Sequence[Network]) -> str:
    """Return the ratios as Markdown, with their means; in brackets what L1BN saves."""
    columns = [(number_type, measure) for number_type in COSTS for measure in MEASURES]
    head = ["network", "mini-batch", "layers", "channels", "values", *(f"{t} {m}" for t, m in columns)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    ratios = [[ratio(measure, t, network.layers) for t, measure in columns] for network in networks]
    for network, found in zip(networks, ratios, strict=True):
        size = f"{network.batch} | {len(network.layers)} | {network.channels:,} | {network.values / 1e6:.1f} M"
        lines.append(f"| {network.name} | {size} | {' | '.join(f'{r:.3f}' for r in found)} |")
    means = [sum(column) / len(column) for column in zip(*ratios, strict=True)]
    lines.append(f"| **mean** | | | | | {' | '.join(f'{m:.3f} (-{1 - 1 / m:.1%})' for m in means)} |")
    return "\n".join(lines)


def draw(networks: Sequence[Network], path: Path) -> None:
    """Draw the ratios as bars, one panel a measure, with the paper's averages in both readings."""
    figure, panels = plt.subplots(2, 1, figsize=(10, 7), sharex=True)
    for panel, measure in zip(panels, MEASURES, strict=True):
        _bars(panel, networks, measure)
    panels[-1].set_xticks(
        range(len(networks)), [n.name.replace("-110, ", "-110\n").replace(" (", "\n(") for n in networks]
    )
    panels[-1].tick_params(axis="x", labelsize=8)
    figure.suptitle("L2BN against L1BN by Table IV of Wu et al., TNNLS 2018")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _bars(panel: Any, networks: Sequence[Network], measure: str) -> None:
    for index, number_type in enumerate(COSTS):
        places = [x + (index - 0.5) * 0.36 for x in range(len(networks))]
        ratios = [ratio(measure, number_type, n.layers) for n in networks]
        bars = panel.bar(places, [r - 1 for r in ratios], 0.34, bottom=1, label=number_type)
        panel.bar_label(bars, [f"{r:.2f}" for r in ratios], label_type="center", color="white", fontsize=8)
    average = PAPER_AVERAGE[measure]
    panel.axhline(1 + average, color="0.3", linestyle="--", label=f"paper's mean, {average:.0%} as a ratio")
    panel.axhline(1 / (1 - average), color="0.3", linestyle=":", label=f"paper's mean, {average:.0%} as a saving")
    panel.set_ylim(1, 1.8)
    panel.set_ylabel(f"{measure}, L2BN / L1BN")
    panel.legend(fontsize=8, ncols=4, loc="upper center")


def main() -> None:
    """Print both tables and draw the plot."""
    networks = [build() for build in NETWORKS]
    print(f"{table(networks)}\n\n{engine_operations.table()}")
    draw(networks, PLOT)
    print(f"\n{PLOT.name} drawn")


if __name__ == "__main__":
    main()
