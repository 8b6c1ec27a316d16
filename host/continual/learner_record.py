"""A learner as a checkpoint holds it beside the model: strategies with their memories, cursor, the guard's watch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.host.checkpoint import Checkpoint, LearnerRecord
from strop.host.continual.guard import Guard
from strop.host.continual.learned import LearnerCursor, LearnerParts, LearnerSettings, Watch
from strop.host.continual.strategies import STRATEGIES
from strop.host.continual.strategies.strategy import Arrays, Strategy, below
from strop.runtime.errors import CheckpointCorrupt, CheckpointError, CheckpointMismatch


@dataclass(frozen=True)
class Restored:
    """What a record says: a learner is made of `settings` and `strategies`, and then given the rest."""

    settings: LearnerSettings
    strategies: tuple[Strategy, ...]
    parts: LearnerParts
    cursor: LearnerCursor | None
    watch: Watch | None


def record_of(
    parts: LearnerParts,
    settings: dict[str, Any],
    strategies: Sequence[Strategy],
    cursor: LearnerCursor | None,
    watch: Watch | None,
    guard: Guard | None,
) -> LearnerRecord:
    """Return the learner's part of a checkpoint; the network's state is the model's part."""
    facts = {
        "settings": settings,
        "strategies": [{"name": s.name, "options": s.options} for s in strategies],
        "cursor": None if cursor is None else cursor.to_dict(),
        "guard": None if guard is None else guard.to_dict(),
        "guard_name": None if guard is None else guard.held_out.name,  # for a message
        "watch": None if watch is None else {"accuracy": watch.accuracy, **_counts(watch.parts)},
        **_counts(parts),
    }
    arrays = _arrays(parts)
    if watch is not None:
        arrays |= {f"watch.{name}": array for name, array in _arrays(watch.parts).items()}
        arrays |= {f"watch.state.{name}": array for name, array in watch.parts.state.items()}
    return LearnerRecord(facts, arrays)


def restored_from(found: Checkpoint, guard: Guard | None, path: str | Path) -> Restored:
    """Return what the learner of a checkpoint is. Raises as `Learner.load`."""
    record = found.learner
    if record is None:
        raise CheckpointError(
            f"{path} holds a model without a learner: load it by Model.load, and make a Learner of it"
        )
    try:
        facts, arrays = record.facts, record.arrays
        had = facts["guard"]
        if had is not None:
            had = {"limit": float(had["limit"]), "held_out": dict(had["held_out"])}
        _check_guard(had, facts["guard_name"], guard, path)
        made = [(str(entry["name"]), dict(entry["options"])) for entry in facts["strategies"]]
        unknown = [name for name, _ in made if name not in STRATEGIES]
        if unknown:
            raise CheckpointMismatch(f"{path} has the strategy {unknown[0]!r}; this strop has {', '.join(STRATEGIES)}")
        cursor = None if facts["cursor"] is None else LearnerCursor.from_dict(facts["cursor"])
        watch = None
        if facts["watch"] is not None:
            theirs = below("watch.", arrays)
            parts = _parts(facts["watch"], theirs, below("state.", theirs))
            watch = Watch(float(facts["watch"]["accuracy"]), parts)
        strategies = tuple(STRATEGIES[name](**options) for name, options in made)
        settings = LearnerSettings.from_dict(facts["settings"])
        return Restored(settings, strategies, _parts(facts, arrays, found.state), cursor, watch)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointCorrupt(f"{path}: the learner's part is not one that strop writes: {error!r}") from error


def _check_guard(wanted: dict[str, Any] | None, name: str | None, guard: Guard | None, path: str | Path) -> None:
    if wanted is None and guard is None:
        return
    if wanted is None or guard is None:
        had = "none" if wanted is None else f"one with {name}"
        raise CheckpointMismatch(f"{path}: the learner had as guard {had}: load it with the guard that it had")
    if wanted != guard.to_dict():
        raise CheckpointMismatch(f"{path}: the learner had another guard: the same samples and limit are needed")


def _counts(parts: LearnerParts) -> dict[str, Any]:
    return {
        "model_steps": parts.model_steps,
        "experiences": parts.experiences,
        "steps": parts.steps,
        "facts": [facts for facts, _ in parts.strategies],
    }


def _arrays(parts: LearnerParts) -> Arrays:
    return {f"{i}.{name}": array for i, (_, arrays) in enumerate(parts.strategies) for name, array in arrays.items()}


def _parts(facts: dict[str, Any], arrays: Arrays, state: Arrays) -> LearnerParts:
    strategies = tuple((dict(own), below(f"{i}.", arrays)) for i, own in enumerate(facts["facts"]))
    counts = int(facts["model_steps"]), int(facts["experiences"]), int(facts["steps"])
    return LearnerParts(state, *counts, strategies)
