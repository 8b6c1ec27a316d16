"""What integer batch normalization costs on strop's engine: operations a value and a channel, pass by pass, L1 and L2.

L1 is counted from hls/NUMERICS.md, 1.3 and 1.7. L2 is the same engine with sigma from squares and an integer square
root, as a careful designer would build it: the sum of squares comes with the sum, so it needs a pass less.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from paper_costs import Norm

VALUES_A_CYCLE = 16


@dataclass(frozen=True)
class PassCounts:
    """Operations on each value in one pass over a channel; shifts and selections are wiring and not counted.

    `reads` and `writes` are bytes of feature maps a value.
    """

    name: str
    multiplies: int
    adds: int
    compares: int
    reads: int
    writes: int


@dataclass(frozen=True)
class ChannelCounts:
    """Operations once a channel, forward and backward together; a multiply-add is one of each."""

    divisions: int
    square_roots: int
    multiplies: int


_NORMALIZE = PassCounts("forward: normalize, scale, shift, activate", 1, 1, 2, reads=1, writes=1)
_GRADIENT_SUMS = PassCounts("backward: mask, sum of dy and of dy*x", 1, 2, 2, reads=3, writes=0)
# Requantization in the last pass: magnitude, two counts, the dither's step, the dither (adds); two bounds, two clamps.
_REQUANTIZE_ADDS, _REQUANTIZE_COMPARES = 5, 4

PASSES: dict[Norm, tuple[PassCounts, ...]] = {
    "l1": (
        PassCounts("forward: sum", 0, 1, 0, reads=1, writes=0),
        PassCounts("forward: sum and count above mu, count at mu", 0, 3, 2, reads=1, writes=0),
        _NORMALIZE,
        _GRADIENT_SUMS,
        # dy * M + one of three constants, chosen by the sign
        PassCounts(
            "backward: gradient, requantize",
            1,
            1 + _REQUANTIZE_ADDS,
            2 + 2 + _REQUANTIZE_COMPARES,
            reads=3,
            writes=1,
        ),
    ),
    "l2": (
        PassCounts("forward: sum, sum of squares", 1, 2, 0, reads=1, writes=0),
        _NORMALIZE,
        _GRADIENT_SUMS,
        # dy * M - x * R - constant
        PassCounts(
            "backward: gradient, requantize",
            2,
            2 + _REQUANTIZE_ADDS,
            2 + _REQUANTIZE_COMPARES,
            reads=3,
            writes=1,
        ),
    ),
}

# Forward: L1 divides for mu, sigma and M; L2 for mu, the variance and M. Backward: L1 for dgamma, B and the two terms
# of A; L2 has no sign sum, and divides for R, the factor of x, instead.
CHANNEL: dict[Norm, ChannelCounts] = {
    "l1": ChannelCounts(divisions=3 + 4, square_roots=0, multiplies=2 + 4),
    "l2": ChannelCounts(divisions=3 + 4, square_roots=1, multiplies=3 + 4),
}


def total(norm: Norm) -> PassCounts:
    """Return the sum over the passes."""
    counted = [field.name for field in fields(PassCounts) if field.name != "name"]
    return PassCounts("all passes", *(sum(getattr(one, name) for one in PASSES[norm]) for name in counted))


def multipliers(norm: Norm, shared: bool) -> int:
    """Return the multipliers (DSP slices) for VALUES_A_CYCLE values a cycle.

    `shared`: one set serves every pass, which never run at once; otherwise each pass has its own.
    """
    each = [one.multiplies for one in PASSES[norm]]
    return VALUES_A_CYCLE * (max(each) if shared else sum(each))


def table() -> str:
    """Return the counts as Markdown."""
    lines = [
        "| | multiplies | adds | compares | bytes read | bytes written |",
        "|---|---|---|---|---|---|",
    ]
    for norm in ("l1", "l2"):
        for one in (*PASSES[norm], total(norm)):
            numbers = f"{one.multiplies} | {one.adds} | {one.compares} | {one.reads} | {one.writes}"
            lines.append(f"| {norm.upper()}BN {one.name} | {numbers} |")
    lines += ["", "| a channel | passes | divisions | square roots | multiplies | DSP slices, shared / a pass |"]
    lines.append("|---|---|---|---|---|---|")
    for norm in ("l1", "l2"):
        c = CHANNEL[norm]
        lines.append(
            f"| {norm.upper()}BN | {len(PASSES[norm])} | {c.divisions} | {c.square_roots} | {c.multiplies} | "
            f"{multipliers(norm, shared=True)} / {multipliers(norm, shared=False)} |"
        )
    return "\n".join(lines)
