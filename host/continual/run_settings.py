"""Whether two runs were told the same: their settings, as a record holds them, and in words where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from strop.runtime.errors import CheckpointMismatch

MOST_NAMED = 6  # differences in one message
NOT_TOLD = "not told"


def check_settings(found: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> None:
    """Raise CheckpointMismatch, naming the differences, unless the run in `path` was told what is `wanted` now."""
    differing = differences(found, wanted)
    if differing:
        named = "; ".join(differing[:MOST_NAMED])
        more = f"; and {len(differing) - MOST_NAMED} more" if len(differing) > MOST_NAMED else ""
        raise CheckpointMismatch(
            f"{path} is of a run with other settings: {named}{more}. Ask for the same again, or write to another folder"
        )


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any], within: str = "") -> list[str]:
    """Return in words in what two settings differ, each by the path of names that leads to it (below `within`)."""
    words = []
    for name in dict.fromkeys([*found, *wanted]):
        was, now = found.get(name, NOT_TOLD), wanted.get(name, NOT_TOLD)
        was, now = (_by_name(was), _by_name(now)) if _names(was) == _names(now) else (was, now)
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            words += differences(was, now, f"{within}{name}.")
        elif was != now:
            words.append(f"{within}{name} was {_told(was)}, now is {_told(now)}")
    return words


def _names(value: Any) -> list[str] | None:
    """Return the names in a list of things with different names, as strategies are; None for all else."""
    if not isinstance(value, list) or not all(isinstance(item, Mapping) and "name" in item for item in value):
        return None
    names = [str(item["name"]) for item in value]
    return names if len(set(names)) == len(names) else None


def _by_name(value: Any) -> Any:
    names = _names(value)
    return value if names is None else dict(zip(names, value, strict=True))


def _told(value: Any) -> str:
    names = _names(value)
    if names is not None:
        return " and ".join(names) or "none"
    return str(value)
