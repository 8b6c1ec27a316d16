"""The memory planner: no two tensors of one moment share a byte, and little room is lost."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from strop.runtime.contract import C
from strop.runtime.planner import Placement, Tenant, align, place


@st.composite
def tenants(draw: st.DrawFn) -> list[Tenant]:
    """Draw up to 25 tensors in a program of 20 commands."""
    drawn = []
    for index in range(draw(st.integers(0, 25))):
        first, last = sorted((draw(st.integers(0, 19)), draw(st.integers(0, 19))))
        drawn.append(Tenant(f"tensor{index}", draw(st.integers(1, 700)), first, last))
    return drawn


@given(nbytes=st.integers(0, 10**6))
def test_align_takes_the_next_multiple(nbytes: int) -> None:
    """Protects alignment: the smallest multiple that holds the bytes."""
    assert align(nbytes) % C.ALIGN_BYTES == 0
    assert nbytes <= align(nbytes) < nbytes + C.ALIGN_BYTES


@given(drawn=tenants())
def test_tensors_of_one_moment_share_no_byte(drawn: list[Tenant]) -> None:
    """Protects training itself: tensors that are alive at the same command lie apart, aligned, inside the block."""
    placements, peak = place(drawn)
    assert placements.keys() == {tenant.name for tenant in drawn}
    for tenant in drawn:
        placement = placements[tenant.name]
        assert placement.nbytes == tenant.nbytes
        assert placement.offset % C.ALIGN_BYTES == 0
        assert 0 <= placement.offset <= peak - tenant.nbytes
    for moment in range(20):
        alive = [placements[tenant.name] for tenant in drawn if tenant.first <= moment <= tenant.last]
        alive.sort(key=lambda placement: placement.offset)
        for lower, upper in zip(alive, alive[1:], strict=False):
            assert lower.offset + lower.nbytes <= upper.offset


@given(drawn=tenants())
def test_the_peak_is_bounded_from_both_sides(drawn: list[Tenant]) -> None:
    """Protects the memory report: at least what one moment needs, at most what no sharing would take."""
    _, peak = place(drawn)
    moments = [sum(align(t.nbytes) for t in drawn if t.first <= moment <= t.last) for moment in range(20)]
    assert max(moments) <= peak <= sum(align(tenant.nbytes) for tenant in drawn)
    assert peak % C.ALIGN_BYTES == 0


@given(drawn=tenants(), chance=st.randoms(use_true_random=False))
def test_the_plan_depends_on_the_tensors_alone(drawn: list[Tenant], chance: Random) -> None:
    """Protects repeated runs: the same tensors in any order get the same places."""
    shuffled = list(drawn)
    chance.shuffle(shuffled)
    assert place(shuffled) == place(drawn)


def test_room_is_taken_again() -> None:
    """Protects the saving: what has died makes room, the lowest gap that fits is taken."""
    plan, peak = place(
        [Tenant("long", 100, 0, 9), Tenant("early", 256, 0, 3), Tenant("late", 200, 4, 9), Tenant("small", 60, 4, 5)]
    )
    assert plan["early"] == Placement(0, 256)
    assert plan["late"] == Placement(0, 200)
    assert plan["long"] == Placement(256, 100)
    assert plan["small"] == Placement(384, 60)
    assert peak == 448
    assert place([]) == ({}, 0)
