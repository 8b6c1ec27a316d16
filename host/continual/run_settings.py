"""Whether two runs were told the same: their settings, as a record holds them, and in words where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from strop.runtime.errors import CheckpointMismatch

MOST_NAMED = 6  # differences in one message


def check_settings(found: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> None:
    """Raise CheckpointMismatch, naming the differences, unless the run in `path` was told what is `wanted` now."""
    differing = differences(found, wanted)
    if differing:
        named = "; ".join(differing[:MOST_NAMED])
        more = f"; and {len(differing) - MOST_NAMED} more" if len(differing) > MOST_NAMED else ""
        raise CheckpointMismatch(
            f"{path} is of a run with other settings: {named}{more}. Ask for the same again, or write to another folder"
        )


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return in words in what two settings differ."""
    one, other = _flat(found), _flat(wanted)
    names = [*dict.fromkeys([*one, *other])]
    return [
        f"{name} was {one.get(name, 'not there')}, now is {other.get(name, 'not there')}"
        for name in names
        if one.get(name) != other.get(name) or (name in one) != (name in other)
    ]


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Return a value for each path of names; a strategy's options are below its name."""
    if isinstance(value, Mapping) and value:
        return {k: v for key, item in value.items() for k, v in _flat(item, f"{name}.{key}" if name else key).items()}
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        named = {f"{name}.{item.get('name', index)}": item for index, item in enumerate(value)}
        return {k: v for key, item in named.items() for k, v in _flat(item, key).items()}
    return {name: value}
