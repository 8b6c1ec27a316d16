"""Settings of runs are compared before runs are mixed: what differs is named by where it stands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strop.host.continual.run_settings import check_settings, differences
from strop.runtime.errors import CheckpointMismatch

TEXT = st.sampled_from(["name", "batch", "guard"])
VALUES = st.recursive(
    st.none() | st.integers(0, 3) | TEXT, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner)
)
SETTINGS = {
    "batch": 32,
    "frozen": ["conv1"],
    "guard": None,
    "strategies": [{"name": "ewc", "strength": 2.5}, {"name": "replay", "capacity": 9}],
}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, []),
        ({"batch": 16}, ["batch was 32, now is 16"]),
        ({"frozen": []}, ["frozen was ['conv1'], now is none"]),
        ({"guard": {"limit": 0.5}}, ["guard was None, now is {'limit': 0.5}"]),
        ({"strategies": []}, ["strategies was ewc and replay, now is none"]),
        ({"strategies": [{"name": "lwf"}]}, ["strategies was ewc and replay, now is lwf"]),
        (
            {"strategies": [{"name": "ewc", "strength": 2.5}, {"name": "replay", "capacity": 8}]},
            ["strategies.replay.capacity was 9, now is 8"],
        ),
        ({"more": None}, ["more was not told, now is None"]),
    ],
)
def test_differences_are_named(changes, named):
    """Protects the message, and that nothing which differs is taken for the same."""
    assert differences(SETTINGS, {**SETTINGS, **changes}) == named


def test_an_order_of_strategies_is_a_difference():
    """Strategies act in their order; and two of one name are not taken for one."""
    turned = {**SETTINGS, "strategies": SETTINGS["strategies"][::-1]}
    assert differences(SETTINGS, turned) == ["strategies was ewc and replay, now is replay and ewc"]
    twice = [{"name": "replay", "seed": 0}, {"name": "replay", "seed": 1}]
    assert differences({"strategies": twice}, {"strategies": twice[1:] * 2})


@settings(deadline=None)
@given(st.dictionaries(TEXT, VALUES), st.dictionaries(TEXT, VALUES))
def test_only_equal_settings_are_equal(one, other):
    """Protects the comparison itself, whatever stands in the settings."""
    assert bool(differences(one, other)) == (one != other)
    assert differences(one, json.loads(json.dumps(one))) == []


def test_a_long_list_is_cut():
    """Nobody reads a hundred differences."""
    other = {str(number): number for number in range(20)}
    with pytest.raises(CheckpointMismatch, match="x.json is of a run with other settings: .*; and 14 more. Ask for"):
        check_settings({}, other, Path("x.json"))
    check_settings(other, dict(reversed(other.items())), Path("x.json"))
