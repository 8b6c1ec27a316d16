"""Schedules: the rates that the names promise, the same on every machine."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strop.host.schedules import (
    SCHEDULES,
    Constant,
    Cosine,
    Schedule,
    Step,
    schedule_from_dict,
    schedule_named,
    schedule_to_dict,
)
from strop.runtime.errors import InputError


def test_step_and_paper_change_where_they_say() -> None:
    """Protects the paper's recipe: a tenth from 1/3, a hundredth from 2/3, exactly at the first step of each part."""
    paper = [SCHEDULES["paper"](step, 300, 0.1) for step in range(300)]
    assert (paper[0], paper[99], paper[100], paper[199], paper[200], paper[299]) == (0.1, 0.1, 0.01, 0.01, 0.001, 0.001)
    step = [SCHEDULES["step"](step, 600, 0.1) for step in range(600)]
    assert (step[299], step[300], step[499], step[500]) == (0.1, 0.01, 0.01, 0.001)


def test_constant_is_constant() -> None:
    """Protects the default."""
    assert {SCHEDULES["constant"](step, 7, 0.1) for step in range(7)} == {0.1}


@given(steps=st.integers(1, 2000), final=st.floats(0.0, 1.0), rate=st.floats(2.0**-20, 200.0))
def test_cosine_follows_the_cosine_and_never_rises(steps: int, final: float, rate: float) -> None:
    """Protects our own series for the cosine: it equals the library's, to a part in 10^14, and descends."""
    rates = [Cosine(final)(step, steps, rate) for step in range(steps)]
    for step, value in enumerate(rates):
        height = 0.5 * (1 + math.cos(math.pi * step / max(1, steps - 1)))
        assert value == pytest.approx(rate * (final + (1 - final) * height), rel=1e-13, abs=rate * 1e-14)
    assert rates[0] == pytest.approx(rate)
    assert all(after <= before * (1 + 1e-15) for before, after in zip(rates, rates[1:], strict=False))


def test_cosine_has_these_bits() -> None:
    """Protects resumption on another machine: these are the very numbers, whatever C library computes."""
    assert [Cosine()(step, 5, 0.1).hex() for step in range(5)] == [
        "0x1.999999999999ap-4",
        "0x1.5e371ed32626fp-4",
        "0x1.9db22d0e56042p-5",
        "0x1.fbd871d97ee9ap-7",
        "0x1.0624dd2f1a9fcp-10",
    ]


@pytest.mark.parametrize("schedule", [Constant(warmup=4), Step(warmup=4), Cosine(warmup=4)])
def test_warmup_rises_evenly_to_the_learning_rate(schedule: Schedule) -> None:
    """Protects warm-up: fifths of the rate, then the rate itself."""
    assert [schedule(step, 100, 1.0) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


@pytest.mark.parametrize(
    "schedule", [*SCHEDULES.values(), Step(at=(0.25,), divide_by=3.0, warmup=7), Cosine(0.2, 3), Constant(9)]
)
def test_schedules_survive_json(schedule: Schedule) -> None:
    """Protects resumption: a checkpoint gives back the schedule that was put in."""
    assert schedule_from_dict(json.loads(json.dumps(schedule_to_dict(schedule)))) == schedule


def test_names_and_objects_are_accepted_and_nothing_else() -> None:
    """Protects users from a misspelt schedule, and checkpoints from one that nobody can read back."""
    assert schedule_named("paper") == Step(at=(1 / 3, 2 / 3))
    assert schedule_named(Cosine(0.5)) == Cosine(0.5)
    for wrong in ("papre", lambda step, steps, rate: rate, None):
        with pytest.raises(InputError, match="allowed: constant, step, paper, cosine"):
            schedule_named(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data", [{}, {"kind": "linear"}, {"kind": "cosine", "slope": 1}, {"kind": "step", "at": [2.0]}]
)
def test_descriptions_of_no_schedule_are_refused(data: dict[str, object]) -> None:
    """Protects loading: what is no schedule is said so, and not trained with."""
    with pytest.raises(InputError):
        schedule_from_dict(data)


@pytest.mark.parametrize(
    "make", [lambda: Constant(-1), lambda: Step(at=(-0.1,)), lambda: Step(divide_by=0.5), lambda: Cosine(final=1.5)]
)
def test_senseless_schedules_are_refused(make: object) -> None:
    """Protects users from rates that rise without end or turn negative."""
    with pytest.raises(InputError):
        make()  # type: ignore[operator]
