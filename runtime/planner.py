"""The memory planner: places tensors in one block so that no two that live at the same time overlap.

Greedy by size: the largest tensor first, each at the lowest offset that is free for its whole life. Liveness is in
command indices of one step.
"""

from __future__ import annotations

from dataclasses import dataclass

from strop.runtime.contract import C


@dataclass(frozen=True)
class Tenant:
    """A tensor that needs room from command `first` to command `last`, both included."""

    name: str
    nbytes: int
    first: int
    last: int


@dataclass(frozen=True)
class Placement:
    """Where a tensor lies: offset in the block, bytes."""

    offset: int
    nbytes: int


def align(nbytes: int) -> int:
    """Round up to the contract's alignment."""
    return -(-nbytes // C.ALIGN_BYTES) * C.ALIGN_BYTES


def place(tenants: list[Tenant]) -> tuple[dict[str, Placement], int]:
    """Return each tenant's placement by name, and the bytes that the block needs (its peak)."""
    placed: list[tuple[Tenant, Placement]] = []
    peak = 0
    for tenant in sorted(tenants, key=lambda t: (-t.nbytes, t.first, t.name)):
        neighbours = sorted(
            (p for t, p in placed if t.first <= tenant.last and tenant.first <= t.last), key=lambda p: p.offset
        )
        offset = 0
        for other in neighbours:
            if other.offset - offset >= tenant.nbytes:
                break
            offset = max(offset, other.offset + align(other.nbytes))
        placed.append((tenant, Placement(offset, tenant.nbytes)))
        peak = max(peak, offset + align(tenant.nbytes))
    return {tenant.name: placement for tenant, placement in placed}, peak
