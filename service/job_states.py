"""The life of a job: every state, and every way from one to another. Nothing else in the service knows of more."""

from __future__ import annotations

from typing import Literal, get_args

State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
STATES: tuple[State, ...] = get_args(State)
TERMINAL: frozenset[State] = frozenset({"succeeded", "failed", "cancelled"})

# from, to: the event that tells of it
TRANSITIONS: dict[tuple[State, State], str] = {
    ("queued", "running"): "started",  # "resumed" where a checkpoint is there
    ("running", "queued"): "interrupted",  # the worker was stopped, or died
    ("running", "succeeded"): "succeeded",
    ("running", "failed"): "failed",
    ("running", "cancelled"): "cancelled",
    ("queued", "cancelled"): "cancelled",
    ("queued", "failed"): "failed",  # what it needs is gone, or it never gets anywhere
}


class WrongTransition(Exception):
    """A change of state that the table does not have: a fault of the service."""


def check_transition(before: State, after: State) -> None:
    """Raise `WrongTransition` unless a job may go from one state to the other."""
    if (before, after) not in TRANSITIONS:
        raise WrongTransition(f"a job cannot go from {before} to {after}")
